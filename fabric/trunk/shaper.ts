/**
 * What a lane may send by policy. The lane has one bucket, charged with every batch that carries data or is repeated;
 * channels of resources (or classes) with a rate of their own share a bucket per lane besides. Pure: time is an argument.
 *
 * SH1. New data never passes a bucket: over any time t a lane sends at most rate x t + burst, control frames aside.
 * SH2. Control frames never wait for a rate: without opens and credit the other direction, and other channels, would stand
 *      still. They are charged, as repeated batches are, and data waits until that is paid.
 * SH3. Who waits for a bucket of its own is out of the lane's turns: it delays no channel that does not share it (LAW-T4).
 */

import { limits } from "../../lib/limits.ts";
import { RateBucket, type RateShape } from "../../lib/rate-bucket.ts";
import type { TrunkChannel } from "./channel.ts";
import type { LaneName } from "./lane-name.ts";
import type { ChannelOpen } from "./messages.ts";

/** What a policy means for one channel. */
export interface ChannelShape {
  /** Its share among those that wait in the lane; 1 is usual. */
  readonly weight: number;
  /** Channels with the same key share the rate. */
  readonly key: string;
  /** Undefined: bound by the lane alone. */
  readonly rate: RateShape | undefined;
}

/** The policy of one trunk. */
export interface TrunkQos {
  lane(name: LaneName): RateShape | undefined;
  channel(open: ChannelOpen): ChannelShape;
}

export class LaneShaper {
  #qos: TrunkQos | undefined;
  #lane: RateBucket | undefined;
  readonly #keyed = new Map<string, RateBucket>();
  readonly #parked = new Set<TrunkChannel>();
  #dryUntilMs: number | undefined;
  #parkedDueMs: number | undefined;

  /** A policy from now on, for the lane and the channels in it. */
  apply(qos: TrunkQos, name: LaneName, channels: Iterable<TrunkChannel>, nowMs: number): void {
    this.#qos = qos;
    this.#lane = reshaped(this.#lane, qos.lane(name), nowMs);
    this.#dryUntilMs = undefined;
    const before = new Set(this.#keyed.keys());
    for (const channel of channels) {
      this.adopt(channel, nowMs);
      before.delete(qos.channel(channel.open).key);
    }
    for (const key of before) this.#keyed.delete(key);
    if (this.#parked.size > 0) this.#parkedDueMs = nowMs;
  }

  /** Gives a channel its weight and the bucket it shares. */
  adopt(channel: TrunkChannel, nowMs: number): void {
    if (this.#qos === undefined) return;
    const { weight, key, rate } = this.#qos.channel(channel.open);
    channel.weight = weight;
    channel.bucket = rate === undefined ? undefined : reshaped(this.#keyed.get(key), rate, nowMs);
    if (channel.bucket === undefined) this.#keyed.delete(key);
    else this.#keyed.set(key, channel.bucket);
  }

  /** Data bytes the lane may send now; 0 while less than a chunk would be worth a batch. */
  laneRoomBytes(nowMs: number): number {
    if (this.#lane === undefined) return Number.POSITIVE_INFINITY;
    const room = this.#lane.roomBytes(nowMs);
    const waitMs = this.#lane.waitMs(limits.qosChunkBytes, nowMs);
    this.#dryUntilMs = waitMs > 0 && room < limits.qosChunkBytes / 4 ? nowMs + waitMs : undefined;
    return this.#dryUntilMs === undefined ? room : 0;
  }

  /** As of the last look, the lane has no room. */
  get dry(): boolean {
    return this.#dryUntilMs !== undefined;
  }

  /** Charges a batch. */
  sent(bytes: number, nowMs: number): void {
    this.#lane?.take(bytes, nowMs);
  }

  /** Of `wantedBytes`, how many this channel may send now by its own bucket; with 0 it is parked until it may. */
  grant(channel: TrunkChannel, wantedBytes: number, nowMs: number): number {
    const { bucket } = channel;
    if (bucket === undefined) return wantedBytes;
    const waitMs = bucket.waitMs(Math.min(wantedBytes, limits.qosChunkBytes), nowMs);
    const room = Math.min(wantedBytes, bucket.roomBytes(nowMs));
    if (waitMs === 0 && room > 0) return room;
    channel.parked = true;
    this.#parked.add(channel);
    this.#parkedDueMs = Math.min(this.#parkedDueMs ?? Number.POSITIVE_INFINITY, nowMs + waitMs);
    return 0;
  }

  /** When `tick` has something to do: the lane or a parked channel has room again. `laneWaits`: it has something to send. */
  nextDueMs(laneWaits: boolean): number | undefined {
    const lane = laneWaits ? this.#dryUntilMs : undefined;
    if (lane === undefined || this.#parkedDueMs === undefined) return lane ?? this.#parkedDueMs;
    return Math.min(lane, this.#parkedDueMs);
  }

  /** Lets go whoever has waited long enough: `resume` is told. True when something may be sent that might not before. */
  tick(nowMs: number, resume: (channel: TrunkChannel) => void): boolean {
    const resumed = this.#parkedDueMs !== undefined && this.#parkedDueMs <= nowMs && this.#unpark(nowMs, resume);
    if (this.#dryUntilMs === undefined || this.#dryUntilMs > nowMs) return resumed;
    this.#dryUntilMs = undefined;
    return true;
  }

  #unpark(nowMs: number, resume: (channel: TrunkChannel) => void): boolean {
    let resumed = false;
    this.#parkedDueMs = undefined;
    for (const channel of this.#parked) {
      const waitMs = waitOf(channel, nowMs);
      if (waitMs > 0) {
        this.#parkedDueMs = Math.min(this.#parkedDueMs ?? Number.POSITIVE_INFINITY, nowMs + waitMs);
        continue;
      }
      this.#parked.delete(channel);
      channel.parked = false;
      resume(channel);
      resumed = true;
    }
    return resumed;
  }

  clear(): void {
    this.#parked.clear();
    this.#dryUntilMs = undefined;
    this.#parkedDueMs = undefined;
  }
}

function waitOf(channel: TrunkChannel, nowMs: number): number {
  const wanted = Math.min(channel.sendableBytes, limits.qosChunkBytes);
  return wanted <= 0 ? 0 : (channel.bucket?.waitMs(wanted, nowMs) ?? 0);
}

function reshaped(bucket: RateBucket | undefined, shape: RateShape | undefined, nowMs: number): RateBucket | undefined {
  if (shape === undefined) return undefined;
  if (bucket === undefined) return new RateBucket(shape, nowMs);
  bucket.reshape(shape, nowMs);
  return bucket;
}
