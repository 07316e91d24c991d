/** What control does by the clock for the revocation feed: looks whether it fills, and what nodes sign about it. */

import { messageOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { FeedSource } from "../domain/feed.ts";
import { watchFeed } from "../domain/feed-alerts.ts";
import { listClusters } from "../store/clusters.ts";
import type { StoreContext } from "../store/context.ts";

export interface FeedWatch {
  /** Ends the timer and waits for a look under way. */
  stop(): Promise<void>;
}

/** Looks every `limits.feedWatchMs`; a failed look is logged and made again at its next time. */
export function startFeedWatch(ctx: StoreContext, feeds: FeedSource): FeedWatch {
  const log = ctx.log.child({ sub: "feed-watch" });
  let running: Promise<void> | undefined;
  const round = async (): Promise<void> => {
    for (const { id } of await listClusters(ctx.sql)) await watchFeed(ctx.sql, feeds, id);
  };
  const timer = ctx.clock.every(limits.feedWatchMs, () => {
    running ??= round()
      .catch((error: unknown) => log.warn("a look at the feed failed", { error: messageOf(error) }))
      .finally(() => {
        running = undefined;
      });
  });
  return {
    async stop() {
      timer.cancel();
      await running;
    },
  };
}
