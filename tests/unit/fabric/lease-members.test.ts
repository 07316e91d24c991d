import { describe, expect, it } from "vitest";
import { compareFences, holderStopMonoMs, judgeFence, leaseMargin, renewAtMonoMs } from "../../../fabric/lease.ts";
import { hasRole, missingCapabilities, requiredCapabilities } from "../../../fabric/members.ts";
import { NodeCapability, NodeRole } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../../lib/limits.ts";

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
