import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  boundsFromWire,
  boundsOf,
  boundsToWire,
  defaultTerms,
  type OfflineRule,
  type OfflineTerms,
  offlineVerdict,
  pathBounds,
  ruleFor,
  widest,
} from "../../../fabric/offline.ts";
import { OfflineMode } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../../lib/limits.ts";

const feedMs = 1_800_000_000_000;
const hourMs = 3_600_000;
const termsOf = (mode: OfflineMode, over: Partial<OfflineTerms> = {}): OfflineTerms => ({
  ...{ mode, continueForMs: 8 * hourMs, graceMs: 0 },
  ...over,
});
const at = (mode: OfflineMode, sinceMs: number, facts: object = {}, over: Partial<OfflineTerms> = {}) =>
  offlineVerdict(boundsOf(termsOf(mode, over)), {
    newestFeedMs: feedMs,
    snapshotNotAfterMs: feedMs + 24 * hourMs,
    leafNotAfterMs: feedMs + 20 * hourMs,
    nowMs: feedMs + sinceMs,
    ...facts,
  });

const yes = { newChannels: true, existing: true };
const keep = { newChannels: false, existing: true };
const stop = { newChannels: false, existing: false };

describe("LAW-I4 offline modes", () => {
  it.each([
    ["continue", OfflineMode.CONTINUE, 20 * hourMs - 1, yes],
    ["continue ends with the leaf", OfflineMode.CONTINUE, 20 * hourMs, stop],
    ["continue-for", OfflineMode.CONTINUE_FOR, 8 * hourMs - 1, yes],
    ["continue-for ends", OfflineMode.CONTINUE_FOR, 8 * hourMs, stop],
    ["unset is continue-for", OfflineMode.UNSPECIFIED, 8 * hourMs, stop],
    ["existing-only, fresh", OfflineMode.EXISTING_ONLY, 59_999, yes],
    ["existing-only, stale", OfflineMode.EXISTING_ONLY, 60_000, keep],
    ["existing-only ends with the leaf", OfflineMode.EXISTING_ONLY, 20 * hourMs, stop],
    ["fail-closed, fresh", OfflineMode.FAIL_CLOSED, 59_999, yes],
    ["fail-closed, stale", OfflineMode.FAIL_CLOSED, 60_000, stop],
    ["an unknown mode fails closed", 99 as OfflineMode, 60_000, stop],
  ])("%s", (_name, mode, sinceMs, verdict) => {
    expect(at(mode, sinceMs)).toMatchObject(verdict);
  });

  it.each([
    [OfflineMode.EXISTING_ONLY, 14_999, yes],
    [OfflineMode.EXISTING_ONLY, 15_000, keep],
    [OfflineMode.FAIL_CLOSED, 14_999, yes],
    [OfflineMode.FAIL_CLOSED, 15_000, stop],
    // It means nothing there.
    [OfflineMode.CONTINUE_FOR, 15_000, yes],
    [OfflineMode.CONTINUE, 15_000, yes],
  ])("mode %i with a grace of its own, after %i ms", (mode, sinceMs, verdict) => {
    expect(at(mode, sinceMs, {}, { graceMs: 15_000 })).toMatchObject(verdict);
  });

  it("no mode outlives the snapshot, and an unset duration is the default", () => {
    expect(at(OfflineMode.CONTINUE, 3 * hourMs, { snapshotNotAfterMs: feedMs + 3 * hourMs })).toMatchObject(stop);
    const forMs = limits.continueForDefaultMs;
    expect(at(OfflineMode.CONTINUE_FOR, forMs - 1, {}, { continueForMs: 0 })).toMatchObject(yes);
    expect(at(OfflineMode.CONTINUE_FOR, forMs, {}, { continueForMs: 0 })).toMatchObject(stop);
    expect(boundsOf(defaultTerms)).toEqual({ newForMs: forMs, existingForMs: forMs });
  });

  it("a verdict holds until the times it names and not beyond, and new implies existing", () => {
    const property = fc.property(
      fc.integer({ min: 0, max: 4 }),
      fc.nat(30 * hourMs),
      fc.nat(30 * hourMs),
      (mode, sinceMs, leafMs) => {
        const facts = { leafNotAfterMs: feedMs + leafMs };
        const verdict = at(mode as OfflineMode, sinceMs, facts);
        if (verdict.newChannels) expect(verdict.existing).toBe(true);
        const ends = { newChannels: verdict.newUntilMs, existing: verdict.existingUntilMs };
        for (const what of ["newChannels", "existing"] as const) {
          const endMs = ends[what] - feedMs;
          expect(verdict[what]).toBe(sinceMs < endMs);
          expect(at(mode as OfflineMode, endMs - 1, facts)[what]).toBe(true);
          expect(at(mode as OfflineMode, endMs, facts)[what]).toBe(false);
        }
      },
    );
    fc.assert(property, { numRuns: 500 });
  });
});

const rule = (organizationId: string, resourceId: string, mode: OfflineMode, over: Partial<OfflineTerms> = {}) => ({
  ...{ organizationId, resourceId },
  terms: termsOf(mode, over),
});
const rules: readonly OfflineRule[] = [
  rule("", "", OfflineMode.FAIL_CLOSED),
  rule("x", "", OfflineMode.EXISTING_ONLY),
  rule("x", "x-desk", OfflineMode.CONTINUE_FOR),
];
const modeAt = (organizationId: string, resourceId = "", among = rules) =>
  ruleFor(among, { organizationId, resourceId })?.terms.mode;

describe("M-A12 offline policies of places", () => {
  it("the most specific counts, whole; where nothing is set, the default does", () => {
    expect(modeAt("")).toBe(OfflineMode.FAIL_CLOSED);
    expect(modeAt("y")).toBe(OfflineMode.FAIL_CLOSED);
    expect(modeAt("y", "y-desk")).toBe(OfflineMode.FAIL_CLOSED);
    expect(modeAt("x")).toBe(OfflineMode.EXISTING_ONLY);
    expect(modeAt("x", "x-web")).toBe(OfflineMode.EXISTING_ONLY);
    expect(modeAt("x", "x-desk")).toBe(OfflineMode.CONTINUE_FOR);
    expect(modeAt("y", "y-desk", [])).toBeUndefined();
    // One resource id set for another organization is another place.
    expect(modeAt("y", "x-desk")).toBe(OfflineMode.FAIL_CLOSED);
  });

  it("paths stay as long as any resource of the organization needs them, new and existing each for themselves", () => {
    const graceMs = limits.failClosedAfterMs;
    const end = Number.POSITIVE_INFINITY;
    expect(pathBounds(rules, "x", ["x-web", "x-desk"])).toEqual({ newForMs: 8 * hourMs, existingForMs: end });
    expect(pathBounds(rules, "x", ["x-desk"])).toEqual({ newForMs: 8 * hourMs, existingForMs: 8 * hourMs });
    expect(pathBounds(rules, "x", [])).toEqual({ newForMs: graceMs, existingForMs: end });
    expect(pathBounds(rules, "y", ["y-desk"])).toEqual({ newForMs: graceMs, existingForMs: graceMs });
    expect(widest([])).toBeUndefined();
  });

  it("a path never ends before a channel that may be on it, whatever is set", () => {
    const terms = fc.record({
      mode: fc.integer({ min: 0, max: 4 }) as fc.Arbitrary<OfflineMode>,
      continueForMs: fc.nat(30 * hourMs),
      graceMs: fc.nat(2 * hourMs),
    });
    const place = fc.constantFrom<readonly [string, string]>(["", ""], ["x", ""], ["x", "a"], ["x", "b"], ["y", "c"]);
    const set = fc.uniqueArray(fc.tuple(place, terms), { selector: ([at]) => at.join("/"), maxLength: 5 });
    const property = fc.property(set, fc.nat(40 * hourMs), (entries, sinceMs) => {
      const all = entries.map(([[organizationId, resourceId], own]) => ({ organizationId, resourceId, terms: own }));
      const facts = {
        ...{ newestFeedMs: feedMs, nowMs: feedMs + sinceMs },
        ...{ snapshotNotAfterMs: feedMs + 24 * hourMs, leafNotAfterMs: feedMs + 20 * hourMs },
      };
      const path = offlineVerdict(pathBounds(all, "x", ["a", "b"]), facts);
      const channels = ["a", "b"].map((resourceId) => {
        const found = ruleFor(all, { organizationId: "x", resourceId })?.terms ?? defaultTerms;
        return offlineVerdict(boundsOf(found), facts);
      });
      expect(path.newChannels).toBe(channels.some(({ newChannels }) => newChannels));
      expect(path.existing).toBe(channels.some(({ existing }) => existing));
    });
    fc.assert(property, { numRuns: 500 });
  });

  it("bounds survive the wire, endless ones too", () => {
    for (const bounds of [
      { newForMs: 15_000, existingForMs: Number.POSITIVE_INFINITY },
      { newForMs: 60_000, existingForMs: 60_000 },
    ]) {
      expect(boundsFromWire(boundsToWire(bounds))).toEqual(bounds);
    }
  });
});
