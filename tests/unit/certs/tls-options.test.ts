import { constants } from "node:crypto";
import type { TlsOptions } from "node:tls";
import { describe, expect, it } from "vitest";
import type { LeafOf, RootsOf } from "../../../certs/material.ts";
import type { SpiffeKind } from "../../../certs/spiffe.ts";
import { applyRotation, type TlsKind, type TlsKindSpec, tlsKinds, tlsOptions } from "../../../certs/tls-options.ts";
import { limits } from "../../../lib/limits.ts";
import { makePki } from "../../harness/pki.ts";

const pki = await makePki();
const leaves: { [K in SpiffeKind]: LeafOf<K> } = {
  node: await pki.leaf("node", "n1"),
  control: await pki.leaf("control", "c1"),
  pool: await pki.leaf("pool", "p1"),
  client: await pki.leaf("client", "u1"),
  operator: await pki.leaf("operator", "o1"),
};
const kinds = Object.keys(tlsKinds) as TlsKind[];
const specOf = (kind: TlsKind): TlsKindSpec => tlsKinds[kind];

/** Calls past the types, with any identity and trust, as wiring code that lies to them would. */
function loosely(kind: TlsKind, shown: SpiffeKind | undefined, trusted: SpiffeKind | undefined) {
  const identity = shown === undefined ? {} : { identity: leaves[shown] };
  const trust =
    trusted === undefined
      ? {}
      : specOf(kind).side === "server"
        ? { trust: pki.roots(trusted) }
        : { expect: pki.expect(trusted) };
  return tlsOptions(kind as "node-link", { ...identity, ...trust } as never) as TlsOptions &
    Record<"checkServerIdentity", unknown>;
}
const regular = (kind: TlsKind) => loosely(kind, specOf(kind).shows[0], specOf(kind).trusts[0]);

describe("TLS options", () => {
  it.each(kinds)("THR-C1 %s: TLS 1.3 only, no tickets, no session, h2 only, our groups and signatures", (kind) => {
    const options = regular(kind);
    const { postQuantumOnly } = specOf(kind);
    expect(options).toMatchObject({
      minVersion: "TLSv1.3",
      maxVersion: "TLSv1.3",
      secureOptions: constants.SSL_OP_NO_TICKET,
      ALPNProtocols: ["h2"],
      ecdhCurve: postQuantumOnly ? "X25519MLKEM768" : "X25519MLKEM768:X25519:P-256",
      sigalgs: "ecdsa_secp256r1_sha256:ed25519",
    });
    expect(options).not.toHaveProperty("session");
    expect(options).not.toHaveProperty("ticketKeys");
  });

  it.each(kinds)("%s: verification is written out, and only first contact is without", (kind) => {
    const options = regular(kind);
    const { side, shows, trusts } = specOf(kind);
    expect(options.rejectUnauthorized).toBe(kind !== "first-contact");
    expect("key" in options).toBe(shows.length > 0);
    expect("ca" in options).toBe(trusts.length > 0);
    if (side === "client") expect(options.checkServerIdentity).toBeTypeOf("function");
    else
      expect(options).toMatchObject({ requestCert: trusts.length > 0, handshakeTimeout: limits.handshakeDeadlineMs });
  });

  it.each(kinds)("LAW-C1 %s: material of any other kind is refused, and so is none", (kind) => {
    const { shows, trusts } = specOf(kind);
    const all = [undefined, "node", "control", "pool", "client", "operator"] as const;
    for (const shown of all) {
      for (const trusted of all) {
        const fits =
          (shown === undefined ? shows.length === 0 : shows.includes(shown)) &&
          (trusted === undefined ? trusts.length === 0 : trusts.includes(trusted));
        if (fits) expect(() => loosely(kind, shown, trusted)).not.toThrow();
        else expect(() => loosely(kind, shown, trusted)).toThrow(expect.objectContaining({ detail: "TLS_MATERIAL" }));
      }
    }
  });

  it("a rotation gives every option a server was made with again", () => {
    const given: object[] = [];
    const server = { setSecureContext: (options: object) => void given.push(options) };
    const material = { identity: leaves.node, trust: pki.roots("node") };
    applyRotation(server, "node-link", material);
    expect(given).toEqual([tlsOptions("node-link", material)]);
  });

  it("checkServerIdentity returns an Error or undefined, whatever it is given", () => {
    const check = regular("dial-node-link").checkServerIdentity as (host: unknown, certificate: unknown) => unknown;
    expect(check("any host", { raw: Buffer.from(leaves.node.certificateDer) })).toBeUndefined();
    const odd = [
      undefined,
      null,
      {},
      { raw: undefined },
      { raw: "x" },
      { raw: Buffer.alloc(0) },
      { raw: leaves.client.certificateDer },
    ];
    for (const certificate of odd) expect(check("localhost", certificate)).toBeInstanceOf(Error);
  });

  it("the compiler refuses a wrong root or leaf", () => {
    const client: RootsOf<"client"> = pki.roots("client");
    // @ts-expect-error a client root is not a node root
    const node: RootsOf<"node"> = client;
    expect(node.kind).toBe("client");
    const wrong = [
      // @ts-expect-error wrong trust
      () => tlsOptions("node-link", { identity: leaves.node, trust: client }),
      // @ts-expect-error wrong identity
      () => tlsOptions("path-end-client", { identity: leaves.node, trust: client }),
      // @ts-expect-error no trust
      () => tlsOptions("node-link", { identity: leaves.node }),
      // @ts-expect-error wrong expectation
      () => tlsOptions("dial-path-end-pool", { identity: leaves.client, expect: pki.expect("node") }),
    ];
    for (const call of wrong) expect(call).toThrow(expect.objectContaining({ detail: "TLS_MATERIAL" }));
  });
});
