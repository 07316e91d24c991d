/** Playing many seeds in a test: failures are collected with their scripts, and what was seen is added up. */

import { setImmediate as nextTurn } from "node:timers/promises";
import { type Ran, report, runSeed } from "./run.ts";

export interface Played {
  readonly runs: number;
  readonly failures: readonly string[];
  readonly moves: number;
  readonly accusations: number;
  readonly bytes: number;
  readonly replayedBytes: number;
  readonly opened: number;
}

const FAILURES_MAX_COUNT = 5;

/**
 * To be awaited after anything was printed and before a world runs: the test runner exchanges `process.nextTick` while it
 * sends what was printed, and so does the world (`loop.ts`).
 */
export async function quietHost(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await nextTurn();
}

/** Plays seeds until all are played or several failed. */
export async function playSeeds(seeds: Iterable<number>): Promise<Played> {
  const sum = { runs: 0, moves: 0, accusations: 0, bytes: 0, replayedBytes: 0, opened: 0 };
  const failures: string[] = [];
  const add = (ran: Ran): void => {
    sum.runs += 1;
    for (const key of ["moves", "accusations", "bytes", "replayedBytes", "opened"] as const) sum[key] += ran[key];
    if (ran.broken !== "") failures.push(report(ran));
  };
  await quietHost();
  for (const seed of seeds) {
    add(await runSeed(seed));
    if (failures.length >= FAILURES_MAX_COUNT) break;
    // The test runner wants to be heard from now and then.
    if (sum.runs % 16 === 0) await quietHost();
  }
  return { ...sum, failures };
}

export function* range(from: number, count: number): Generator<number> {
  for (let seed = from; seed < from + count; seed += 1) yield seed;
}
