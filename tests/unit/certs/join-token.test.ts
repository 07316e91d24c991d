import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createInstallationKey, installationKeyHash } from "../../../certs/installation.ts";
import { hashJoinSecret, isJoinSecret, makeJoinToken, parseJoinToken } from "../../../certs/join-token.ts";
import { systemRandom } from "../../../lib/random.ts";
import { runs } from "../../harness/counts.ts";

const about = {
  clusterSlug: "prod",
  tokenId: "abcdef0123456789",
  installationKeyHash: installationKeyHash(createInstallationKey().spkiDer),
};
const { token, text, secretHash } = makeJoinToken(systemRandom, about);

describe("join tokens (LAW-I2)", () => {
  it("the text says cluster, token id, secret and installation, and reads back", () => {
    expect(parseJoinToken(text)).toEqual({ ...token, secret: new Uint8Array(token.secret) });
    expect(parseJoinToken(`${text}\n`)?.tokenId).toBe(about.tokenId);
    expect(parseJoinToken(text)?.installationKeyHash).toBe(about.installationKeyHash);
  });

  it("only the secret's hash recognises the secret", () => {
    expect(isJoinSecret(token.secret, secretHash)).toBe(true);
    expect(isJoinSecret(makeJoinToken(systemRandom, about).token.secret, secretHash)).toBe(false);
    for (const odd of [new Uint8Array(0), secretHash.subarray(1), Buffer.concat([secretHash, Buffer.of(0)])]) {
      expect(isJoinSecret(token.secret, odd)).toBe(false);
    }
    expect(Buffer.from(hashJoinSecret(token.secret)).equals(Buffer.from(token.secret))).toBe(false);
  });

  const [, slug = "", id = "", secret = "", hash = ""] = text.split(".");
  const odd: [string, string][] = [
    ["empty", ""],
    ["other version", `weft2.${slug}.${id}.${secret}.${hash}`],
    ["missing part", `weft1.${slug}.${id}.${secret}`],
    ["extra part", `${text}.x`],
    ["leading space", ` ${text}`],
    ["upper-case slug", `weft1.PROD.${id}.${secret}.${hash}`],
    ["padded base64", `weft1.${slug}.${id}.${secret}=.${hash}`],
    ["other alphabet", `weft1.${slug}.${id}.${"+".repeat(43)}.${hash}`],
    ["short secret", `weft1.${slug}.${id}.${secret.slice(1)}.${hash}`],
    ["spare bits set", `weft1.${slug}.${id}.${"A".repeat(42)}B.${hash}`],
    ["path in id", `weft1.${slug}.../x.${secret}.${hash}`],
    ["two lines", `${text}\n\n`],
  ];
  it.each(odd)("THR-E3 %s is no token", (_what, oddText) => expect(parseJoinToken(oddText)).toBeUndefined());

  it("parsing is total, and a parsed text is the only spelling of its token", () => {
    const mutated = fc.tuple(fc.nat(text.length - 1), fc.string({ unit: "binary", minLength: 0, maxLength: 2 }));
    void fc.assert(
      fc.property(mutated, ([at, by]) => {
        const changed = text.slice(0, at) + by + text.slice(at + 1);
        const parsed = parseJoinToken(changed);
        if (parsed === undefined || changed === text) return;
        expect(parsed).not.toEqual(parseJoinToken(text));
      }),
      { numRuns: runs(2_000, 100_000) },
    );
  });

  it("what could not be read back is not made", () => {
    for (const over of [
      { clusterSlug: "A" },
      { tokenId: "" },
      { installationKeyHash: "ab" },
      { installationKeyHash: "zz" },
    ]) {
      expect(() => makeJoinToken(systemRandom, { ...about, ...over })).toThrow(
        expect.objectContaining({ detail: "JOIN_TOKEN" }),
      );
    }
  });
});
