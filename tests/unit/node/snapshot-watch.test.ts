import { describe, expect, it } from "vitest";
import { linkBackoff } from "../../../lib/backoff.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { WeftError } from "../../../lib/errors.ts";
import { silentLog } from "../../../lib/log.ts";
import { runSnapshotWatch, type SnapshotWatchDeps } from "../../../node/snapshot-watch.ts";
import { eventually } from "../../harness/eventually.ts";
import { envelopeWith, feedWith } from "./stage.ts";

type Sent = { case: "snapshot" | "feed" | "delta"; value: unknown } | { case: undefined };
type Script = (signal: AbortSignal) => AsyncIterable<{ message: Sent }>;

/** A control that plays one script per connection; the last one again and again. */
function stage(scripts: Script[], onSnapshot: (at: number) => void = () => {}) {
  const clock = new ManualClock();
  const asked: { epoch: bigint; version: bigint; takesDeltas?: boolean }[] = [];
  const heard: string[] = [];
  const identity = new Set<() => void>();
  let version = 0n;
  const deps = {
    client: () => ({
      watchSnapshot: (held: { epoch: bigint; version: bigint }, { signal }: { signal: AbortSignal }) => {
        asked.push(held);
        const script = scripts[Math.min(asked.length, scripts.length) - 1] ?? ended;
        return script(signal);
      },
    }),
    clock,
    random: { bytes: (count: number) => new Uint8Array(count), float: () => 0.5 },
    log: silentLog,
    held: () => ({ epoch: 1n, version }),
    onSnapshot: () => {
      heard.push("snapshot");
      version += 1n;
      onSnapshot(heard.length);
    },
    // A delta says itself whether it fits.
    onDelta: (fits: unknown) => {
      heard.push(`delta ${String(fits)}`);
      return fits === true;
    },
    onFeed: () => heard.push("feed"),
    onHeard: () => heard.push("heard"),
    onIdentity: (listener: () => void) => {
      identity.add(listener);
      return () => void identity.delete(listener);
    },
  } as unknown as SnapshotWatchDeps;
  const ending = new AbortController();
  const running = runSnapshotWatch(deps, ending.signal);
  return {
    clock,
    asked,
    heard,
    renewed: () => {
      for (const listener of [...identity]) listener();
    },
    waiting: () => eventually(() => clock.nextDueInMs(), { everyMs: 1 }),
    stop: async () => {
      ending.abort();
      await running;
    },
  };
}

const snapshot: Sent = { case: "snapshot", value: envelopeWith() };
const feed: Sent = { case: "feed", value: feedWith(1n) };

async function* ended(): AsyncGenerator<{ message: Sent }> {}
const failing =
  (thrown: () => Promise<never>): Script =>
  () => ({ [Symbol.asyncIterator]: () => ({ next: thrown }) });
const broken = failing(() => Promise.reject(new WeftError("unavailable", "away")));
function sends(...messages: Sent[]): Script {
  return async function* () {
    for (const message of messages) yield { message };
  };
}
function staysOpen(...messages: Sent[]): Script {
  return async function* (signal) {
    for (const message of messages) yield { message };
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
  };
}

describe("the watch of snapshots", () => {
  it("is opened again under a renewed identity, at once", async () => {
    const loop = stage([staysOpen(snapshot), staysOpen(feed), staysOpen()]);
    await eventually(() => loop.heard.length === 2, { everyMs: 1 });
    loop.renewed();
    await eventually(() => loop.heard.length === 4, { everyMs: 1 });
    expect(loop.asked).toHaveLength(2);
    expect(loop.clock.nextDueInMs()).toBeUndefined();
    await loop.stop();
  });

  it("hands on what comes, counts every message as a sign of life, and ignores kinds it does not know", async () => {
    const loop = stage([staysOpen(snapshot, feed, { case: undefined })]);
    await eventually(() => loop.heard.length === 5, { everyMs: 1 });
    expect(loop.heard).toEqual(["heard", "snapshot", "heard", "feed", "heard"]);
    await loop.stop();
  });

  it("takes deltas, and asks for the whole once after one that does not fit", async () => {
    const delta = (fits: boolean): Sent => ({ case: "delta", value: fits });
    const loop = stage([staysOpen(snapshot, delta(true), delta(false), snapshot), staysOpen(snapshot), staysOpen()]);
    loop.clock.advance(await loop.waiting());
    await eventually(() => loop.asked.length === 2 && loop.heard.length === 8, { everyMs: 1 });
    expect(loop.heard.filter((each) => each !== "heard")).toEqual([
      "snapshot",
      "delta true",
      "delta false",
      "snapshot",
    ]);
    expect(loop.asked.at(-1)).toEqual({ epoch: 0n, version: 0n, takesDeltas: true });
    loop.renewed();
    await eventually(() => loop.asked.length === 3, { everyMs: 1 });
    expect(loop.asked.at(-1)).toEqual({ epoch: 1n, version: 2n, takesDeltas: true });
    await loop.stop();
  });

  it("asks again with what it holds by then, however the stream ended", async () => {
    const loop = stage([sends(snapshot), broken, staysOpen()]);
    for (let round = 1; round <= 2; round++) {
      loop.clock.advance(await loop.waiting());
      await eventually(() => loop.asked.length === round + 1, { everyMs: 1 });
    }
    expect(loop.asked.map(({ version }) => version)).toEqual([0n, 1n, 1n]);
    await loop.stop();
  });

  it("backs off from a control that drops every stream, and starts over after one that lasted", async () => {
    const loop = stage([broken]);
    const waits: number[] = [];
    for (let round = 1; round <= 12; round++) {
      waits.push(await loop.waiting());
      loop.clock.advance(waits.at(-1) ?? 0);
      await eventually(() => loop.asked.length === round + 1, { everyMs: 1 });
    }
    expect(waits[0]).toBeCloseTo(linkBackoff.firstMs);
    expect(waits[1]).toBeCloseTo(linkBackoff.firstMs * linkBackoff.factor);
    expect(waits.at(-1)).toBeCloseTo(linkBackoff.maxMs);
    await loop.stop();

    const lasting = Promise.withResolvers<void>();
    const recovered = stage([
      broken,
      broken,
      () => ({
        [Symbol.asyncIterator]: () => ({ next: () => lasting.promise.then(() => ({ done: true, value: undefined })) }),
      }),
      broken,
    ]);
    for (let round = 1; round <= 2; round++) {
      recovered.clock.advance(await recovered.waiting());
      await eventually(() => recovered.asked.length === round + 1, { everyMs: 1 });
    }
    recovered.clock.advance(linkBackoff.resetAfterUpMs);
    lasting.resolve();
    expect(await recovered.waiting()).toBeCloseTo(linkBackoff.firstMs);
    await recovered.stop();
  });

  it("survives a message that cannot be handled", async () => {
    const loop = stage([sends(snapshot), staysOpen(feed)], (at) => {
      if (at === 2) throw new Error("bug");
    });
    loop.clock.advance(await loop.waiting());
    await eventually(() => loop.heard.includes("feed"), { everyMs: 1 });
    await loop.stop();
  });

  it("ends when the node stops, in the middle of a stream or of a pause", async () => {
    const open = stage([staysOpen(snapshot)]);
    await eventually(() => open.heard.length === 2, { everyMs: 1 });
    await open.stop();
    const pausing = stage([broken]);
    await pausing.waiting();
    await pausing.stop();
    expect(pausing.clock.nextDueInMs()).toBeUndefined();
  });
});
