/** What a node's metrics say of its links. */

import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { CountersSchema, GetStatusResponseSchema } from "../../../gen/weft/node/v1/node_pb.ts";
import { type NodeScrape, nodeRows } from "../../../node/metric-table.ts";

it("a link that is down has no round trip: what was measured while it fell says nothing about now", () => {
  const status = create(GetStatusResponseSchema, {
    links: [
      { peerName: "relay-1", state: "up", rttMs: 1.5, lossShare: 0 },
      { peerName: "relay-2", state: "waiting", rttMs: 151_773, lossShare: 0.99 },
    ],
  });
  const view = {
    status,
    counters: create(CountersSchema),
    trunks: [],
    leasesLeftMs: new Map(),
    leafAgeMs: 0,
    nowMs: 0,
  };
  const samplesOf = (name: string): unknown[] => {
    const row = nodeRows.find((each) => each.name === name);
    return [...(row?.read(view as unknown as NodeScrape) ?? [])];
  };
  expect(samplesOf("weft_link_rtt_seconds")).toEqual([[{ peer: "relay-1" }, 0.0015]]);
  // That nothing comes back is news as long as it lasts.
  expect(samplesOf("weft_link_loss_ratio")).toHaveLength(2);
});
