/** What control does by the clock for the revocation feed: looks whether it fills, and what nodes sign about it. */

import { limits } from "../../lib/limits.ts";
import type { FeedSource } from "../domain/feed.ts";
import { watchFeed } from "../domain/feed-alerts.ts";
import { listClusters } from "../store/clusters.ts";
import type { StoreContext } from "../store/context.ts";
import { Rounds } from "./rounds.ts";

export interface FeedWatch {
  /** Ends the timer and waits for a look under way. */
  stop(): Promise<void>;
}

/** Looks every `limits.feedWatchMs`; a failed look is logged and made again at its next time. */
export function startFeedWatch(ctx: StoreContext, feeds: FeedSource): FeedWatch {
  const { clock, log } = ctx;
  const rounds = new Rounds({ clock, log: log.child({ sub: "feed-watch" }) }, "a look at the feed failed");
  rounds.every(limits.feedWatchMs, "clusters", async () => {
    for (const { id } of await listClusters(ctx.sql)) await watchFeed(ctx.sql, feeds, id);
  });
  return { stop: () => rounds.stop() };
}
