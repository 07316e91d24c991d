import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareFences, holderStopMonoMs, judgeFence, leaseMargin, renewAtMonoMs } from "../../../fabric/lease.ts";
import { hasRole, missingCapabilities, requiredCapabilities } from "../../../fabric/members.ts";
import { offlineVerdict } from "../../../fabric/offline.ts";
import { NodeCapability, NodeRole, OfflineMode } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../../lib/limits.ts";

const feedMs = 1_800_000_000_000;
const hourMs = 3_600_000;
const at = (mode: OfflineMode, sinceMs: number, change: object = {}) =>
  offlineVerdict({
    mode,
    continueForMs: 8 * hourMs,
    newestFeedMs: feedMs,
    snapshotNotAfterMs: feedMs + 24 * hourMs,
    leafNotAfterMs: feedMs + 20 * hourMs,
    nowMs: feedMs + sinceMs,
    ...change,
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

  it("no mode outlives the snapshot, and an unset duration is the default", () => {
    expect(at(OfflineMode.CONTINUE, 3 * hourMs, { snapshotNotAfterMs: feedMs + 3 * hourMs })).toMatchObject(stop);
    const forMs = limits.continueForDefaultMs;
    expect(at(OfflineMode.CONTINUE_FOR, forMs - 1, { continueForMs: 0 })).toMatchObject(yes);
    expect(at(OfflineMode.CONTINUE_FOR, forMs, { continueForMs: 0 })).toMatchObject(stop);
  });

  it("a verdict holds until the time it names and not beyond, and new implies existing", () => {
    const property = fc.property(
      fc.integer({ min: 0, max: 4 }),
      fc.nat(30 * hourMs),
      fc.nat(30 * hourMs),
      (mode, sinceMs, leafMs) => {
        const change = { leafNotAfterMs: feedMs + leafMs };
        const verdict = at(mode as OfflineMode, sinceMs, change);
        if (verdict.newChannels) expect(verdict.existing).toBe(true);
        if (!verdict.existing) {
          expect(verdict.untilMs).toBe(feedMs + sinceMs);
          return;
        }
        const { newChannels, existing } = verdict;
        const untilMs = verdict.untilMs - feedMs;
        expect(at(mode as OfflineMode, untilMs - 1, change)).toMatchObject({ newChannels, existing });
        const after = at(mode as OfflineMode, untilMs, change);
        expect([after.newChannels, after.existing]).not.toEqual([newChannels, existing]);
      },
    );
    fc.assert(property, { numRuns: 500 });
  });
});

describe("LAW-F1 LAW-F2 fences", () => {
  const fence = (epoch: number, counter: number) => ({ epoch: BigInt(epoch), counter: BigInt(counter) });

  it("compare by epoch, then counter; a lower one is refused, a higher one must be made durable first", () => {
    expect(compareFences(fence(1, 9), fence(2, 1))).toBeLessThan(0);
    expect(compareFences(fence(2, 2), fence(2, 1))).toBeGreaterThan(0);
    expect(compareFences(fence(2, 1), fence(2, 1))).toBe(0);
    expect(judgeFence(undefined, fence(0, 1))).toBe("raise");
    expect(judgeFence(fence(2, 1), fence(2, 1))).toBe("accept");
    expect(judgeFence(fence(2, 1), fence(3, 0))).toBe("raise");
    expect(judgeFence(fence(2, 1), fence(1, 99))).toBe("refuse");
  });

  it("a holder stops before the lease can be anybody else's, however long the answer took", () => {
    const ttlMs = 20_000;
    for (const delayMs of [0, 5, 19_000]) {
      const sentMs = 1_000;
      const grantedAtLatestMs = sentMs + delayMs;
      expect(holderStopMonoMs(sentMs, ttlMs)).toBeLessThan(grantedAtLatestMs + ttlMs);
      expect(holderStopMonoMs(sentMs, ttlMs)).toBe(sentMs + ttlMs - leaseMargin(ttlMs));
    }
    expect(holderStopMonoMs(5, limits.leaseMarginMs - 1)).toBe(5);
    expect(renewAtMonoMs(0, 31_000)).toBe(9_300);
    expect(renewAtMonoMs(0, 4_000)).toBe(1_000);
  });

  it("L3 a holder whose clock runs slow by a tenth has stopped before the lease ends", () => {
    for (const ttlMs of [3_000, 5_000, 20_000, 600_000, 86_400_000]) {
      expect(holderStopMonoMs(0, ttlMs) * 1.1, String(ttlMs)).toBeLessThanOrEqual(ttlMs);
    }
  });
});

describe("A5 roles and capabilities", () => {
  it("every role names what it needs; an egress needs one of two", () => {
    const roles = Object.values(NodeRole).filter((role) => role !== NodeRole.UNSPECIFIED);
    expect(Object.keys(requiredCapabilities).map(Number).sort()).toEqual([...roles].sort());
    for (const needs of Object.values(requiredCapabilities))
      expect(needs.all.length + needs.any.length).toBeGreaterThan(0);
    expect(missingCapabilities(NodeRole.EGRESS, [])).toHaveLength(2);
    expect(missingCapabilities(NodeRole.EGRESS, [NodeCapability.CAN_EGRESS_PRIVATE_NETWORK])).toEqual([]);
    expect(missingCapabilities(NodeRole.RELAY, [NodeCapability.CAN_ROUTE_MESH])).toEqual([
      NodeCapability.CAN_ACCEPT_NODE_INGRESS,
    ]);
  });

  it("a grant for X says nothing about Y; one without organization covers all", () => {
    const forX = [{ role: NodeRole.RELAY, organizationId: "x" }];
    expect(hasRole(forX, NodeRole.RELAY, "x")).toBe(true);
    expect(hasRole(forX, NodeRole.RELAY, "y")).toBe(false);
    expect(hasRole(forX, NodeRole.RELAY, "")).toBe(false);
    expect(hasRole(forX, NodeRole.EGRESS, "x")).toBe(false);
    expect(hasRole(forX, NodeRole.RELAY, undefined)).toBe(true);
    expect(hasRole([{ role: NodeRole.RELAY, organizationId: "" }], NodeRole.RELAY, "y")).toBe(true);
  });
});
