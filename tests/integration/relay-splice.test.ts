import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Clock, ManualClock, systemClock } from "../../lib/clock.ts";
import { KiB, limits, MiB } from "../../lib/limits.ts";
import { type SpliceEnd, Splices, spliceMemoryMaxBytes } from "../../relay/splice.ts";
import { eventually, throughout } from "../harness/eventually.ts";
import { closed, SocketPairs } from "../harness/socket-pairs.ts";

let pairs: SocketPairs;
beforeEach(async () => {
  pairs = await SocketPairs.open();
});
afterEach(() => pairs.close());

/** near - (a = b) - far, spliced in the middle. */
async function path(splices: Splices, rateBytesPerSecond = 0) {
  const left = await pairs.make();
  const right = await pairs.make();
  const ends: { reason: SpliceEnd; forwardBytes: number; backBytes: number }[] = [];
  const splice = splices.join(left.accepted, right.dialled, {
    rate: rateBytesPerSecond === 0 ? undefined : { rateBytesPerSecond, burstBytes: 256 * KiB },
    onEnd: (end) => void ends.push(end),
  });
  return { near: left.dialled, a: left.accepted, b: right.dialled, far: right.accepted, ends, splice };
}

function collect(socket: Socket): { bytes(): number; hash(): string } {
  const hash = createHash("sha256");
  let bytes = 0;
  socket.on("data", (data: Buffer) => {
    hash.update(data);
    bytes += data.length;
  });
  return { bytes: () => bytes, hash: () => hash.copy().digest("hex") };
}

it("LAW-R2 a reset of one leg ends the other: 200 of 200 far edges are told, nothing leaks (E1)", async () => {
  const splices = new Splices({ clock: systemClock });
  const paths = await Promise.all(Array.from({ length: 200 }, async () => await path(splices)));
  const told = paths.map(({ far }) => closed(far.resume()));
  for (const { near } of paths) near.resetAndDestroy();
  await Promise.all(told);
  expect(paths.map(({ ends }) => ends.map((end) => end.reason))).toEqual(paths.map(() => ["peer_error"]));
  await eventually(() => splices.count === 0 && pairs.open === 0, { what: "every socket gone" });
});

it("gathers bulk, and passes on at once what is small", async () => {
  let gathered = 0;
  const clock: Clock = {
    ...systemClock,
    after(delayMs, fn, options) {
      if (delayMs === limits.spliceGatherMs) gathered += 1;
      return systemClock.after(delayMs, fn, options);
    },
  };
  const { near, far } = await path(new Splices({ clock }));
  far.on("data", (data: Buffer) => void far.write(data));
  for (let turn = 0; turn < 200; turn += 1) {
    near.write(Buffer.alloc(KiB, turn));
    await once(near, "data");
  }
  expect(gathered).toBe(0);
  far.removeAllListeners("data");
  const data = randomBytes(4 * MiB);
  const seen = collect(far);
  for (let at = 0; at < data.length; at += 64 * KiB) {
    near.write(data.subarray(at, at + 64 * KiB));
    await eventually(() => seen.bytes() === at + 64 * KiB, { what: "a piece at the far end" });
  }
  expect(seen.hash()).toBe(createHash("sha256").update(data).digest("hex"));
  expect(gathered).toBeGreaterThan(0);
});

it("a FIN flushes what is queued, both ways, then ends both legs", async () => {
  const splices = new Splices({ clock: systemClock });
  const { near, far, ends } = await path(splices);
  const data = randomBytes(4 * MiB);
  const seen = collect(far);
  near.resume();
  near.end(data);
  await once(far, "end");
  expect(seen.bytes()).toBe(data.length);
  expect(seen.hash()).toBe(createHash("sha256").update(data).digest("hex"));
  far.end("the last word");
  await once(near, "end");
  await eventually(() => pairs.open === 0 && splices.count === 0, { what: "both legs gone" });
  expect(ends).toEqual([{ reason: "peer_closed", forwardBytes: data.length, backBytes: "the last word".length }]);
});

it("a leg that does not answer a FIN is let go after a second", async () => {
  const clock = new ManualClock();
  const splices = new Splices({ clock });
  const { near, far, a, b, ends } = await path(splices);
  near.end("bye");
  await once(far.resume(), "end");
  clock.advance(limits.spliceFlushAfterFinMs - 1);
  expect(ends).toEqual([]);
  clock.advance(1);
  expect(ends).toMatchObject([{ reason: "peer_closed", forwardBytes: 3 }]);
  expect(a.destroyed && b.destroyed).toBe(true);
});

it("a pair silent for 60 s is reset, one that moves a byte is not", async () => {
  const clock = new ManualClock();
  const splices = new Splices({ clock });
  const silent = await path(splices);
  const busy = await path(splices);
  const seen = collect(busy.far);
  silent.far.resume();
  const told = closed(silent.near.resume());
  clock.advance(30_000);
  busy.near.write("x");
  await eventually(() => seen.bytes() === 1, { what: "the byte" });
  clock.advance(31_000);
  await told;
  expect(silent.ends).toMatchObject([{ reason: "silent" }]);
  expect(busy.ends).toEqual([]);
  expect(splices.count).toBe(1);
});

it("LAW-R2 user space per path stays within its bound when both ends stop reading", async () => {
  const splices = new Splices({ clock: systemClock });
  const paths = await Promise.all(Array.from({ length: 4 }, async () => await path(splices)));
  for (const { near, far } of paths) {
    for (const end of [near, far]) {
      end.pause();
      // More than the kernel takes on a loopback connection.
      end.write(Buffer.alloc(32 * MiB));
    }
  }
  const held = (): number[] => paths.map(({ splice }) => splice.heldBytes());
  await eventually(() => held().every((bytes) => bytes > 64 * KiB), { what: "stalled paths" });
  const bound = spliceMemoryMaxBytes(limits.spliceHighWaterBytes);
  await throughout(200, () => held().every((bytes) => bytes <= bound), "the bound");
});

it("polices the rate of a path without losing a byte", async () => {
  const splices = new Splices({ clock: systemClock });
  const rate = 8 * MiB;
  const { near, far } = await path(splices, rate);
  const data = randomBytes(4 * MiB);
  const seen = collect(far);
  const startedMs = performance.now();
  near.end(data);
  await once(far, "end");
  const seconds = (performance.now() - startedMs) / 1_000;
  expect(seen.hash()).toBe(createHash("sha256").update(data).digest("hex"));
  // The first burst is free.
  expect(seconds).toBeGreaterThan((data.length - 256 * KiB) / rate);
});

it("counts every byte once", async () => {
  let counted = 0;
  const onBytes = (bytes: number): void => {
    counted += bytes;
  };
  const splices = new Splices({ clock: systemClock, sweepMs: 5, onBytes });
  const { near, far } = await path(splices);
  const seen = collect(far);
  for (let i = 0; i < 20; i++) {
    near.write(randomBytes(10_000));
    await eventually(() => seen.bytes() === (i + 1) * 10_000, { everyMs: 1 });
  }
  splices.close();
  expect(counted).toBe(200_000);
});
