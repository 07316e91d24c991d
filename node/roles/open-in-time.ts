/**
 * Opening a channel for somebody who waits: path after path and egress after egress may be tried, but the waiting has one
 * bound, whatever each attempt may take. What an attempt makes after that is there for the next who asks.
 */

import type { EdgeChannel } from "../../edge/channel.ts";
import { channelError } from "../../edge/channel-error.ts";
import { ChannelEnd, ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import type { Clock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { ChannelWish, EntryRole } from "./entry.ts";

/**
 * `entry.open`, given up after `limits.channelOpenMaxMs`.
 * @throws WeftError as `entry.open` does; NO_PATH at stage FABRIC when the time is over.
 */
export async function openInTime(
  entry: Pick<EntryRole, "open">,
  clock: Clock,
  wish: ChannelWish & { readonly signal: AbortSignal },
): Promise<EdgeChannel> {
  const giveUp = new AbortController();
  const onGone = (): void => giveUp.abort();
  let isLate = false;
  const timer = clock.after(limits.channelOpenMaxMs, () => {
    isLate = true;
    giveUp.abort();
  });
  wish.signal.addEventListener("abort", onGone, { once: true });
  if (wish.signal.aborted) giveUp.abort();
  try {
    return await entry.open({ ...wish, signal: giveUp.signal });
  } catch (cause) {
    if (!isLate) throw cause;
    const correlationId = cause instanceof WeftError ? (cause.metadata["correlationId"] ?? "") : "";
    const facts = { stage: ChannelStage.FABRIC, correlationId, writtenToTarget: 0, cause };
    throw channelError({ ...facts, end: ChannelEnd.NO_PATH });
  } finally {
    timer.cancel();
    wish.signal.removeEventListener("abort", onGone);
  }
}
