/**
 * `weft check loop`: a numbered message to a resource that echoes on every tick, over one channel, for a while. What fails on
 * the way is the fabric's to survive; the loop says whether it did.
 *
 * CL1. A tick is never late because of the one before: what does not come back is waited for beside what is sent next.
 * CL2. A channel that is over takes with it what was on its way: those bytes are lost, and the next tick asks for another one.
 * CL3. What is still on its way after the last tick is waited for as long as a trunk is held; then it is lost.
 */

import type { Duplex } from "node:stream";
import type { ClientEvent } from "../../client/connect.ts";
import { type Clock, sleep } from "../../lib/clock.ts";
import { messageOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { EchoChannel } from "./echo-channel.ts";
import type { EchoAnswer } from "./echo-ledger.ts";
import { tenths } from "./tenths.ts";

export interface LoopTick {
  readonly tick: number;
  /** When it was over, milliseconds since the epoch. */
  readonly atMs: number;
  /** Messages so far. */
  readonly sent: number;
  readonly received: number;
  /** Whether a path is in use. */
  readonly up: boolean;
  /** Node id of the entry it goes by; empty when there is none. */
  readonly entry: string;
  /** Names where they are known: the entry, a number for what a client is not told, the pool; empty when there is none. */
  readonly path: readonly string[];
  /** `ok`: everything sent is back. `waiting`: not yet. `lost`: some of it never will be. `down`: nothing could be sent. */
  readonly result: "ok" | "waiting" | "lost" | "down";
  /** Of the newest message that came back in this tick. */
  readonly rttMs?: number;
  /** Why, when something was lost or could not be sent. */
  readonly problem?: string;
  readonly failovers: readonly Failover[];
}

/** A move of the connection to another path. */
export interface Failover {
  readonly cause: string;
  /** When it was over, milliseconds since the epoch. */
  readonly atMs: number;
  /** How long this edge heard nothing, its rest before the fault included: at most a tick more than the failover took. */
  readonly gapMs: number;
  /** Node ids; empty when there was no path. */
  readonly fromEntry: string;
  readonly toEntry: string;
  /** The same, by name where it is known. */
  readonly fromName: string;
  readonly toName: string;
  /** As `LoopTick.path`. */
  readonly fromPath: readonly string[];
  readonly toPath: readonly string[];
  readonly moves: number;
}

export interface LoopReport {
  /** Every tick was sent, and every byte came back as it was. */
  readonly ok: boolean;
  readonly ticks: readonly LoopTick[];
  readonly sent: number;
  readonly received: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly bytesLost: number;
  /** There and back, of the message that took longest of those that came back: what a failover cost. Absent: none did. */
  readonly slowestRttMs?: number;
  readonly failoverObserved: boolean;
  readonly failovers: readonly Failover[];
}

export interface LoopOptions {
  readonly open: () => Promise<Duplex>;
  /** Where bytes go right now. */
  readonly path: () => Pick<LoopTick, "up" | "entry" | "path">;
  /** Moves since it was asked last. */
  readonly takeFailovers: () => readonly Failover[];
  readonly clock: Clock;
  readonly forMs: number;
  readonly tickMs: number;
  readonly onTick: (tick: LoopTick) => void;
  /** Ends the loop after the tick it is in. */
  readonly signal?: AbortSignal;
}

/** The message of a tick: it says which one it is, and is long enough that a part of it is none. */
export function messageOfTick(tick: number): Buffer {
  return Buffer.from(`weft check ${String(tick).padStart(8, "0")} ${"0123456789abcdef".repeat(6)}\n`);
}

/** What a client's event is to the loop; undefined: nothing. The first path of all is no failover. */
export function failoverOf(event: ClientEvent, atMs: number, nameOf: (id: string) => string): Failover | undefined {
  if (event.kind !== "moved" || event.cause === "first") return undefined;
  const { cause, gapMs, fromEntry, toEntry, fromPath, toPath, moves } = event;
  return {
    ...{ cause, atMs, gapMs: tenths(gapMs), fromEntry, toEntry, moves },
    ...{ fromName: nameOf(fromEntry), toName: nameOf(toEntry) },
    ...{ fromPath: fromPath.map(nameOf), toPath: toPath.map(nameOf) },
  };
}

/** Rejects when the first channel cannot be opened: nothing was sent then. Later ones are asked for again and again. */
export async function runLoop(options: LoopOptions): Promise<LoopReport> {
  const run = new Run(options, new EchoChannel(await options.open(), options.clock));
  const { clock, tickMs, forMs, signal } = options;
  const startMs = clock.monoMs();
  const ticks = Math.max(1, Math.round(forMs / tickMs));
  for (let tick = 1; tick <= ticks && signal?.aborted !== true; tick += 1) {
    run.begin(tick);
    await sleep(clock, startMs + tick * tickMs - clock.monoMs(), signal);
    run.end(tick);
  }
  return await run.finish();
}

class Run {
  readonly #options: LoopOptions;
  #echo: EchoChannel | undefined;
  #isOpening = false;
  #isOver = false;
  #openProblem = "";
  #missed = 0;
  #slowestRttMs: number | undefined;
  /** Of channels that are over. */
  readonly #past: EchoChannel[] = [];
  readonly #ticks: LoopTick[] = [];

  constructor(options: LoopOptions, first: EchoChannel) {
    this.#options = options;
    this.#echo = first;
  }

  begin(tick: number): void {
    if (this.#echo === undefined) {
      this.#missed += 1;
      this.#reopen();
    } else this.#echo.send(messageOfTick(tick));
  }

  end(tick: number): void {
    const echo = this.#echo;
    const answer = this.#answers();
    const row = {
      ...{ tick, atMs: Math.round(this.#options.clock.nowMs()) },
      ...{ ...this.#options.path(), failovers: this.#options.takeFailovers() },
      ...(answer === undefined ? {} : { rttMs: tenths(answer.rttMs) }),
    };
    let told: Pick<LoopTick, "result" | "problem">;
    if (echo === undefined) told = { result: "down", problem: this.#openProblem || "no path yet" };
    else if (echo.end !== undefined) {
      told = { result: echo.ledger.waiting > 0 ? "lost" : "down", problem: echo.end };
      this.#retire(echo);
    } else told = { result: echo.ledger.waiting > 0 ? "waiting" : "ok" };
    const { sent, received } = this.#totals();
    const made: LoopTick = { ...row, sent, received, ...told };
    this.#ticks.push(made);
    this.#options.onTick(made);
  }

  async finish(): Promise<LoopReport> {
    await this.#echo?.settled(limits.holdInitiatorMs);
    this.#isOver = true;
    this.#answers();
    this.#echo?.close();
    const totals = this.#totals();
    const failovers = [
      ...this.#ticks.flatMap((tick) => tick.failovers),
      // What moved while the last of it was waited for.
      ...this.#options.takeFailovers(),
    ];
    return {
      ok: totals.bytesLost === 0 && this.#missed === 0,
      ticks: this.#ticks,
      ...totals,
      ...(this.#slowestRttMs === undefined ? {} : { slowestRttMs: tenths(this.#slowestRttMs) }),
      failoverObserved: failovers.length > 0,
      failovers,
    };
  }

  /** Takes what came back since; the newest of it. */
  #answers(): EchoAnswer | undefined {
    const answers = this.#echo?.takeAnswers() ?? [];
    for (const { rttMs } of answers) this.#slowestRttMs = Math.max(this.#slowestRttMs ?? 0, rttMs);
    return answers.at(-1);
  }

  #retire(echo: EchoChannel): void {
    echo.close();
    this.#past.push(echo);
    this.#echo = undefined;
    this.#reopen();
  }

  #reopen(): void {
    if (this.#isOpening) return;
    this.#isOpening = true;
    this.#options.open().then(
      (channel) => {
        this.#isOpening = false;
        if (this.#isOver) channel.destroy();
        else this.#echo = new EchoChannel(channel, this.#options.clock);
      },
      (thrown: unknown) => {
        this.#isOpening = false;
        this.#openProblem = messageOf(thrown);
      },
    );
  }

  #totals(): Pick<LoopReport, "sent" | "received" | "bytesSent" | "bytesReceived" | "bytesLost"> {
    const all = [...this.#past, ...(this.#echo === undefined ? [] : [this.#echo])].map(({ ledger }) => ledger.totals());
    const sum = (of: (one: (typeof all)[number]) => number): number => all.reduce((total, one) => total + of(one), 0);
    return {
      sent: sum(({ sent }) => sent),
      received: sum(({ received }) => received),
      bytesSent: sum(({ bytesSent }) => bytesSent),
      bytesReceived: sum(({ bytesReceived }) => bytesReceived),
      bytesLost: sum(({ bytesLost }) => bytesLost),
    };
  }
}
