/**
 * `npm run bench -- failover --fault NAME`: a relay that carries connections is killed, frozen, cut off, drained or revoked,
 * or an entry is killed or frozen, again and again, under an open-loop load; what the connections notice is measured at their sockets.
 */

import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../lib/errors.ts";
import { eventually } from "../tests/harness/eventually.ts";
import type { Gate } from "../tests/harness/gate.ts";
import type { Cutter } from "./failover/cutter.ts";
import { entryFaults, type FaultName, relayFaults } from "./failover/faults.ts";
import { placesFor } from "./failover/places.ts";
import { failoverRun, type RunOutcome } from "./failover/run.ts";
import { clientSubject, entrySubject, type Subject } from "./failover/subject.ts";
import { Load } from "./load/load.ts";
import { benchOptions, numberOption, readCommandLine } from "./load/options.ts";
import { say, table } from "./load/progress.ts";
import { exitOnSignals } from "./load/signals.ts";
import { Standing } from "./load/standing.ts";
import { round, spreadOf } from "./load/statistics.ts";

const faults = [...relayFaults, ...entryFaults];
const usage = `usage: npm run bench -- failover --fault ${faults.join("|")} [--runs 50] [--channels 50] [--json]
  --fault     what happens to the relay that carries the active path, or to the entry a client with the SDK uses
  --runs      how often (default 50); a run takes about 8 s, with kill and revoke a little more
  --channels  connections that share the load of 20 MB/s in messages of 1 KiB (default 50)
  --window    seconds measured before and after the fault (default 2)
Gaps are max(delivery - intended send) at the receiving socket minus the run's median, worst channel. One JSON object goes to
standard output, everything else to standard error. As root, with ip and nft, blackholes drop packets; else bytes are held by a proxy.`;

const offeredBytesPerSecond = 20e6;
const messageBytes = 1_024;
const warmUpMs = 4_000;

interface Options {
  readonly fault: FaultName;
  readonly runs: number;
  readonly channels: number;
  readonly windowMs: number;
}

function optionsOf(args: readonly string[]): Options | undefined {
  const values = benchOptions(args, { fault: "", runs: "50", channels: "50", window: "2" });
  if (values === undefined) return undefined;
  const fault = faults.find((name) => name === values.fault);
  if (fault === undefined) throw new TypeError(`--fault takes one of ${faults.join(", ")}, not "${values.fault}"`);
  return {
    fault,
    runs: numberOption("--runs", values.runs, { min: 1, whole: true }),
    channels: numberOption("--channels", values.channels, { min: 1, whole: true }),
    windowMs: 1_000 * numberOption("--window", values.window, { min: 1 }),
  };
}

interface Stage {
  readonly standing: Standing;
  readonly load: Load;
  readonly subject: Subject;
  readonly gate: Gate | undefined;
  readonly cutter: Cutter | undefined;
}

async function setStage(options: Options): Promise<Stage> {
  const places = placesFor(options.fault);
  try {
    const standing = await Standing.start({
      onProgress: say,
      ...(places.placeOf === undefined ? {} : { placeOf: places.placeOf }),
    });
    const load = await Load.start();
    const port = await standing.addResource({ name: "load", targetPort: load.targetPort });
    const isEntry = entryFaults.some((name) => name === options.fault);
    const subject = isEntry ? await clientSubject(standing, "load") : entrySubject(standing, port);
    const stage = { standing, load, subject, gate: places.gate(), cutter: places.cutter };
    await openLoad(stage, options);
    // Code that has not run hot yet is not what is measured.
    await load.sendInto(0);
    await delay(warmUpMs);
    await load.stop();
    return stage;
  } catch (thrown) {
    await places.cutter?.remove();
    throw thrown;
  }
}

async function openLoad({ load, subject }: Stage, { channels }: Options): Promise<void> {
  const messagesPerSecond = offeredBytesPerSecond / messageBytes;
  await load.open([{ port: subject.port, channels, messageBytes, messagesPerSecond }]);
  say(`${channels} channels are open`);
}

async function strike(stage: Stage): Promise<void> {
  await stage.subject.stop();
  await stage.load.close();
  // A stopped process would not hear that it is to end.
  process.kill(stage.standing.control.pid, "SIGCONT");
  await stage.standing.stop();
  stage.gate?.stop();
  await stage.cutter?.remove();
}

/** How long a trunk may take to have a standby again. */
const standbyWithinMs = 15_000;

class Tally {
  readonly outcomes: RunOutcome[] = [];
  bytesVerified = 0;
  bytesLost = 0;
  bytesDuplicated = 0;
  #before = { verified: 0, lost: 0, duplicated: 0 };

  /** Takes a run in; the verdict of a load counts from when its channels were opened. */
  add(outcome: RunOutcome): void {
    const { bytesVerified: verified, bytesLost: lost, bytesDuplicated: duplicated } = outcome.verdict;
    this.outcomes.push(outcome);
    this.bytesVerified += Math.max(0, verified - this.#before.verified);
    this.bytesLost += Math.max(0, lost - this.#before.lost);
    this.bytesDuplicated += Math.max(0, duplicated - this.#before.duplicated);
    this.#before = { verified, lost, duplicated };
  }

  /** The channels were opened anew. */
  startOver(): void {
    this.#before = { verified: 0, lost: 0, duplicated: 0 };
  }

  report(options: Options): object {
    const valid = this.outcomes.filter((outcome) => outcome.valid);
    return {
      fault: options.fault,
      runs: options.runs,
      runs_valid: valid.length,
      failovers: valid.reduce((sum, { moves }) => sum + moves.length, 0),
      channels: options.channels,
      offered_mb_per_s: offeredBytesPerSecond / 1e6,
      bytes_verified: this.bytesVerified,
      gap_ms: spreadOf(valid.map(({ gapMs }) => gapMs)),
      // The same statistic: the worst of as many windows of the same length.
      baseline_ms: round(Math.max(0, ...valid.map(({ baselineMs }) => baselineMs))),
      bytes_lost: this.bytesLost,
      bytes_duplicated: this.bytesDuplicated,
      control_rpcs: valid.reduce((sum, { controlRpcs }) => sum + controlRpcs, 0),
    };
  }
}

function rowOf(run: number, outcome: RunOutcome): string[] {
  const { verdict, moves } = outcome;
  const move = moves[0];
  return [
    String(run + 1),
    outcome.node,
    outcome.valid ? "yes" : `no: ${outcome.why}`,
    outcome.gapMs.toFixed(1),
    outcome.baselineMs.toFixed(1),
    move === undefined
      ? "-"
      : `${move.facts.cause} after ${outcome.movedAfterMs.toFixed(0)} ms, ${move.facts.replayed_bytes} B replayed`,
    String(moves.length),
    `${verdict.bytesLost}/${verdict.bytesDuplicated}${verdict.failures.count > 0 ? ` (${verdict.failures.count} channels failed: ${verdict.failures.first[0]})` : ""}`,
  ];
}

const headings = ["RUN", "NODE", "VALID", "GAP MS", "BASE MS", "FIRST MOVE", "MOVES", "LOST/DUP"];

async function runOnce(stage: Stage, options: Options, run: number, tally: Tally): Promise<void> {
  await eventually(() => stage.subject.hasStandby(), {
    withinMs: standbyWithinMs,
    everyMs: 100,
    what: "a standby",
  }).catch(() => say(`run ${run + 1}: the trunk has no standby`));
  const world = { standing: stage.standing, gate: stage.gate, cutter: stage.cutter, run };
  const { load, subject } = stage;
  const outcome = await failoverRun({ fault: options.fault, world, load, subject, windowMs: options.windowMs });
  tally.add(outcome);
  say(table(headings, [rowOf(run, outcome)], run > 0));
  const { verdict } = outcome;
  if (verdict.badChannels.length === 0 && verdict.failures.count === 0 && verdict.bytesLost === 0) return;
  tally.startOver();
  if (run + 1 === options.runs) return;
  await eventually(() => openLoad(stage, options).then(() => true), {
    withinMs: 40_000,
    everyMs: 500,
    what: "a new load",
  });
}

const options = readCommandLine(usage, optionsOf);
if (options !== undefined) {
  exitOnSignals();
  const stage = await setStage(options);
  const tally = new Tally();
  try {
    for (let run = 0; run < options.runs; run += 1) await runOnce(stage, options, run, tally);
  } catch (thrown) {
    say(`stopped after ${tally.outcomes.length} runs: ${messageOf(thrown)}`);
    process.exitCode = 1;
  } finally {
    await strike(stage);
  }
  process.stdout.write(`${JSON.stringify(tally.report(options))}\n`);
}
