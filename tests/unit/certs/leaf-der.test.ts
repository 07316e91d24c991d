import "reflect-metadata";
import { webcrypto, X509Certificate } from "node:crypto";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { describe, expect, it } from "vitest";
import { createRoot, type IssuingCa } from "../../../certs/ca.ts";
import { readDer } from "../../../certs/der.ts";
import { generateP256, spkiOf } from "../../../certs/keys.ts";
import { keyIdentifierOf, type LeafFields, signLeaf, subjectNameOf } from "../../../certs/leaf-der.ts";
import { systemRandom } from "../../../lib/random.ts";

// Of a mapped address with a dotted end the library makes something else.
const plainAddresses = ["127.0.0.1", "0.0.0.0", "255.1.2.3", "::1", "::", "2001:db8::1:2", "1::", "1:2:3:4:5:6:7:8"];
const addresses = [...plainAddresses, "::ffff:10.0.0.1"];

function fieldsFor(ca: IssuingCa, over: Partial<LeafFields> = {}): LeafFields {
  return {
    serialHex: "5e74cdb2952e2ede63daad3cc66f8866",
    issuerName: subjectNameOf(ca.root.der) as Uint8Array,
    issuerKeyIdentifier: keyIdentifierOf(spkiOf(ca.root.publicKey)),
    commonName: "Weft node",
    notBeforeMs: Date.UTC(2026, 0, 2, 3, 4, 5),
    notAfterMs: Date.UTC(2026, 11, 31, 23, 59, 59),
    spkiDer: generateP256().spkiDer,
    usageOids: ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"],
    uri: "spiffe://weft-test.internal/cluster/cl-a/node/nd-1",
    dnsNames: ["localhost", "a.b.c"],
    ipAddresses: addresses,
    ...over,
  };
}

/** The same certificate by a library that knows every field there is. */
async function byLibrary(ca: IssuingCa, fields: LeafFields): Promise<Uint8Array> {
  const der = ca.privateKey.export({ type: "pkcs8", format: "der" });
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const certificate = await X509CertificateGenerator.create({
    serialNumber: fields.serialHex,
    subject: `CN=${fields.commonName}`,
    issuer: new X509Certificate(ca.root.der).subject,
    notBefore: new Date(fields.notBeforeMs),
    notAfter: new Date(fields.notAfterMs),
    publicKey: Buffer.from(fields.spkiDer),
    signingKey: await webcrypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]),
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([...fields.usageOids]),
      new SubjectAlternativeNameExtension([
        { type: "url", value: fields.uri },
        ...fields.dnsNames.map((value) => ({ type: "dns" as const, value })),
        ...fields.ipAddresses.map((value) => ({ type: "ip" as const, value })),
      ]),
      await SubjectKeyIdentifierExtension.create(Buffer.from(fields.spkiDer)),
      await AuthorityKeyIdentifierExtension.create(Buffer.from(spkiOf(ca.root.publicKey))),
    ],
  });
  return new Uint8Array(certificate.rawData);
}

const signedPart = (der: Uint8Array): string => Buffer.from(readDer(der)?.children[0]?.raw ?? []).toString("hex");
const root = () =>
  createRoot({ kind: "node", clusterName: "default", generation: 2, nowMs: Date.now(), random: systemRandom });

describe("leaves written directly", () => {
  it("are byte for byte what a library writes, to the signature", async () => {
    const ca = await root();
    const longest = Array.from({ length: 30 }, (_, at) => `node-${at}.${"long".repeat(8)}.example`);
    for (const over of [
      { ipAddresses: plainAddresses },
      { dnsNames: [], ipAddresses: [] },
      { dnsNames: longest, ipAddresses: [] },
      { usageOids: ["1.3.6.1.5.5.7.3.2"], ipAddresses: ["10.1.2.3"] },
    ]) {
      const fields = fieldsFor(ca, over);
      expect(signedPart(signLeaf(ca.privateKey, fields))).toBe(signedPart(await byLibrary(ca, fields)));
    }
  });

  it("are what OpenSSL reads, under their issuer, before and after 2050", async () => {
    const ca = await root();
    for (const notAfterMs of [Date.UTC(2049, 11, 31, 23, 59, 59), Date.UTC(2050, 0, 1)]) {
      const fields = fieldsFor(ca, { notAfterMs });
      const leaf = new X509Certificate(signLeaf(ca.privateKey, fields));
      const issuer = new X509Certificate(ca.root.der);
      expect(leaf.checkIssued(issuer)).toBe(true);
      expect(leaf.verify(issuer.publicKey)).toBe(true);
      expect(leaf.ca).toBe(false);
      expect(leaf.serialNumber.toLowerCase()).toBe(fields.serialHex);
      expect([leaf.validFromDate.getTime(), leaf.validToDate.getTime()]).toEqual([fields.notBeforeMs, notAfterMs]);
      expect(leaf.subjectAltName).toContain(`URI:${fields.uri}, DNS:localhost, DNS:a.b.c, IP Address:127.0.0.1`);
      for (const address of addresses) expect(leaf.checkIP(address), address).toBeDefined();
    }
  });
});
