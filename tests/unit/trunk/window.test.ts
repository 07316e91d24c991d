/** The window loop against a modelled link: a rate, a round trip, noise of the hosts. Time is virtual, noise is seeded. */

import { describe, expect, it } from "vitest";
import { SendWindow } from "../../../fabric/trunk/window.ts";
import { KiB, limits, MiB } from "../../../lib/limits.ts";
import { seededRandom } from "../../../lib/random.ts";

interface LinkShape {
  readonly bytesPerMs: number;
  readonly rttMs: number;
  /** Acks come late by up to this much, and now and then by `stallMs`. */
  readonly noiseMs: number;
  readonly stallMs: number;
  readonly seed: number;
}

const batchBytes = 64 * KiB;

/** A sender that always has something, for `seconds`; what it moved after the first second, and how long bytes were under way. */
function run(shape: LinkShape, seconds: number): { share: number; queueMs: number; sizeBytes: number } {
  const random = seededRandom(shape.seed);
  const window = new SendWindow(limits.bulkWindowStartBytes, limits.bulkWindowMaxBytes);
  const acks: { atMs: number; seq: number; sentMs: number }[] = [];
  let [nowMs, seq, unacked, freeAtMs, lastAckMs] = [0, 1, 0, 0, 0];
  let [counted, delays, delayCount] = [0, 0, 0];
  while (nowMs < seconds * 1_000) {
    while (unacked + batchBytes <= window.sizeBytes) {
      freeAtMs = Math.max(freeAtMs, nowMs) + batchBytes / shape.bytesPerMs;
      const stall = random.float() < 0.002 ? shape.stallMs : 0;
      lastAckMs = Math.max(lastAckMs, freeAtMs + shape.rttMs + random.float() * shape.noiseMs + stall);
      acks.push({ atMs: lastAckMs, seq, sentMs: nowMs });
      seq += 1;
      unacked += batchBytes;
    }
    window.heldBack();
    const ack = acks.shift();
    if (ack === undefined) throw new Error("the window lets nothing go");
    nowMs = ack.atMs;
    unacked -= batchBytes;
    window.acked(nowMs, batchBytes, nowMs - ack.sentMs, ack.seq, seq);
    if (nowMs < 1_000) continue;
    counted += batchBytes;
    delays += nowMs - ack.sentMs - shape.rttMs;
    delayCount += 1;
  }
  const share = counted / (shape.bytesPerMs * (seconds - 1) * 1_000);
  return { share, queueMs: delays / delayCount, sizeBytes: window.sizeBytes };
}

describe("the window of a lane", () => {
  const calm = { noiseMs: 2, stallMs: 0 };
  const busy = { noiseMs: 12, stallMs: 120 };

  it.each([
    { name: "100 MB/s over 50 ms", bytesPerMs: 100_000, rttMs: 50, hosts: calm, share: 0.95, queueMs: 30 },
    { name: "100 MB/s over 50 ms, busy hosts", bytesPerMs: 100_000, rttMs: 50, hosts: busy, share: 0.75, queueMs: 80 },
    { name: "12.5 MB/s over 50 ms", bytesPerMs: 12_500, rttMs: 50, hosts: calm, share: 0.95, queueMs: 30 },
    { name: "12.5 MB/s over 50 ms, busy hosts", bytesPerMs: 12_500, rttMs: 50, hosts: busy, share: 0.85, queueMs: 60 },
    { name: "12.5 MB/s over 5 ms", bytesPerMs: 12_500, rttMs: 5, hosts: calm, share: 0.95, queueMs: 50 },
    { name: "400 MB/s over 0.2 ms", bytesPerMs: 400_000, rttMs: 0.2, hosts: calm, share: 0.95, queueMs: 10 },
  ])("fills $name and lets little queue", ({ bytesPerMs, rttMs, hosts, share, queueMs }) => {
    for (let seed = 1; seed <= 5; seed += 1) {
      const seen = run({ bytesPerMs, rttMs, ...hosts, seed }, 30);
      expect(seen.share, `seed ${seed}`).toBeGreaterThan(share);
      expect(seen.queueMs, `seed ${seed}`).toBeLessThan(queueMs);
    }
  });

  it("LAW-T3 stays within its bounds", () => {
    const seen = run({ bytesPerMs: 1_000_000, rttMs: 200, noiseMs: 0, stallMs: 0, seed: 1 }, 10);
    expect(seen.sizeBytes).toBe(16 * MiB);
    expect(run({ bytesPerMs: 100, rttMs: 1, noiseMs: 0, stallMs: 0, seed: 1 }, 60).sizeBytes).toBeLessThanOrEqual(
      2 * limits.bulkWindowStartBytes,
    );
  });

  it("forgets what it measured when the lane moves", () => {
    const window = new SendWindow(512 * KiB, 16 * MiB);
    let seq = 1;
    let nowMs = 0;
    const rounds = (count: number, delayMs: number, bytes: number): void => {
      for (let i = 0; i < count; i += 1) {
        nowMs += delayMs;
        window.heldBack();
        window.acked(nowMs, bytes, delayMs, seq, seq + 1);
        seq += 1;
      }
    };
    rounds(200, 1, 100_000);
    const before = window.sizeBytes;
    window.moved(nowMs, seq);
    rounds(200, 50, 5_000_000);
    expect(window.sizeBytes).toBeGreaterThan(2 * before);
  });
});
