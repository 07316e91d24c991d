import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyDelta, type DeltaPart, partsOf, payloadHashOf } from "../../../../fabric/snapshot/delta.ts";
import { joinSections, type Section } from "../../../../fabric/snapshot/encode.ts";
import { encodeSnapshot } from "../../../../fabric/snapshot/scope.ts";
import { type SnapshotDelta, SnapshotDeltaSchema } from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../../../lib/limits.ts";
import { ChangingCluster } from "../../../harness/changing-cluster.ts";
import { runs } from "../../../harness/counts.ts";

const dates = { issuedAtMs: 1_800_000_000_000, notAfterMs: 1_800_086_400_000 };

function deltaOf(base: readonly Section[], now: readonly Section[]): SnapshotDelta | undefined {
  const parts = partsOf(base, now);
  if (parts === undefined) return undefined;
  const [baseHash, payloadHash] = [base, now].map((sections) => payloadHashOf(joinSections(sections)));
  const envelope = { keyId: "key", signature: Uint8Array.of(1, 2) };
  return create(SnapshotDeltaSchema, {
    parts,
    ...envelope,
    baseHash: baseHash as never,
    payloadHash: payloadHash as never,
  });
}

const piece = (text: string): Uint8Array => new TextEncoder().encode(text);
const section = (...pieces: Uint8Array[]): Section => ({
  pieces,
  sizeBytes: pieces.reduce((sum, { length }) => sum + length, 0),
});
const [a, b, c, d] = ["first piece.", "second piece.", "third piece.", "new."].map(piece) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
const base = [section(a, b), section(c)];
const held = joinSections(base);
const good = deltaOf(base, [section(a, d, b), section(c)]) as SnapshotDelta;
const gap = { detail: "SNAPSHOT_GAP" };

describe("deltas of snapshots", () => {
  it("give exactly the payload they were made of, after whatever changes", () => {
    const seeds = runs(2, 200);
    let told = 0;
    for (let seed = 1; seed <= seeds; seed += 1) {
      const cluster = new ChangingCluster(seed);
      for (let step = 0; step < 12; step += 1) {
        const before = cluster.view;
        const changes = 1 + (step % 3);
        for (let change = 0; change < changes; change += 1) cluster.change();
        const known = new Set(before.nodes.map(({ nodeId }) => nodeId));
        for (const { nodeId } of cluster.view.nodes.filter((node) => known.has(node.nodeId))) {
          const old = encodeSnapshot(before, nodeId, dates);
          const now = encodeSnapshot(cluster.view, nodeId, dates);
          const delta = deltaOf(old, now);
          if (delta === undefined) continue;
          told += 1;
          const { payload } = applyDelta(joinSections(old), delta);
          expect(Buffer.compare(payload, joinSections(now)), `seed ${seed}, step ${step}, ${nodeId}`).toBe(0);
        }
      }
    }
    expect(told).toBeGreaterThan(seeds * 100);
  });

  it("copy what neighbours each other in one part, and carry the rest of the envelope", () => {
    expect(good.parts.map(({ part }) => part.case)).toEqual(["copy", "literal", "copy"]);
    const envelope = applyDelta(held, good);
    expect(new TextDecoder().decode(envelope.payload)).toBe("first piece.new.second piece.third piece.");
    expect([envelope.keyId, envelope.signature]).toEqual(["key", Uint8Array.of(1, 2)]);
  });

  it("are none where most of a payload is new", () => {
    expect(partsOf([section(d)], [section(a, b, d)])).toBeUndefined();
    expect(partsOf([], [section(a)])).toBeUndefined();
  });

  it("of something else than what is held are gaps, and so is one to a node that holds nothing", () => {
    expect(() => applyDelta(undefined, good)).toThrow(expect.objectContaining(gap));
    expect(() => applyDelta(piece("something else"), good)).toThrow(expect.objectContaining(gap));
  });

  it("take no byte from where there is none, are no larger than snapshots, and have no empty parts", () => {
    const { length } = held;
    const copies = [
      { offset: 0, length: length + 1 },
      { offset: length, length: 1 },
      { offset: 4_294_967_295, length: 4_294_967_295 },
    ];
    const { baseHash, payloadHash } = good;
    const bad: DeltaPart[][] = [
      ...copies.map((value) => [{ part: { case: "copy" as const, value } }]),
      Array.from({ length: 1 + limits.snapshotMaxBytes / length }, () => {
        return { part: { case: "copy" as const, value: { offset: 0, length } } };
      }),
      [{}],
    ];
    for (const parts of bad) {
      const delta = create(SnapshotDeltaSchema, { baseHash, payloadHash, parts });
      expect(() => applyDelta(held, delta)).toThrow(expect.objectContaining(gap));
    }
  });

  it("with any byte changed give what was meant or nothing", () => {
    const parts = good.parts.map(({ part }) => ({ part }));
    const property = fc.property(fc.nat(), fc.integer({ min: 1, max: 255 }), fc.nat(2), (at, by, which) => {
      const changed = structuredClone({ baseHash: good.baseHash, payloadHash: good.payloadHash, parts });
      const literal = changed.parts.flatMap(({ part }) => (part.case === "literal" ? [part.value] : []))[0];
      const bytes = [changed.baseHash, changed.payloadHash, literal][which] as Uint8Array;
      bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ by;
      expect(() => applyDelta(held, create(SnapshotDeltaSchema, changed))).toThrow(expect.objectContaining(gap));
    });
    fc.assert(property, { numRuns: runs(100, 10_000) });
  });
});
