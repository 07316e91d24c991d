/**
 * One direction of a splice at a policed rate. Sources are slowed by back-pressure only; nothing is dropped, and no more is
 * queued than without a rate: what was read and may not go yet is one read at most, and the source is paused meanwhile.
 *
 * RP1. Over any time t, at most rate x t + burst bytes pass.
 * RP2. What waits goes on in slices of a few milliseconds, not in one piece when all of it may: the far end hears bytes all
 *      the time and does not take a slow path for a dead one.
 */

import type { Socket } from "node:net";
import type { Clock } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import { RateBucket, type RateShape } from "../lib/rate-bucket.ts";

export interface RatePump {
  /** Another rate from now on. */
  reshape(shape: RateShape): void;
}

/** Moves bytes from `source` to `sink` within `shape` until `source` ends. */
export function pumpAtRate(source: Socket, sink: Socket, shape: RateShape, clock: Clock): RatePump {
  const bucket = new RateBucket(shape, clock.monoMs());
  let held: Buffer | undefined;
  let ended = false;
  /** A write the kernel has not taken, or a slice whose time has not come: one of them at a time. */
  let waiting = false;

  function pass(): void {
    waiting = false;
    while (held !== undefined && !waiting && !sink.destroyed) {
      const nowMs = clock.monoMs();
      const slice = Math.min(held.length, sliceBytes(bucket.shape));
      const waitMs = bucket.waitMs(slice, nowMs);
      if (waitMs > 0) {
        waiting = true;
        clock.after(waitMs, pass);
        return;
      }
      const piece = held.subarray(0, Math.max(slice, Math.min(held.length, bucket.roomBytes(nowMs))));
      held = piece.length === held.length ? undefined : held.subarray(piece.length);
      bucket.take(piece.length, nowMs);
      if (!sink.write(piece)) {
        waiting = true;
        sink.once("drain", pass);
      }
    }
    if (waiting || held !== undefined) return;
    if (ended) sink.end();
    else if (!source.destroyed) source.resume();
  }

  source.on("data", (chunk: Buffer) => {
    held = held === undefined ? chunk : Buffer.concat([held, chunk]);
    source.pause();
    if (!waiting) pass();
  });
  source.on("end", () => {
    ended = true;
    if (!waiting) pass();
  });
  return { reshape: (next) => bucket.reshape(next, clock.monoMs()) };
}

/** What passes at once while bytes wait: `qosSliceMs` worth, never more than the burst. */
function sliceBytes({ rateBytesPerSecond, burstBytes }: RateShape): number {
  return Math.max(1, Math.min(burstBytes, Math.ceil((rateBytesPerSecond * limits.qosSliceMs) / 1_000)));
}
