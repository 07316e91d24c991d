/** A channel's end as an error for its owner: reason, stable detail, how far it got. Nothing here names a node or a path. */

import { ChannelEnd, ChannelStage } from "../gen/weft/channel/v1/channel_pb.ts";
import type { Reason } from "../lib/errors.ts";
import { WeftError } from "../lib/errors.ts";

const ends: Readonly<Record<Exclude<keyof typeof ChannelEnd, number>, readonly [Reason, string]>> = {
  UNSPECIFIED: ["unavailable", "the channel ended"],
  UNKNOWN_RESOURCE: ["not_found", "there is no such resource"],
  NOT_ALLOWED: ["permission_denied", "this caller may not use the resource"],
  TARGET_REFUSED: ["unavailable", "the target refused the connection"],
  TARGET_UNREACHABLE: ["unavailable", "the target cannot be reached"],
  TARGET_TIMEOUT: ["deadline_exceeded", "the target did not answer in time"],
  TARGET_RESET: ["aborted", "the target reset the connection"],
  CANCELED: ["canceled", "the other side went away"],
  NO_PATH: ["unavailable", "no path to the resource could be opened"],
  TRUNK_LOST: ["unavailable", "the way to the other side was lost"],
  CREDIT_OVERRUN: ["internal", "the other side sent more than it was allowed"],
  PROTOCOL: ["internal", "the other side broke the protocol"],
  LIMIT: ["resource_exhausted", "there are too many channels"],
  REVOKED: ["permission_denied", "the right to use the resource was withdrawn"],
  DRAINING: ["unavailable", "the node is draining"],
  INTERNAL: ["internal", "the channel failed"],
  MESSAGE_TOO_LARGE: ["resource_exhausted", "a message is longer than the fabric carries"],
  MESSAGE_TRUNCATED: ["data_loss", "a side ended in the middle of a message"],
  LEASE_HELD: ["failed_precondition", "the resource is exclusive and in use through another entry"],
  LEASE_UNKNOWN: ["unavailable", "the resource is exclusive, and nobody can say now who may use it"],
  OFFLINE: ["unavailable", "the resource's offline policy ends this while control cannot be heard"],
  FENCED: ["aborted", "the exclusive right to use the resource has passed on"],
};

function nameOf(table: Readonly<Record<string, number>>, value: number): string {
  for (const [name, number] of Object.entries(table)) if (number === value) return name;
  return "UNSPECIFIED";
}

/** "NO_PATH" and so on. */
export function endName(end: ChannelEnd): string {
  return nameOf(ChannelEnd, end);
}

export interface EndFacts {
  readonly end: ChannelEnd;
  readonly stage: ChannelStage;
  /** Bytes the target's kernel has taken, at least. */
  readonly writtenToTarget: number;
  readonly correlationId: string;
  readonly cause?: unknown;
}

/** The error a channel is destroyed with. `detail` is the name of the end; `metadata` says stage and how far it got. */
export function channelError(facts: EndFacts): WeftError {
  const end = endName(facts.end);
  const [reason, message] = ends[end as keyof typeof ends];
  return new WeftError(reason, message, {
    detail: end,
    ...(facts.cause === undefined ? {} : { cause: facts.cause }),
    metadata: {
      end,
      stage: nameOf(ChannelStage, facts.stage),
      writtenToTarget: String(facts.writtenToTarget),
      correlationId: facts.correlationId,
    },
  });
}
