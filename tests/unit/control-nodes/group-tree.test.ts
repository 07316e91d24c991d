/** The tree of groups: what may hang where, asked of random trees too. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type GroupPlace, requireMovable, requireRoom } from "../../../control/domain/group-tree.ts";
import { limits } from "../../../lib/limits.ts";

const place = (id: string, parentId: string | null = null): GroupPlace => ({ id, name: id, parentId });
const chain = (length: number): GroupPlace[] =>
  Array.from({ length }, (_, at) => place(`g${at}`, at === 0 ? null : `g${at - 1}`));

/** The levels of a tree without rings, or undefined with one. */
function depth(places: readonly GroupPlace[]): number | undefined {
  const byId = new Map(places.map((each) => [each.id, each]));
  let deepest = 0;
  for (const start of places) {
    let levels = 0;
    for (let at: GroupPlace | undefined = start; at !== undefined; at = byId.get(at.parentId ?? "")) {
      levels += 1;
      if (levels > places.length) return undefined;
    }
    deepest = Math.max(deepest, levels);
  }
  return deepest;
}

describe("M-A8 the tree of groups", () => {
  it("refuses a group below itself, near and far, and lets it be a root", () => {
    const places = chain(4);
    for (const parent of ["g1", "g2", "g3"]) {
      expect(() => requireMovable(places, "g1", parent)).toThrow(/below itself/);
    }
    expect(() => requireMovable(places, "g1", null)).not.toThrow();
    expect(() => requireMovable(places, "g3", "g0")).not.toThrow();
  });

  it(`is at most ${limits.groupDepthMaxCount} deep, counting what a moved group brings along`, () => {
    const deep = chain(limits.groupDepthMaxCount);
    const last = `g${limits.groupDepthMaxCount - 1}`;
    expect(() => requireRoom(deep, last)).toThrow(expect.objectContaining({ detail: "GROUP_DEPTH" }));
    expect(() => requireRoom(deep, `g${limits.groupDepthMaxCount - 2}`)).not.toThrow();
    const pair = [...deep.slice(0, -1), place("a"), place("b", "a")];
    const below = `g${limits.groupDepthMaxCount - 2}`;
    expect(() => requireMovable(pair, "a", below)).toThrow(expect.objectContaining({ detail: "GROUP_DEPTH" }));
    expect(() => requireMovable(pair, "b", below)).not.toThrow();
  });

  it("has a most, and says so", () => {
    const many = Array.from({ length: limits.groupsMaxCount }, (_, at) => place(`g${at}`));
    expect(() => requireRoom(many, null)).toThrow(expect.objectContaining({ detail: "GROUPS_MAX" }));
    expect(() => requireRoom(many.slice(1), null)).not.toThrow();
  });

  it("stays a tree within its depth under any moves, and refuses no move that would leave it one", () => {
    const moves = fc.array(fc.tuple(fc.nat(14), fc.option(fc.nat(14), { nil: null })), { maxLength: 60 });
    fc.assert(
      fc.property(moves, (all) => {
        let places = Array.from({ length: 15 }, (_, at) => place(`g${at}`));
        for (const [from, to] of all) {
          const parentId = to === null ? null : `g${to}`;
          const moved = places.map((each) => (each.id === `g${from}` ? { ...each, parentId } : each));
          const fine = (depth(moved) ?? Number.POSITIVE_INFINITY) <= limits.groupDepthMaxCount;
          const asked = () => requireMovable(places, `g${from}`, parentId);
          if (!fine) expect(asked).toThrow();
          else {
            expect(asked).not.toThrow();
            places = moved;
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it("answers about rows that already form a ring, instead of walking round it", () => {
    const ring = [place("a", "b"), place("b", "a"), place("c")];
    expect(() => requireMovable(ring, "c", "a")).not.toThrow();
    expect(() => requireMovable(ring, "a", "c")).not.toThrow();
    expect(() => requireMovable(ring, "a", "b")).toThrow(/below itself/);
  });
});
