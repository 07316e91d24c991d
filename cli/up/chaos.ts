/**
 * `weft up --chaos`: again and again, the relay in use is killed, frozen or drained under a transfer that is checked byte for
 * byte. What was done to a relay is undone within its round, so that the next one finds a whole fabric.
 */

import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../../lib/errors.ts";
import type { NodePort } from "../node-port.ts";
import { type BusyPath, busyPath } from "./busy-path.ts";
import type { Fabric } from "./fabric.ts";
import { askFabricNode, type Failover, nodeNames } from "./failovers.ts";
import { VerifiedStream } from "./stream.ts";

export const chaosFaults = ["kill", "freeze", "drain"] as const;
export type ChaosFault = (typeof chaosFaults)[number];

export interface ChaosRound {
  readonly round: number;
  readonly fault: ChaosFault;
  /** The relay it was done to: the one that carried the transfer. */
  readonly node: string;
  /** Node names before and after, edge to edge. */
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly cause: string;
  /** What the trunk could move to when it was done. */
  readonly standbys: number;
  /** Of the transfer's trunk, in this round. */
  readonly moves: number;
  /** What the edges say: the longest of them. */
  readonly gap_ms: number;
  /** What the client saw: the longest time without a byte. */
  readonly stall_ms: number;
  readonly replayed_bytes: number;
  /** In this round, and they were all equal to what was sent. */
  readonly bytes_verified: number;
  readonly ok: boolean;
  /** Why it is not. */
  readonly why?: string;
}

export interface ChaosSummary {
  readonly summary: true;
  readonly ok: boolean;
  readonly rounds: number;
  readonly rounds_ok: number;
  readonly moves: number;
  readonly gap_ms_max: number;
  readonly stall_ms_max: number;
  readonly bytes_verified: number;
  readonly connections_lost: number;
  /** Of the last connection's two directions. */
  readonly sha256_equal: boolean;
}

export interface ChaosOptions {
  readonly fabric: Fabric;
  /** One fault per this long. */
  readonly intervalMs: number;
  /** Ends by itself after so many; never when absent. */
  readonly rounds?: number;
  readonly signal: AbortSignal;
  readonly onRound: (round: ChaosRound) => void;
}

const entry = "entry-1";
const bytesPerSecond = 4_000_000;
const lookEveryMs = 20;
const finishWithinMs = 10_000;

export class Chaos {
  readonly #options: ChaosOptions;
  readonly #moves: Failover[] = [];
  #stream: VerifiedStream;
  #verifiedBefore = 0;
  #connectionsLost = 0;

  constructor(options: ChaosOptions) {
    this.#options = options;
    this.#stream = this.#open();
  }

  /** Hears of every move (cli/up/failovers.ts). */
  heard(failover: Failover): void {
    this.#moves.push(failover);
  }

  /** Runs until the signal, or for the given number of rounds. Everything done to a relay is undone when it resolves. */
  async run(): Promise<ChaosSummary> {
    const { signal, rounds = Number.POSITIVE_INFINITY, onRound } = this.#options;
    const done: ChaosRound[] = [];
    while (done.length < rounds && !signal.aborted) {
      const round = await this.#round(done.length + 1);
      // Interrupted in the middle: it proves nothing.
      if (round === undefined) break;
      done.push(round);
      onRound(round);
    }
    const { fault } = this.#stream.counts();
    const { equal } = await this.#stream.finish(finishWithinMs);
    const isOk = done.every(({ ok }) => ok);
    return {
      summary: true,
      ok: isOk && equal && fault === undefined && done.length > 0,
      rounds: done.length,
      rounds_ok: done.filter(({ ok }) => ok).length,
      moves: movesOf(this.#moves),
      gap_ms_max: Math.max(0, ...done.map(({ gap_ms }) => gap_ms)),
      stall_ms_max: Math.max(0, ...done.map(({ stall_ms }) => stall_ms)),
      bytes_verified: this.#verifiedBefore + this.#stream.counts().verifiedBytes,
      connections_lost: this.#connectionsLost,
      sha256_equal: equal,
    };
  }

  #open(): VerifiedStream {
    return new VerifiedStream(this.#options.fabric.listenerPort(`echo-${entry}`), bytesPerSecond);
  }

  async #round(round: number): Promise<ChaosRound | undefined> {
    const { intervalMs, signal } = this.#options;
    const fault = chaosFaults[(round - 1) % chaosFaults.length] ?? "kill";
    const untilMs = performance.now() + intervalMs;
    const hit = await this.#untilFound(untilMs);
    if (signal.aborted) return undefined;
    this.#stream.mark();
    const firstMove = this.#moves.length;
    const before = this.#stream.counts();
    let why = hit === undefined ? "no path through a relay was found" : undefined;
    if (hit !== undefined) {
      try {
        await this.#strike(fault, hit, intervalMs, firstMove);
      } catch (thrown) {
        why = messageOf(thrown);
      }
    }
    await pause(untilMs - performance.now(), signal);
    if (signal.aborted) return undefined;
    const moves = this.#movesOff(hit, firstMove);
    const after = this.#stream.counts();
    if (moves.length === 0) why ??= `no move was told of (${hit?.standbys ?? 0} standbys stood)`;
    if (after.verifiedBytes === before.verifiedBytes) why ??= "no byte came back";
    why = after.fault ?? why;
    if (after.fault !== undefined) this.#replaceStream();
    const last = moves.at(-1);
    // It may move again in the same round: back to what ranks better, or off a path that was no good.
    const all = this.#moves.slice(firstMove).filter(({ trunk }) => trunk === hit?.trunk);
    return {
      round,
      fault,
      node: hit?.node ?? "",
      from: hit?.path ?? [],
      to: last?.to ?? [],
      cause: last?.cause ?? "",
      standbys: hit?.standbys ?? 0,
      moves: movesOf(all),
      gap_ms: Math.max(0, ...all.map(({ gapMs }) => gapMs)),
      stall_ms: Math.round(after.stallMs * 10) / 10,
      replayed_bytes: all.reduce((sum, { replayedBytes }) => sum + replayedBytes, 0),
      bytes_verified: after.verifiedBytes - before.verifiedBytes,
      ok: why === undefined,
      ...(why === undefined ? {} : { why }),
    };
  }

  /** Does it, waits for the move or for half the round, and undoes it whatever happened. */
  async #strike(fault: ChaosFault, hit: BusyPath, intervalMs: number, firstMove: number): Promise<void> {
    const { signal } = this.#options;
    const undo = await this.#injure(fault, hit.node);
    try {
      const halfMs = performance.now() + intervalMs / 2;
      const moved = (): boolean => this.#movesOff(hit, firstMove).length > 0;
      while (!moved() && performance.now() < halfMs && !signal.aborted) await pause(lookEveryMs, signal);
      // A frozen relay stays frozen for a while after the move: it must be able to thaw late and harm nothing.
      await pause(intervalMs / 4, signal);
    } finally {
      await undo();
    }
  }

  /** Moves of the transfer's trunk off the relay that was hit. */
  #movesOff(hit: BusyPath | undefined, firstMove: number): Failover[] {
    if (hit === undefined) return [];
    return this.#moves.slice(firstMove).filter(({ trunk, from }) => trunk === hit.trunk && from.includes(hit.node));
  }

  /** Resolves with how to undo it. */
  async #injure(fault: ChaosFault, node: string): Promise<() => Promise<void>> {
    const { fabric } = this.#options;
    const { pid } = fabric.process(node);
    if (fault === "kill") {
      process.kill(pid, "SIGKILL");
      return async () => void (await fabric.restart(node));
    }
    if (fault === "freeze") {
      process.kill(pid, "SIGSTOP");
      return async () => void process.kill(pid, "SIGCONT");
    }
    await this.#atNode(node, (client) => client.drain({}));
    return async () => void (await this.#atNode(node, (client) => client.undrain({})));
  }

  async #atNode<T>(name: string, ask: (client: NodePort["client"]) => Promise<T>): Promise<T> {
    const { fabric } = this.#options;
    return await fabric.withSession((session) => askFabricNode(fabric, session, name, ask));
  }

  /** The path that carries the transfer now, once there is one. */
  async #untilFound(untilMs: number): Promise<BusyPath | undefined> {
    const { signal } = this.#options;
    while (performance.now() < untilMs && !signal.aborted) {
      const hit = await this.#inUse().catch(() => undefined);
      if (hit !== undefined) return hit;
      await pause(lookEveryMs * 5, signal);
    }
    return undefined;
  }

  async #inUse(): Promise<BusyPath | undefined> {
    const { trunks } = await this.#atNode(entry, (client) => client.listTrunks({}));
    return busyPath(trunks, nodeNames(this.#options.fabric));
  }

  #replaceStream(): void {
    this.#verifiedBefore += this.#stream.counts().verifiedBytes;
    this.#connectionsLost += 1;
    void this.#stream.finish(0);
    this.#stream = this.#open();
  }
}

/** How many moves these reports stand for. */
const movesOf = (reports: readonly Failover[]): number => reports.reduce((sum, { moves }) => sum + moves, 0);

/** Waits, but not longer than until the signal. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await delay(ms, undefined, { signal }).catch(() => {});
}

const columns = [
  ["ROUND", 5],
  ["FAULT", 6],
  ["NODE", 8],
  ["CAUSE", 9],
  ["GAP MS", 8],
  ["STALL MS", 8],
  ["REPLAYED B", 10],
  ["VERIFIED B", 11],
] as const;

function line(cells: readonly string[]): string {
  return cells.map((cell, at) => cell.padStart(columns[at]?.[1] ?? 0)).join("  ");
}

/** The head of the running table. */
export function chaosHead(): string {
  return line([...columns.map(([name]) => name), "OK"]);
}

/** One row of it. */
export function chaosRow(round: ChaosRound): string {
  const { fault, node, cause, gap_ms, stall_ms, replayed_bytes, bytes_verified, ok, why } = round;
  const cells = [String(round.round), fault, node, cause, gap_ms.toFixed(1), stall_ms.toFixed(1)];
  return line([...cells, String(replayed_bytes), String(bytes_verified), ok ? "yes" : `NO: ${why}`]);
}

/** The end of it. */
export function chaosText(summary: ChaosSummary): string {
  return [
    `${summary.rounds_ok} of ${summary.rounds} rounds ok, ${summary.moves} moves, longest gap ${summary.gap_ms_max.toFixed(1)} ms, longest stall ${summary.stall_ms_max.toFixed(1)} ms`,
    `${summary.bytes_verified} bytes came back equal${summary.sha256_equal ? ", SHA-256 too" : "; SHA-256 DIFFERS"}; ${summary.connections_lost} connections lost`,
  ].join("\n");
}
