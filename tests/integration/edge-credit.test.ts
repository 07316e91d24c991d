/** LAW-T3 over real edges: credit that nobody uses goes back by itself, and the channel goes on afterwards. */

import { once } from "node:events";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { KiB, limits, MiB } from "../../lib/limits.ts";
import { eventually } from "../harness/eventually.ts";
import { makeTrunks, type Trunks } from "../unit/node/roles/channel-pair.ts";

let trunks: Trunks;
beforeAll(async () => {
  trunks = await makeTrunks();
});
afterAll(() => trunks.close());

it("LAW-T3 an edge hands back credit after it was idle, and sends on when it has more to say", async () => {
  const { near, far } = await trunks.open({ class: ChannelClass.BULK });
  let arrivedBytes = 0;
  far.on("data", (chunk: Buffer) => (arrivedBytes += chunk.length));
  far.accept();
  await near.opened;
  const send = async (bytes: number): Promise<void> => {
    for (let sent = 0; sent < bytes; sent += 64 * KiB)
      if (!near.write(Buffer.alloc(64 * KiB))) await once(near, "drain");
  };
  const unusedBytes = (): number => near.stats().sendLimitBytes - near.stats().bytesSent;
  await send(16 * MiB);
  await eventually(() => arrivedBytes === 16 * MiB, { what: "everything to arrive", withinMs: 10_000 });
  expect(unusedBytes()).toBeGreaterThan(2 * limits.channelCreditStartBytes);
  await eventually(() => unusedBytes() === limits.channelCreditStartBytes, {
    what: "the credit to go back",
    withinMs: limits.creditIdleMs + 10 * limits.creditSweepMs,
  });
  await send(4 * MiB);
  await eventually(() => arrivedBytes === 20 * MiB, { what: "the rest to arrive", withinMs: 10_000 });
  near.destroy();
}, 40_000);
