/**
 * Opening a channel for somebody who waits: path after path and egress after egress may be tried, but the waiting has one
 * bound, whatever each attempt may take, and so has the far edge's answer: a trunk that holds on without a path must not
 * make a new connection hang. What an attempt makes after that is there for the next who asks.
 */

import type { EdgeChannel } from "../../edge/channel.ts";
import { channelError } from "../../edge/channel-error.ts";
import { ChannelEnd, ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import type { Clock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { ChannelWish, EntryRole } from "./entry.ts";

function tooLate(correlationId: string, cause?: unknown): WeftError {
  const facts = { stage: ChannelStage.FABRIC, end: ChannelEnd.NO_PATH, correlationId, writtenToTarget: 0 };
  return channelError(cause === undefined ? facts : { ...facts, cause });
}

/** Ends a channel that the far edge has not answered for when the time is over. */
function answeredInTime(channel: EdgeChannel, clock: Clock, withinMs: number): void {
  const timer = clock.after(withinMs, () => channel.destroy(tooLate(channel.correlationId)));
  const cancel = (): void => timer.cancel();
  // Rejected when the channel ends before.
  channel.opened.then(cancel, cancel);
}

/**
 * `entry.open`, given up after `limits.channelOpenMaxMs`; the channel ends with NO_PATH when target or refusal is not
 * known `limits.channelAnswerMaxMs` after the call.
 * @throws WeftError as `entry.open` does; NO_PATH at stage FABRIC when the time is over.
 */
export async function openInTime(
  entry: Pick<EntryRole, "open">,
  clock: Clock,
  wish: ChannelWish & { readonly signal: AbortSignal },
): Promise<EdgeChannel> {
  const answerByMs = clock.monoMs() + limits.channelAnswerMaxMs;
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
    const channel = await entry.open({ ...wish, signal: giveUp.signal });
    answeredInTime(channel, clock, answerByMs - clock.monoMs());
    return channel;
  } catch (cause) {
    if (!isLate) throw cause;
    throw tooLate(cause instanceof WeftError ? (cause.metadata["correlationId"] ?? "") : "", cause);
  } finally {
    timer.cancel();
    wish.signal.removeEventListener("abort", onGone);
  }
}
