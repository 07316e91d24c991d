/**
 * Ended spans on their way out. Whoever ends a span waits for nothing: it goes into a queue, and what the receiver does not
 * take is dropped and counted.
 *
 * TE1. The queue is bounded. When it is full, what comes is dropped: what waits is older, and its traces are nearer to whole.
 * TE2. One request at a time. One that may be repeated is, a few times; then its spans are dropped.
 * TE3. Closing sends what is left, for `limits.traceCloseMaxMs` at most.
 */

import { Backoff, linkBackoff } from "../lib/backoff.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { EndedSpan } from "../lib/tracer.ts";
import { encodeSpans, type TraceSource } from "./trace-encode.ts";
import type { Posted, TraceReceiver } from "./trace-post.ts";

/** Why spans did not arrive. */
export const traceDrops = ["queue_full", "unreachable", "refused", "rejected", "shutdown", "not_joined"] as const;
export type TraceDrop = (typeof traceDrops)[number];

/** Since the process started. */
export interface TraceCounts {
  readonly exported: number;
  readonly dropped: Readonly<Record<TraceDrop, number>>;
  readonly waiting: number;
}

export interface TraceExporterOptions {
  readonly receiver: TraceReceiver;
  readonly source: TraceSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export class TraceExporter {
  readonly #options: TraceExporterOptions;
  readonly #dropped = Object.fromEntries(traceDrops.map((why) => [why, 0])) as Record<TraceDrop, number>;
  readonly #closing = new AbortController();
  readonly #stopTicking: () => void;
  #queue: EndedSpan[] = [];
  #exported = 0;
  #sending: Promise<void> | undefined;
  #isFailing = false;

  constructor(options: TraceExporterOptions) {
    this.#options = options;
    const timer = options.clock.every(limits.traceExportEveryMs, () => this.#send());
    this.#stopTicking = () => timer.cancel();
  }

  /** Never waits and never throws (TE1). */
  offer(span: EndedSpan): void {
    if (this.#closing.signal.aborted) this.drop("shutdown");
    else if (this.#queue.length >= limits.traceQueueMaxCount) this.drop("queue_full");
    else this.#queue.push(span);
    if (this.#queue.length === limits.traceBatchMaxCount) this.#send();
  }

  drop(why: TraceDrop, count = 1): void {
    this.#dropped[why] += count;
  }

  counts(): TraceCounts {
    return { exported: this.#exported, dropped: { ...this.#dropped }, waiting: this.#queue.length };
  }

  /** TE3. Resolves in any case. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#stopTicking();
    // Nobody waits between attempts any more.
    this.#closing.abort();
    const { clock, receiver } = this.#options;
    const enough = new AbortController();
    const flushed = (async () => {
      await this.#sending;
      this.#send();
      await this.#sending;
    })();
    await Promise.race([flushed, sleep(clock, limits.traceCloseMaxMs, enough.signal)]);
    enough.abort();
    receiver.close();
    this.drop("shutdown", this.#queue.splice(0).length);
  }

  #send(): void {
    if (this.#sending !== undefined || this.#queue.length === 0) return;
    this.#sending = this.#sendAll().finally(() => {
      this.#sending = undefined;
    });
  }

  async #sendAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, limits.traceBatchMaxCount);
      const posted = await this.#post(encodeSpans(batch, this.#options.source));
      if (posted.kind === "taken") {
        const rejected = Math.min(posted.rejectedCount, batch.length);
        this.drop("rejected", rejected);
        this.#exported += batch.length - rejected;
      } else this.drop(posted.kind === "refused" ? "refused" : "unreachable", batch.length);
      this.#tell(posted);
    }
  }

  /** TE2. */
  async #post(body: Uint8Array): Promise<Posted> {
    const { receiver, clock, random } = this.#options;
    const backoff = new Backoff(linkBackoff, random);
    for (let attempt = 1; ; attempt += 1) {
      const posted = await receiver.post(body);
      const isLast = attempt >= limits.traceAttemptsMaxCount || this.#closing.signal.aborted;
      if (posted.kind !== "later" || isLast) return posted;
      await sleep(clock, Math.max(backoff.nextMs(), posted.afterMs), this.#closing.signal);
    }
  }

  /** Once when it begins to fail, once when it works again. */
  #tell(posted: Posted): void {
    const isFailing = posted.kind !== "taken";
    if (isFailing === this.#isFailing) return;
    this.#isFailing = isFailing;
    const { log } = this.#options;
    if (posted.kind === "taken") log.info("traces are taken again");
    else log.warn("traces are not taken", { reason: posted.why });
  }
}
