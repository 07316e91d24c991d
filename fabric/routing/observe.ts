/**
 * What a node knows of one of its links, from its own probes.
 *
 * OB1. Pure: an observation and a sample give the next observation; time comes with the sample.
 * OB2. What was never measured is absent, never 0: a link that only failed has losses and failures, and no round trip.
 *      Reliability alone has a prior: a link counts as up until seen otherwise, so that one early failure is one.
 * OB3. A failure is a penalised sample: it worsens the round trip, counts as loss and is remembered, halving every minute.
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RouteLinkSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../lib/limits.ts";

/** Everything learned about one direction of a link. */
export interface LinkObservation {
  readonly rttMs?: number;
  /** Mean absolute difference of consecutive round trips (after RFC 3550, 6.4.1). */
  readonly jitterMs?: number;
  readonly lastRttMs?: number;
  readonly lossShare: number;
  readonly reliabilityShare: number;
  readonly bandwidthBytesPerSecond?: number;
  readonly recentFailures: number;
  readonly measuredAtMs: number;
}

export type LinkSample =
  | {
      readonly kind: "ok";
      readonly atMs: number;
      readonly rttMs: number;
      /** Only when this sample moved enough bytes to tell. */
      readonly bandwidthBytesPerSecond?: number;
    }
  | { readonly kind: "failed"; readonly atMs: number /** How long the probe waited. */; readonly timeoutMs: number };

/** The observation after one more sample. Samples older than the last one count as simultaneous with it. */
export function observe(before: LinkObservation | undefined, sample: LinkSample): LinkObservation {
  const sinceMs = before === undefined ? 0 : Math.max(0, sample.atMs - before.measuredAtMs);
  const failed = sample.kind === "failed" ? 1 : 0;
  const lossShare = average(before?.lossShare, failed, sinceMs, limits.observationHalfLifeMs);
  const reliabilityShare = average(before?.reliabilityShare ?? 1, 1 - failed, sinceMs, limits.reliabilityHalfLifeMs);
  const recentFailures = decayedFailures(before?.recentFailures ?? 0, sinceMs) + failed;
  const measuredAtMs = Math.max(before?.measuredAtMs ?? sample.atMs, sample.atMs);
  const base = { lossShare, reliabilityShare, recentFailures, measuredAtMs };
  const bandwidth = bandwidthAfter(before, sample, sinceMs);
  const withBandwidth = bandwidth === undefined ? base : { ...base, bandwidthBytesPerSecond: bandwidth };
  return { ...withBandwidth, ...roundTripAfter(before, sample, sinceMs) };
}

function roundTripAfter(
  before: LinkObservation | undefined,
  sample: LinkSample,
  sinceMs: number,
): Pick<LinkObservation, "rttMs" | "jitterMs" | "lastRttMs"> {
  const { rttMs, jitterMs, lastRttMs } = before ?? {};
  if (sample.kind === "failed") {
    if (rttMs === undefined) return {};
    // The penalty does not touch jitter: it says nothing about how steady the answers are that do come.
    const penalised = average(rttMs, Math.max(sample.timeoutMs, 2 * rttMs), sinceMs, limits.observationHalfLifeMs);
    return { rttMs: penalised, ...optional("jitterMs", jitterMs), ...optional("lastRttMs", lastRttMs) };
  }
  const smoothed = average(rttMs, sample.rttMs, sinceMs, limits.observationHalfLifeMs);
  if (lastRttMs === undefined) return { rttMs: smoothed, lastRttMs: sample.rttMs };
  const change = Math.abs(sample.rttMs - lastRttMs);
  const jitter = average(jitterMs, change, sinceMs, limits.observationHalfLifeMs);
  return { rttMs: smoothed, jitterMs: jitter, lastRttMs: sample.rttMs };
}

function bandwidthAfter(before: LinkObservation | undefined, sample: LinkSample, sinceMs: number): number | undefined {
  const held = before?.bandwidthBytesPerSecond;
  const measured = sample.kind === "ok" ? sample.bandwidthBytesPerSecond : undefined;
  return measured === undefined ? held : average(held, measured, sinceMs, limits.observationHalfLifeMs);
}

/** An average in which what is `halfLifeMs` old weighs half. Samples in one instant still count. */
function average(held: number | undefined, fresh: number, sinceMs: number, halfLifeMs: number): number {
  if (held === undefined) return fresh;
  const freshWeight = 1 - 2 ** (-Math.max(sinceMs, limits.linkProbeMs / 2) / halfLifeMs);
  return held + (fresh - held) * freshWeight;
}

function decayedFailures(count: number, sinceMs: number): number {
  return count * 2 ** (-sinceMs / limits.failureHalfLifeMs);
}

function optional<K extends string>(name: K, value: number | undefined): { [P in K]?: number } {
  return value === undefined ? {} : ({ [name]: value } as { [P in K]: number });
}

/** The observation as it is reported and planned with, its failures aged to `nowMs`. */
export function toRouteLink(
  fromNodeId: string,
  toNodeId: string,
  observation: LinkObservation,
  nowMs: number,
): MessageInitShape<typeof RouteLinkSchema> {
  const { rttMs, jitterMs, bandwidthBytesPerSecond, lossShare, reliabilityShare, measuredAtMs } = observation;
  return {
    fromNodeId,
    toNodeId,
    lossShare,
    reliabilityShare,
    recentFailures: decayedFailures(observation.recentFailures, Math.max(0, nowMs - measuredAtMs)),
    measuredAtMs: BigInt(Math.floor(measuredAtMs)),
    ...optional("rttMs", rttMs),
    ...optional("jitterMs", jitterMs),
    ...optional("bandwidthBytesPerSecond", bandwidthBytesPerSecond),
  };
}
