/** One direction of a policed splice, by a clock that only the test moves. */

import type { Socket } from "node:net";
import { PassThrough, Writable } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../lib/clock.ts";
import { KiB } from "../../../lib/limits.ts";
import type { RateShape } from "../../../lib/rate-bucket.ts";
import { pumpAtRate, type RatePump } from "../../../relay/rate-pump.ts";
import { runs } from "../../harness/counts.ts";

/** Streams settle over a few turns of the loop. */
async function settle(): Promise<void> {
  for (let i = 0; i < 4; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

interface Pumped {
  readonly clock: ManualClock;
  readonly source: PassThrough;
  readonly pump: RatePump;
  readonly pieces: { readonly atMs: number; readonly bytes: Buffer }[];
  ended(): boolean;
  moved(): number;
}

function pumped(shape: RateShape): Pumped {
  const clock = new ManualClock();
  const source = new PassThrough({ highWaterMark: 64 * KiB });
  const pieces: { readonly atMs: number; readonly bytes: Buffer }[] = [];
  let isEnded = false;
  const sink = new Writable({
    highWaterMark: 64 * KiB,
    write(chunk: Buffer, _encoding, done) {
      pieces.push({ atMs: clock.monoMs(), bytes: chunk });
      done();
    },
    final(done) {
      isEnded = true;
      done();
    },
  });
  const pump = pumpAtRate(source as unknown as Socket, sink as unknown as Socket, shape, clock);
  const moved = (): number => pieces.reduce((sum, piece) => sum + piece.bytes.length, 0);
  return { clock, source, pump, pieces, moved, ended: () => isEnded };
}

describe("a policed direction", () => {
  it("RP1 passes at most rate x t + burst over any span, every byte once, in order, and then the end", async () => {
    const cases = fc.record({
      rate: fc.integer({ min: 64 * KiB, max: 4_000_000 }),
      burst: fc.integer({ min: 128 * KiB, max: 300_000 }),
      sizes: fc.array(fc.integer({ min: 1, max: 60_000 }), { minLength: 1, maxLength: 20 }),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ rate, burst, sizes }) => {
        const { clock, source, pieces, moved, ended } = pumped({ rateBytesPerSecond: rate, burstBytes: burst });
        const sent = sizes.map((size, i) => Buffer.alloc(size, i));
        for (const chunk of sent) source.write(chunk);
        source.end();
        const total = sizes.reduce((a, b) => a + b, 0);
        for (let i = 0; i < 2_000 && !ended(); i += 1) {
          await settle();
          clock.advance(10 + Math.ceil((10_000 * total) / rate / 100));
        }
        await settle();
        expect(ended()).toBe(true);
        expect(moved()).toBe(total);
        expect(Buffer.concat(pieces.map(({ bytes }) => bytes)).equals(Buffer.concat(sent))).toBe(true);
        // The fullest that a bucket which leaks at the rate ever gets is the most that any span passed above it.
        let level = 0;
        let fullest = 0;
        for (const [i, { atMs, bytes }] of pieces.entries()) {
          level = Math.max(0, level - ((atMs - (pieces[i - 1]?.atMs ?? atMs)) * rate) / 1_000) + bytes.length;
          fullest = Math.max(fullest, level);
        }
        expect(fullest).toBeLessThanOrEqual(burst + 1);
      }),
      { numRuns: runs(15, 300), endOnFailure: true },
    );
  });

  it("RP2 lets bytes flow all the time while they wait, within 10 % of the rate", async () => {
    const rate = 64 * KiB;
    const { clock, source, pieces, moved } = pumped({ rateBytesPerSecond: rate, burstBytes: 128 * KiB });
    source.write(Buffer.alloc(1_000_000));
    await settle();
    for (let ms = 0; ms < 5_000; ms += 5) {
      clock.advance(5);
      await settle();
    }
    const waiting = pieces.filter(({ atMs }) => atMs > (pieces[0]?.atMs ?? 0));
    const gaps = waiting.slice(1).map(({ atMs }, i) => atMs - (waiting[i]?.atMs ?? 0));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(50);
    expect(moved()).toBeGreaterThan(128 * KiB + 0.9 * 5 * rate);
    expect(moved()).toBeLessThanOrEqual(128 * KiB + 5 * rate);
  });

  it("takes another rate while it runs", async () => {
    const { clock, source, pump, moved } = pumped({ rateBytesPerSecond: 64 * KiB, burstBytes: 128 * KiB });
    source.write(Buffer.alloc(2_000_000));
    await settle();
    const before = moved();
    pump.reshape({ rateBytesPerSecond: 1_000_000_000, burstBytes: 10_000_000 });
    for (let i = 0; i < 200; i += 1) {
      clock.advance(25);
      await settle();
    }
    expect(before).toBeLessThanOrEqual(128 * KiB);
    expect(moved()).toBe(2_000_000);
  });
});
