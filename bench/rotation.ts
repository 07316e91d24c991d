/**
 * `npm run bench -- rotation`: every root of a fabric of real processes is rotated, and every signing key, under calls and a
 * transfer that is compared byte by byte; then turned back from every phase; then with three nodes that do not acknowledge.
 */

import { setTimeout as delay } from "node:timers/promises";
import { CaService, RotationPhase } from "../gen/weft/admin/v1/ca_pb.ts";
import { SigningPurpose } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { messageOf } from "../lib/errors.ts";
import { benchOptions, numberOption, readCommandLine } from "./load/options.ts";
import { say } from "./load/progress.ts";
import { exitOnSignals } from "./load/signals.ts";
import { holdOut } from "./rotation/outstanding.ts";
import { rollBackEverywhere } from "./rotation/rollbacks.ts";
import { ask, begin, kinds, type Stage, setStage, strike, until } from "./rotation/stage.ts";

const usage = `usage: npm run bench -- rotation [--rate 200] [--full 0] [--last 0] [--json]
  --rate  calls a second all the while (default 200)
  --full  1: every kind of root is turned back from every phase, and the last rotation goes to its end without the nodes that
          do not acknowledge (some six minutes; default 0: the nodes' root from every phase, the last rotation from "taint")
  --last  only the last rotation, so many times over (default 0: everything, once)
A fabric of seven nodes: all five kinds of roots and the signing keys are rotated; roots are rotated and turned back; then the
nodes' is rotated with a relay partitioned from control, one frozen and an entry that refuses to acknowledge.
One JSON object goes to standard output, everything else to standard error.`;

const rotatedWithinMs = 100_000;
const backWithinMs = 150_000;
const signingOverlapMs = 5_000n;

async function rotateEverything(stage: Stage): Promise<boolean> {
  const started = await ask(stage, async (ca) => {
    const { session, clusterId } = ca;
    const ids: string[] = [];
    for (const kind of kinds) ids.push(await begin(ca, kind));
    for (const purpose of [SigningPurpose.SNAPSHOT, SigningPurpose.FEED, SigningPurpose.CONTRACT])
      await session.client(CaService).rotateSigningKey({ clusterId, purpose, overlapMs: signingOverlapMs });
    return ids;
  });
  const startedMs = performance.now();
  const all = await until(stage, rotatedWithinMs, (rotations) =>
    started.every((id) => rotations.some((each) => each.id === id && each.phase === RotationPhase.DONE)),
  );
  const words = all === undefined ? "not all roots were" : "all five roots were";
  say(`${words} rotated in ${Math.round((performance.now() - startedMs) / 1_000)} s`);
  return all !== undefined;
}

interface Options {
  readonly rate: number;
  readonly isFull: boolean;
  /** Above 0: only the last stage, as often. */
  readonly lastCount: number;
}

interface Report {
  rpcs: number;
  failed: number;
  bytes_lost: number;
  rotated: boolean;
  stalled_without_ack: boolean;
  rolled_back: boolean;
  rollbacks: number;
  outstanding: readonly string[];
  partitioned_carried_bytes: number;
  came_back: readonly string[];
}

async function runLast(stage: Stage, report: Report, { isFull, lastCount }: Options): Promise<void> {
  for (let turn = 1; turn <= lastCount; turn += 1) {
    const held = await holdOut(stage, { isToTheEnd: isFull });
    const { open, failed, rpcs } = await stage.calls.ask("totals");
    say(`${turn} of ${lastCount}: ${failed} of ${rpcs} calls failed, ${open} under way`);
    report.stalled_without_ack = held.isStalled && held.wentOn;
    report.rolled_back = held.isEnded;
    report.rollbacks += held.isEnded && !isFull ? 1 : 0;
    report.outstanding = held.outstanding;
    report.partitioned_carried_bytes += held.carriedBytes;
    report.came_back = held.cameBack;
  }
}

async function run(stage: Stage, report: Report, { isFull }: Options): Promise<void> {
  report.rotated = await rotateEverything(stage);
  const back = await rollBackEverywhere(stage, { isEvery: isFull, withinMs: isFull ? 3 * backWithinMs : backWithinMs });
  const held = await holdOut(stage, { isToTheEnd: isFull });
  report.stalled_without_ack = held.isStalled && held.wentOn;
  report.rolled_back = back.isAll && held.isEnded;
  report.rollbacks = back.rollbacks + (held.isEnded && !isFull ? 1 : 0);
  report.outstanding = held.outstanding;
  report.partitioned_carried_bytes = held.carriedBytes;
  report.came_back = held.cameBack;
}

/** What became of the calls and the bytes, however far the rest came. */
async function settle(stage: Stage, report: Report): Promise<void> {
  // What comes now runs on what is left of all that.
  await delay(2_000);
  const { rpcs, failed, first, slowestMs } = await stage.calls.ask("stop");
  await stage.load.stop();
  const verdict = await stage.load.verify();
  Object.assign(report, { rpcs, failed, bytes_lost: verdict.bytesLost + verdict.bytesDuplicated });
  for (const why of first) say(`a call failed: ${why}`);
  say(`the slowest channel of the SDK took ${Math.round(slowestMs)} ms`);
  for (const why of verdict.failures.first) say(`a connection of the transfer failed: ${why}`);
  say(`${verdict.bytesVerified} bytes compared`);
}

const options = readCommandLine(usage, (args): Options | undefined => {
  const values = benchOptions(args, { rate: "200", full: "0", last: "0" });
  if (values === undefined) return undefined;
  const rate = numberOption("--rate", values.rate, { min: 1, whole: true });
  const isFull = numberOption("--full", values.full, { min: 0, whole: true }) > 0;
  return { rate, isFull, lastCount: numberOption("--last", values.last, { min: 0, whole: true }) };
});
if (options !== undefined) {
  exitOnSignals();
  const startedMs = performance.now();
  const stage = await setStage(options.rate);
  const report: Report = {
    ...{ rpcs: 0, failed: 0, bytes_lost: 0, rotated: false, stalled_without_ack: false, rolled_back: false },
    ...{ rollbacks: 0, outstanding: [], partitioned_carried_bytes: 0, came_back: [] },
  };
  try {
    try {
      await (options.lastCount > 0 ? runLast : run)(stage, report, options);
    } finally {
      await settle(stage, report);
    }
  } catch (thrown) {
    say(`stopped: ${messageOf(thrown)}`);
    process.exitCode = 1;
  } finally {
    await strike(stage);
  }
  say(`${Math.round((performance.now() - startedMs) / 1_000)} s in all`);
  process.stdout.write(`${JSON.stringify(report)}\n`);
}
