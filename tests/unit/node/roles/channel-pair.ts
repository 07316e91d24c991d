/** A real trunk within one process, and a channel on it with both its ends. For tests that need an `EdgeChannel`. */

import type { EdgeChannel } from "../../../../edge/channel.ts";
import { TrunkAcceptor } from "../../../../edge/trunk-acceptor.ts";
import { TrunkPool } from "../../../../edge/trunk-pool.ts";
import type { ChannelOpen } from "../../../../fabric/trunk/messages.ts";
import { ChannelClass } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { systemClock } from "../../../../lib/clock.ts";
import { silentLog } from "../../../../lib/log.ts";
import { systemRandom } from "../../../../lib/random.ts";
import { dialPath, listenForPaths, makeIdentities } from "../../../harness/edge-paths.ts";

export interface Trunks {
  /** Opens a channel; `far` is its other end, not accepted yet. */
  open(wish?: Partial<ChannelOpen>): Promise<{ near: EdgeChannel; far: EdgeChannel }>;
  /** The far ends, as they come. */
  readonly arrived: { readonly channel: EdgeChannel; readonly open: ChannelOpen }[];
  readonly pool: TrunkPool;
  close(): Promise<void>;
}

export async function makeTrunks(): Promise<Trunks> {
  const identities = await makeIdentities();
  const arrived: Trunks["arrived"] = [];
  const acceptor = new TrunkAcceptor<string>({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    accept: () => true,
    onChannel: (channel, open) => {
      channel.on("error", () => {});
      arrived.push({ channel, open });
      waiting.shift()?.(channel);
    },
  });
  const waiting: ((channel: EdgeChannel) => void)[] = [];
  const listener = await listenForPaths(identities, (path) => acceptor.add(path));
  const pool = new TrunkPool({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    openPath: () => dialPath(identities, listener.port),
  });
  return {
    arrived,
    pool,
    async open(wish = {}) {
      const far = new Promise<EdgeChannel>((resolve) => waiting.push(resolve));
      const open = {
        resource: "web",
        class: ChannelClass.INTERACTIVE,
        origin: undefined,
        correlationId: "corr",
        ...wish,
      };
      const near = await pool.open({ farEdge: "egress", organizationId: "org" }, open);
      near.on("error", () => {});
      return { near, far: await far };
    },
    async close() {
      await pool.close();
      await acceptor.close();
      await listener.close();
    },
  };
}
