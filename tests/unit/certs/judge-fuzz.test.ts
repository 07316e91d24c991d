/** Hostile bytes before the judge: it answers, and never throws. */

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judgeCertificate } from "../../../certs/judge.ts";
import { generateP256 } from "../../../certs/keys.ts";
import { runs } from "../../harness/counts.ts";
import { ext, forge, subjectAltName, subjectOf, uriName } from "../../harness/forge.ts";
import { makePki } from "../../harness/pki.ts";

const pki = await makePki();
const { spkiDer: spki } = generateP256();
const { privateKey: signer, root } = pki.cas.node;
const issuer = subjectOf(root.der);
const URI = "spiffe://weft.test/cluster/c1/node/n1";

function whyOf(der: Uint8Array): string {
  const verdict = judgeCertificate(der, pki.expect("node"));
  return verdict.ok ? "ok" : verdict.why;
}

const named = (...names: Uint8Array[]): Buffer =>
  forge({ signer, issuer, spki, extensions: [ext.caFalse, ext.keyUsage, ext.both, subjectAltName(...names)] });

describe("the judge of certificates, fuzzed", () => {
  it("the certificate all of these start from is accepted", () => expect(whyOf(named(uriName(URI)))).toBe("ok"));

  it("THR-C8 hostile SAN bytes are refused and never throw", () => {
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 64 }).map((bytes) => uriName(bytes)),
      fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
      fc.string({ unit: "binary", maxLength: 64 }).map((text) => uriName(`${URI}${text}!`)),
    );
    void fc.assert(
      fc.property(fc.array(hostile, { maxLength: 3 }), (names) => {
        expect(whyOf(named(...names))).toMatch(/^CERT_/);
      }),
      { numRuns: runs(10_000, 100_000) },
    );
  });

  it("a certificate with any one byte changed is refused", () => {
    const der = named(uriName(URI));
    void fc.assert(
      fc.property(fc.nat(der.length - 1), fc.nat(255), (at, to) => {
        if (der[at] === to) return;
        const copy = Buffer.from(der);
        copy[at] = to;
        expect(whyOf(copy)).toMatch(/^(CERT|PEER)_/);
      }),
      { numRuns: runs(2_000, 100_000) },
    );
  });
});
