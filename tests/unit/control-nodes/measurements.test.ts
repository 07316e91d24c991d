/** When measurements make a new snapshot version, and when silence is believed. */

import { describe, expect, it } from "vitest";
import { isMaterial, type LinkValues, measurementChanges, provenHealth } from "../../../control/domain/measurements.ts";

const hourMs = 3_600_000;
const link = (values: Partial<LinkValues>): LinkValues => ({
  fromNodeId: "a",
  toNodeId: "b",
  measuredAtMs: 1,
  ...values,
});

describe("a material change", () => {
  const table: readonly (readonly [
    before: number | undefined,
    after: number | undefined,
    grain: number,
    material: boolean,
  ])[] = [
    [undefined, undefined, 1, false],
    [undefined, 0, 1, true],
    [5, undefined, 1, true],
    [100, 119, 1, false],
    [100, 121, 1, true],
    [100, 79, 1, true],
    [0.2, 0.9, 1, false],
    [0, 1.5, 1, true],
  ];
  for (const [before, after, grain, material] of table) {
    it(`${before ?? "absent"} -> ${after ?? "absent"} (grain ${grain}): ${material}`, () => {
      expect(isMaterial(before, after, grain)).toBe(material);
    });
  }
});

describe("what is published", () => {
  it("is the changed alone: an untouched link and node are not written again", () => {
    const published = {
      links: [link({ rttMs: 10 }), link({ toNodeId: "c", rttMs: 10 })],
      nodes: [{ nodeId: "a", load: 0.2, health: "online" as const }],
    };
    const reported = {
      links: [link({ rttMs: 10.5, measuredAtMs: 9 }), link({ toNodeId: "c", rttMs: 30, measuredAtMs: 9 })],
      nodes: [{ nodeId: "a", load: 0.25, draining: false, beatAgeMs: 10 }],
    };
    const changes = measurementChanges(published, reported, hourMs);
    expect(changes.links.map((each) => each.toNodeId)).toEqual(["c"]);
    expect([changes.nodes, changes.health]).toEqual([[], []]);
  });

  it("M-A11 never turns an input that was not measured into 0", () => {
    const reported = { links: [link({})], nodes: [{ nodeId: "a", draining: false, beatAgeMs: 1 }] };
    const { links, nodes } = measurementChanges({ links: [], nodes: [] }, reported, hourMs);
    expect(links[0]).not.toHaveProperty("rttMs");
    expect(nodes).toEqual([{ nodeId: "a", health: "online" }]);
  });
});

describe("silence", () => {
  const silent = { nodeId: "a", draining: false, beatAgeMs: 10 * 60_000 };

  it("is believed while somebody listened, and not while control was away", () => {
    expect(provenHealth("online", silent, hourMs)).toBe("offline");
    expect(provenHealth("online", silent, 0)).toBe("online");
    expect(provenHealth("online", silent, 30_000)).toBe("online");
    expect(provenHealth("online", silent, 60_001)).toBe("offline");
  });

  it("of a node that was away before stays what it was: nothing recovers by a restart of control", () => {
    expect(provenHealth("offline", silent, 0)).toBe("offline");
    expect(provenHealth("missing", { ...silent, beatAgeMs: 48 * hourMs }, 0)).toBe("missing");
  });

  it("since the store's clock was set back is counted from when listening began anew, and recovers nobody", () => {
    const future = { ...silent, beatAgeMs: -hourMs };
    expect(provenHealth(undefined, future, 0)).toBe("stale");
    for (const before of ["online", "draining", "offline", "missing"] as const) {
      expect(provenHealth(before, future, 15_000)).toBe(before);
    }
    expect(provenHealth("online", future, 15_001)).toBe("stale");
    expect(provenHealth("draining", future, 60_001)).toBe("offline");
    expect(provenHealth("missing", future, 60_001)).toBe("missing");
    expect(provenHealth("offline", { ...silent, beatAgeMs: -1_000 }, 0)).toBe("online");
  });

  it("ends with a beat, listened to or not", () => {
    for (const listenedForMs of [0, 50, hourMs]) {
      expect(provenHealth("offline", { ...silent, beatAgeMs: 100 }, listenedForMs)).toBe("online");
      expect(provenHealth("offline", { ...silent, beatAgeMs: 100, draining: true }, listenedForMs)).toBe("draining");
    }
  });
});
