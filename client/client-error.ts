/** What the callers of the SDK are told: one error with end, stage, correlation id and how far the channel got. */

import { channelError } from "../edge/channel-error.ts";
import { ChannelEnd, ChannelStage } from "../gen/weft/channel/v1/channel_pb.ts";
import { type Reason, WeftError } from "../lib/errors.ts";

/** Refusals of entries that say what is wrong; anything else is a path that could not be opened. */
const ends: Partial<Record<Reason, ChannelEnd>> = {
  not_found: ChannelEnd.UNKNOWN_RESOURCE,
  permission_denied: ChannelEnd.NOT_ALLOWED,
  unauthenticated: ChannelEnd.NOT_ALLOWED,
  resource_exhausted: ChannelEnd.LIMIT,
};

/** Nothing to do for a caller but to name another resource or get another identity. */
export function isRefusal(thrown: unknown): thrown is WeftError {
  return thrown instanceof WeftError && ["not_found", "permission_denied", "unauthenticated"].includes(thrown.reason);
}

/** A name that nothing can have. */
export function unknownResource(correlationId: string): WeftError {
  return channelError({
    end: ChannelEnd.UNKNOWN_RESOURCE,
    stage: ChannelStage.ENTRY,
    writtenToTarget: 0,
    correlationId,
  });
}

/** The failure of an open, with the entries' own refusal in front where one was the cause. */
export function openError(thrown: unknown, correlationId: string): unknown {
  if (!(thrown instanceof WeftError) || thrown.metadata["end"] !== "NO_PATH") return thrown;
  const { cause } = thrown;
  const end = cause instanceof WeftError ? ends[cause.reason] : undefined;
  if (end === undefined) return thrown;
  return channelError({ end, stage: ChannelStage.ENTRY, writtenToTarget: 0, correlationId, cause });
}
