import "reflect-metadata";
import { generateKeyPairSync, type KeyObject, sign, webcrypto } from "node:crypto";
import {
  BasicConstraintsExtension,
  ChallengePasswordAttribute,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from "@peculiar/x509";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judgeCsr, makeCsr } from "../../../certs/csr.ts";
import { readDer } from "../../../certs/der.ts";
import { generateP256 } from "../../../certs/keys.ts";
import { systemClock } from "../../../lib/clock.ts";
import { WeftError } from "../../../lib/errors.ts";
import { runs } from "../../harness/counts.ts";
import { hex, tlv } from "../../harness/forge.ts";

const P256 = { name: "ECDSA", namedCurve: "P-256" } as const;
const webKeys = await webcrypto.subtle.generateKey(P256, true, ["sign", "verify"]);
const good = makeCsr(generateP256());

type Extras = Partial<Parameters<typeof Pkcs10CertificateRequestGenerator.create>[0]>;

async function asking(extras: Extras): Promise<Uint8Array> {
  const signingAlgorithm = { name: "ECDSA", hash: "SHA-256" };
  const csr = await Pkcs10CertificateRequestGenerator.create({ keys: webKeys, signingAlgorithm, ...extras });
  return new Uint8Array(csr.rawData);
}

/** A request of any key type, by hand. */
function rawCsr(type: "rsa" | "ec" | "ed25519", options: Record<string, unknown>, sigAlgorithm: string): Uint8Array {
  const generate = generateKeyPairSync as (
    kind: string,
    shape: object,
  ) => { privateKey: KeyObject; publicKey: KeyObject };
  const { privateKey, publicKey } = generate(type, options);
  const info = tlv(0x30, hex("020100"), hex("3000"), publicKey.export({ type: "spki", format: "der" }), hex("a000"));
  const signature = sign(type === "ed25519" ? null : "sha256", info, privateKey);
  return tlv(0x30, info, hex(sigAlgorithm), tlv(0x03, Buffer.of(0), signature));
}

/** A well-formed request naming an RSA key of `bits`; generating a real 16384-bit key would take minutes. */
function rsaCsrOf(bits: number): Uint8Array {
  const modulus = tlv(0x02, Buffer.concat([Buffer.of(0), Buffer.alloc(bits / 8, 0xc5)]));
  const key = tlv(0x03, Buffer.of(0), tlv(0x30, modulus, hex("0203010001")));
  const info = tlv(
    0x30,
    hex("020100"),
    hex("3000"),
    tlv(0x30, hex("300d06092a864886f70d0101010500"), key),
    hex("a000"),
  );
  return tlv(0x30, info, hex("300d06092a864886f70d01010b0500"), tlv(0x03, Buffer.of(0), Buffer.alloc(bits / 8, 0x5a)));
}

function refusalOf(der: Uint8Array): { detail: string; tookMs: number } {
  const startMs = systemClock.monoMs();
  try {
    judgeCsr(der);
    return { detail: "ACCEPTED", tookMs: systemClock.monoMs() - startMs };
  } catch (error) {
    if (!(error instanceof WeftError)) throw error;
    expect(error.reason).toBe("invalid_argument");
    return { detail: error.detail, tookMs: systemClock.monoMs() - startMs };
  }
}

function flipped(der: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(der);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ 1;
  return copy;
}

/** The request of one key with the signature of another's. */
function signedByOther(der: Uint8Array, otherDer: Uint8Array): Uint8Array {
  const [info, algorithm] = readDer(der)?.children ?? [];
  const signature = readDer(otherDer)?.children[2];
  return tlv(0x30, ...[info, algorithm, signature].map((part) => part?.raw ?? new Uint8Array(0)));
}

const other = makeCsr(generateP256());
const table: [string, string, Uint8Array][] = [
  ["RSA-1024", "CSR_KEY", rawCsr("rsa", { modulusLength: 1024 }, "300d06092a864886f70d01010b0500")],
  ["RSA-2048", "CSR_KEY", rawCsr("rsa", { modulusLength: 2048 }, "300d06092a864886f70d01010b0500")],
  ["RSA-4096", "CSR_KEY", rsaCsrOf(4096)],
  ["RSA-16384", "CSR_SIZE", rsaCsrOf(16_384)],
  ["P-224", "CSR_KEY", rawCsr("ec", { namedCurve: "P-224" }, "300a06082a8648ce3d040302")],
  ["P-384", "CSR_KEY", rawCsr("ec", { namedCurve: "P-384" }, "300a06082a8648ce3d040302")],
  [
    "explicit curve",
    "CSR_KEY",
    rawCsr("ec", { namedCurve: "P-256", paramEncoding: "explicit" }, "300a06082a8648ce3d040302"),
  ],
  ["Ed25519", "CSR_KEY", rawCsr("ed25519", {}, "300506032b6570")],
  ["broken signature", "CSR_SIGNATURE", flipped(good, -1)],
  ["another's signature", "CSR_SIGNATURE", signedByOther(good, other)],
  [
    "DNS name",
    "CSR_EXTRAS",
    await asking({ extensions: [new SubjectAlternativeNameExtension([{ type: "dns", value: "a.b" }])] }),
  ],
  [
    "control identity",
    "CSR_EXTRAS",
    await asking({
      extensions: [
        new SubjectAlternativeNameExtension([{ type: "url", value: "spiffe://weft.test/cluster/c1/control/x" }]),
      ],
    }),
  ],
  ["CA:true", "CSR_EXTRAS", await asking({ extensions: [new BasicConstraintsExtension(true, 0, true)] })],
  [
    "keyCertSign",
    "CSR_EXTRAS",
    await asking({ extensions: [new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true)] }),
  ],
  ["own OID", "CSR_EXTRAS", await asking({ extensions: [new Extension("1.3.6.1.4.1.99999.1", false, hex("0500"))] })],
  ["challenge password", "CSR_EXTRAS", await asking({ attributes: [new ChallengePasswordAttribute("x")] })],
  ["subject", "CSR_EXTRAS", await asking({ name: "CN=control" })],
  ["trailing byte", "CSR_ENCODING", Buffer.concat([good, Buffer.of(0)])],
  ["truncated", "CSR_ENCODING", good.subarray(0, good.length - 1)],
  ["indefinite length", "CSR_ENCODING", Buffer.concat([hex("3080"), good.subarray(3), hex("0000")])],
  ["not minimal length", "CSR_ENCODING", Buffer.concat([hex("308200"), good.subarray(2)])],
  [
    "deep nesting",
    "CSR_ENCODING",
    Array.from({ length: 200 }).reduce<Buffer>((inner) => tlv(0x30, inner), hex("0500")),
  ],
  ["nothing", "CSR_SIZE", new Uint8Array(0)],
  ["1 MB", "CSR_SIZE", Buffer.alloc(1 << 20, 0x30)],
];

describe("certificate requests", () => {
  it("the regular request is accepted and names its key", async () => {
    const keys = generateP256();
    expect(judgeCsr(makeCsr(keys))).toEqual({ spkiDer: new Uint8Array(keys.spkiDer), keyHash: keys.keyHash });
  });

  it("a peer library reads a request as it was meant, and finds it signed", async () => {
    const keys = generateP256();
    const csr = new Pkcs10CertificateRequest(makeCsr(keys));
    expect(await csr.verify()).toBe(true);
    expect([csr.subject, csr.attributes, csr.extensions]).toEqual(["", [], []]);
    expect(Buffer.from(csr.publicKey.rawData)).toEqual(Buffer.from(keys.spkiDer));
  });

  it("a peer library's empty request is accepted too", async () => {
    expect(refusalOf(await asking({})).detail).toBe("ACCEPTED");
  });

  it.each(table)("THR-E5 THR-E6 THR-E7 THR-E8 %s: %s, within 50 ms", (_what, detail, der) => {
    const refusal = refusalOf(der);
    expect(refusal.detail).toBe(detail);
    // A stall of the host may be in one time, and is in no other.
    expect(Math.min(refusal.tookMs, refusalOf(der).tookMs, refusalOf(der).tookMs)).toBeLessThan(50);
  });

  it("THR-E8 mutated requests are refused or prove the same key, and never throw anything else", () => {
    const { keyHash } = judgeCsr(good);
    const mutation = fc.record({ at: fc.nat(good.length - 1), to: fc.nat(255) });
    void fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
        const copy = Uint8Array.from(good);
        for (const { at, to } of mutations) copy[at] = to;
        const same = Buffer.from(copy).equals(good);
        if (same) expect(judgeCsr(copy).keyHash).toBe(keyHash);
        else expect(refusalOf(copy).detail).toMatch(/^CSR_/);
      }),
      { numRuns: runs(1_000, 100_000) },
    );
  });
});
