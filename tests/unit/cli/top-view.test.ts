import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type NodeLook, nodeLine, topText } from "../../../cli/top-view.ts";
import { NodeRole } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { GetStatusResponseSchema, TrunkStatusSchema } from "../../../gen/weft/node/v1/node_pb.ts";

const nameOf = (id: string): string => id.replace(/^nd-/, "");

function look(
  atMs: number,
  status: MessageInitShape<typeof GetStatusResponseSchema>,
  trunks: readonly MessageInitShape<typeof TrunkStatusSchema>[] = [],
): NodeLook {
  return {
    id: "nd-entry",
    name: "entry",
    atMs,
    status: create(GetStatusResponseSchema, { bootId: "b1", roles: [{ role: NodeRole.ENTRY }], ...status }),
    trunks: trunks.map((trunk) => create(TrunkStatusSchema, trunk)),
  };
}

const trunk = { trunkId: "aa", farNodeId: "nd-exit", initiator: true, channels: 3, replayBytes: 4_096n, moves: 2n };
const hops = ["nd-entry", "nd-mid", "nd-exit"];

describe("weft top", () => {
  it("makes rates out of two looks, in 10^6 bytes per second", () => {
    const before = look(1_000, { counters: { bytesSpliced: 1_000_000n } }, [{ ...trunk, bytesSent: 500_000n }]);
    const now = look(3_000, { counters: { bytesSpliced: 5_000_000n } }, [
      {
        ...trunk,
        bytesSent: 2_500_000n,
        attachments: [
          { lane: "bulk", active: true, ready: true, hops },
          { lane: "bulk", active: false, ready: true, hops: ["nd-entry", "nd-other", "nd-exit"] },
        ],
      },
    ]);
    const line = nodeLine(now, before, nameOf);
    expect(line).toMatchObject({ node: "entry", roles: ["entry"], state: "up", spliced_mb_per_s: 2 });
    expect(line.trunks).toMatchObject([
      {
        far: "exit",
        sent_mb_per_s: 1,
        replay_bytes: 4_096,
        moves: 2,
        standbys: 1,
        paths: { bulk: ["entry", "mid", "exit"] },
      },
    ]);
    expect(topText([line])).toContain("bulk: entry > mid > exit");
  });

  it("takes no rate from a node that began anew, nor from one look", () => {
    const counters = { bytesSpliced: 9_000_000n };
    const now = look(2_000, { counters });
    expect(nodeLine(now, undefined, nameOf).spliced_mb_per_s).toBe(0);
    expect(nodeLine(now, look(1_000, { bootId: "b0", counters: { bytesSpliced: 1n } }), nameOf).spliced_mb_per_s).toBe(
      0,
    );
  });

  it("says nothing about links that are down, and why a node is silent", () => {
    const links = [
      { peerNodeId: "nd-mid", state: "up", rttMs: 1.5, lossShare: 0.25 },
      { peerNodeId: "nd-other", state: "dialing", rttMs: 1.5, lossShare: 0 },
    ];
    expect(nodeLine(look(1_000, { links }), undefined, nameOf).links).toEqual([
      { peer: "mid", state: "up", rtt_ms: 1.5, loss_share: 0.25 },
      { peer: "other", state: "dialing" },
    ]);
    const silent = nodeLine({ id: "x", name: "x", atMs: 0, trunks: [], error: "refused" }, undefined, nameOf);
    expect(silent).toMatchObject({ state: "silent", error: "refused", links: [], trunks: [] });
    expect(topText([silent])).toContain("silent");
  });

  it("shows a trunk once, at the edge that opened it, and names the peer of one whose opener does not answer", () => {
    const far = { ...trunk, initiator: false, farNodeId: "spiffe://t/cluster/cl-a/node/nd-entry|org-1" };
    const entry = nodeLine(look(0, {}, [trunk]), undefined, nameOf);
    const exit = { ...nodeLine(look(0, {}, [far]), undefined, nameOf), node: "exit" };
    expect(exit.trunks[0]?.far).toBe("entry");
    expect(topText([exit, entry]).match(/no path/g)).toHaveLength(1);
    expect(topText([exit]).match(/no path/g)).toHaveLength(1);
  });
});
