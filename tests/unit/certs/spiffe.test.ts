import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatSpiffe, parseSpiffe, type SpiffeId, spiffeKinds } from "../../../certs/spiffe.ts";
import { runs } from "../../harness/counts.ts";

const label = fc.stringMatching(/^[a-z0-9-]{1,63}$/).filter((text) => text !== "installation");
const anyId: fc.Arbitrary<SpiffeId> = fc
  .record({
    trustDomain: fc.stringMatching(/^[a-z0-9.-]{1,255}$/),
    clusterId: label,
    kind: fc.constantFrom(...spiffeKinds),
    id: label,
  })
  .map((id) => (id.kind === "operator" ? { ...id, clusterId: "installation" } : id));

describe("SPIFFE ids", () => {
  it("format and parse are inverse", () => {
    void fc.assert(
      fc.property(anyId, (id) => {
        expect(parseSpiffe(formatSpiffe(id))).toEqual(id);
      }),
      { numRuns: runs(1_000, 100_000) },
    );
  });

  const good = "spiffe://weft.test/cluster/c1/node/n1";
  const inexact = [
    "",
    "spiffe://weft.test",
    "spiffe://weft.test/",
    "spiffe://weft.test/cluster/c1/node",
    "spiffe://weft.test/cluster/c1/node/",
    `${good}/`,
    `${good}\n`,
    ` ${good}`,
    `${good}?x=1`,
    `${good}#f`,
    `${good}/x`,
    "SPIFFE://weft.test/cluster/c1/node/n1",
    "spiffe://WEFT.test/cluster/c1/node/n1",
    "spiffe://weft.test/cluster/c1/node/N1",
    "spiffe://weft.test:443/cluster/c1/node/n1",
    "spiffe://user@weft.test/cluster/c1/node/n1",
    "spiffe://weft.test/cluster/c1/node/%2e%2e",
    "spiffe://weft.test/cluster/c1/node/%2e%2e/../control/x",
    "spiffe://weft.test/cluster/c1/node/..",
    "spiffe://weft.test/cluster/c1%2Fnode/n1",
    "spiffe://weft.test//cluster/c1/node/n1",
    "spiffe://weft.test/cluster/c1/relay/n1",
    "spiffe://weft.test/cluster/c1/node/n\u00e9",
    "spiffe://weft.test/cluster/c1/node/n1\0",
    `spiffe://weft.test/cluster/c1/node/${"a".repeat(64)}`,
    "https://weft.test/cluster/c1/node/n1",
  ];
  it.each(inexact)("THR-C8 refuses %j", (uri) => expect(parseSpiffe(uri)).toBeUndefined());

  it("THR-C8 the neighbour of all of these is accepted", () => expect(parseSpiffe(good)?.id).toBe("n1"));

  it("LAW-C1 operators belong to the installation and nobody else does", () => {
    expect(parseSpiffe("spiffe://weft.test/cluster/installation/operator/o1")?.kind).toBe("operator");
    expect(parseSpiffe("spiffe://weft.test/cluster/c1/operator/o1")).toBeUndefined();
    expect(parseSpiffe("spiffe://weft.test/cluster/installation/node/n1")).toBeUndefined();
  });

  it("formatting refuses parts that would read as another identity", () => {
    const id: SpiffeId = { trustDomain: "weft.test", clusterId: "c1", kind: "node", id: "n1" };
    for (const part of ["trustDomain", "clusterId", "id"] as const) {
      expect(() => formatSpiffe({ ...id, [part]: "a/cluster/b/node/c" })).toThrow("not a valid identity");
    }
  });
});
