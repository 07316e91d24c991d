/** A surface small enough for tests of what carries calls: leases, one by one, and echoes of batches, both for nodes. */

import type { ConnectRouter } from "@connectrpc/connect";
import { ChannelService } from "../../gen/weft/channel/v1/channel_pb.ts";
import { LeaseService } from "../../gen/weft/lease/v1/lease_pb.ts";
import { inspectPolicy, type PolicyTable, rowsOf } from "../../rpc/policy.ts";

const row = { callers: ["node"], arrivedBy: ["control"], subject: { kind: "caller" }, limit: "node" } as const;

export const twoServices: PolicyTable = {
  ...inspectPolicy,
  ...rowsOf(LeaseService, { acquire: row, renew: row, release: row, get: row }),
  ...rowsOf(ChannelService, { open: row, echo: row }),
};

/** Sends every batch back. */
export function echoBatches(router: ConnectRouter): void {
  router.rpc(ChannelService.method.echo, async function* (requests) {
    for await (const { batch } of requests) yield batch === undefined ? {} : { batch };
  });
}
