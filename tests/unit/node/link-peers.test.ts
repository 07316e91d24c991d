import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { peerBounds } from "../../../fabric/routing/peer-set.ts";
import { NodeRole } from "../../../gen/weft/fabric/v1/role_pb.ts";
import type { Snapshot } from "../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { LinkPeers } from "../../../node/link-peers.ts";
import { nowMs, snapshotWith } from "./stage.ts";

const roleOf = (id: string): NodeRole =>
  id.startsWith("re") ? NodeRole.RELAY : id.startsWith("eg") ? NodeRole.EGRESS : NodeRole.ENTRY;

function snapshotOf(role: NodeRole, neighbours: readonly string[]): Snapshot {
  return snapshotWith({
    self: { roles: [{ role, organizationId: "" }] },
    neighbours: neighbours.map((nodeId) => ({ nodeId, roles: [{ role: roleOf(nodeId), organizationId: "" }] })),
  });
}

const named = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${prefix}-${i}`);

function stage(role: NodeRole, neighbours: readonly string[]) {
  const clock = new ManualClock(nowMs);
  const peers = new LinkPeers(clock);
  const snapshot = snapshotOf(role, neighbours);
  const dead = new Set<string>();
  return {
    clock,
    peers,
    dead,
    look: () => [...peers.choose(snapshot, (id) => !dead.has(id))].sort(),
    guest: (id: string) => {
      const socket = new EventEmitter();
      peers.guest(id, socket as unknown as Socket);
      return socket;
    },
  };
}

describe("the standing links of a node", () => {
  it("are all there are in a small cluster, whether they answer or not", () => {
    const { look, dead, clock } = stage(NodeRole.ENTRY, named("re", 3));
    dead.add("re-1");
    expect(look()).toEqual(named("re", 3));
    clock.advance(10 * limits.peerMissingMs);
    expect(look()).toEqual(named("re", 3));
  });

  it("are a few in a large one, and a peer that does not come up in time is replaced for good", () => {
    const { look, dead, clock } = stage(NodeRole.ENTRY, named("re", 30));
    const first = look();
    expect(first).toHaveLength(peerBounds.edge.wanted);
    const lost = first[0] ?? "";
    dead.add(lost);
    expect(look()).toEqual(first);
    clock.advance(limits.peerMissingMs);
    const second = look();
    expect(second).not.toContain(lost);
    expect(second).toHaveLength(first.length);
    expect(second.filter((id) => first.includes(id))).toEqual(first.slice(1));
    dead.clear();
    clock.advance(limits.peerRestMs);
    expect(look()).toEqual(second);
  });

  it("go elsewhere when a relay has no room", () => {
    const { look, peers } = stage(NodeRole.EGRESS, named("re", 30));
    const [first = "", ...others] = look();
    peers.full(first);
    expect(look()).toEqual(expect.arrayContaining(others));
    expect(look()).not.toContain(first);
    const small = stage(NodeRole.EGRESS, named("re", 3));
    small.peers.full("re-0");
    expect(small.look()).toEqual(["re-1", "re-2"]);
    small.clock.advance(limits.peerRestMs);
    expect(small.look()).toEqual(named("re", 3));
  });

  it("LAW nobody holds more than 20: a relay takes guests up to its room and tells the others, until one leaves", () => {
    const { look, guest, peers } = stage(NodeRole.RELAY, [...named("re", 399), ...named("en", 600)]);
    expect(look()).toHaveLength(peerBounds.core.wanted);
    const sockets = named("en", 40).map((id) => guest(id));
    const held = look();
    expect(held).toHaveLength(peerBounds.core.max);
    const refused = named("en", 40).filter((id) => peers.isFull(id));
    expect(refused).toEqual(named("en", 40).slice(12));
    sockets[0]?.emit("close");
    expect(look()).toContain("en-12");
    expect(peers.isFull("en-12")).toBe(false);
    expect(peers.isFull("en-0")).toBe(true);
  });
});
