/**
 * One direction of a splice at a policed rate: a token bucket that pauses the source when it is empty. Sources are slowed
 * by back-pressure only; nothing is dropped, and no more is queued than without a rate.
 */

import type { Socket } from "node:net";
import type { Clock } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";

/** Moves bytes from `source` to `sink`, at most `bytesPerSecond` over any longer time, until `source` ends. */
export function pumpAtRate(source: Socket, sink: Socket, bytesPerSecond: number, clock: Clock): void {
  const burstBytes = Math.max(limits.spliceReadMaxBytes, (bytesPerSecond * limits.spliceRateBurstMs) / 1_000);
  let tokens = burstBytes;
  let atMs = clock.monoMs();
  let waits = 0;
  const hold = (): void => {
    waits += 1;
    source.pause();
  };
  const release = (): void => {
    waits -= 1;
    if (waits === 0 && !source.destroyed) source.resume();
  };
  source.on("data", (chunk: Buffer) => {
    const nowMs = clock.monoMs();
    tokens = Math.min(burstBytes, tokens + ((nowMs - atMs) * bytesPerSecond) / 1_000) - chunk.length;
    atMs = nowMs;
    if (!sink.write(chunk)) {
      hold();
      sink.once("drain", release);
    }
    if (tokens < 0) {
      hold();
      clock.after((-tokens * 1_000) / bytesPerSecond, release);
    }
  });
  source.on("end", () => sink.end());
}
