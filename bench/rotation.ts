/**
 * `npm run bench -- rotation`: every root of a fabric of real processes is rotated, and every signing key, under calls and a
 * transfer that is compared byte by byte; then once with a node that acknowledges nothing, and back again.
 */

import { execFile } from "node:child_process";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { enumName } from "../cli/output.ts";
import { type Session, withSession } from "../cli/session.ts";
import { CaService, type Rotation, RotationPhase } from "../gen/weft/admin/v1/ca_pb.ts";
import { RootKind, SigningPurpose } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { messageOf } from "../lib/errors.ts";
import { Load } from "./load/load.ts";
import { benchOptions, numberOption, readCommandLine } from "./load/options.ts";
import { say } from "./load/progress.ts";
import { exitOnSignals } from "./load/signals.ts";
import { Standing } from "./load/standing.ts";
import { Worker } from "./load/worker.ts";
import type { RpcWorker } from "./rotation/rpc-worker.ts";

const usage = `usage: npm run bench -- rotation [--rate 200] [--json]
  --rate   calls a second all the while (default 200)
A fabric of seven nodes: all five kinds of roots and the signing keys are rotated, then a rotation is begun that one frozen
node keeps waiting, and rolled back. One JSON object goes to standard output, everything else to standard error.`;

const kinds = [RootKind.NODE, RootKind.CONTROL, RootKind.CLIENT, RootKind.POOL, RootKind.OPERATOR] as const;
const frozen = "relay-3";
/** What one client may ask for in a second is bounded. */
const clientNames = ["bench-1", "bench-2", "bench-3", "bench-4"];
const pollEveryMs = 1_000;
/** All of it has to fit into four minutes. */
const rotatedWithinMs = 120_000;
const withheldWithinMs = 20_000;
/** How long a complete rotation would certainly not stay where it is. */
const withheldForMs = 8_000;
const rolledBackWithinMs = 40_000;
const signingOverlapMs = 5_000n;

interface Stage {
  readonly standing: Standing;
  readonly load: Load;
  readonly calls: Worker<RpcWorker>;
}

/** A client's folder, made as an operator makes one. */
async function addClient({ fabric }: Standing, name: string): Promise<string> {
  const folder = join(fabric.root, name);
  const cli = fileURLToPath(new URL("../cli/bin.ts", import.meta.url));
  const words = ["identity", "add", "client", name, "--organization", "demo", "--out", folder];
  const env = { ...process.env, WEFT_CONTEXT: fabric.contextDir };
  await promisify(execFile)(process.execPath, [cli, ...words], { env });
  return folder;
}

async function setStage(rate: number): Promise<Stage> {
  const standing = await Standing.start({ onProgress: say });
  const load = await Load.start();
  const port = await standing.addResource({ name: "load", targetPort: load.targetPort });
  await load.open([{ port, channels: 10, messageBytes: 1_024, messagesPerSecond: 2_000 }]);
  const folders: string[] = [];
  for (const name of clientNames) folders.push(await addClient(standing, name));
  const calls = await Worker.start<RpcWorker>("../rotation/rpc-worker.ts");
  const entries = ["entry-1", "entry-2"].map((name) => String(standing.node(name).child.facts.public));
  await calls.ask("start", { folders, entries, resource: "echo", perSecond: rate });
  await load.sendInto(0);
  say(`${rate} calls a second and a transfer of 2 MB/s run`);
  return { standing, load, calls };
}

/** A command's worth of connection, with the newest roots: the operator's own are among what rotates. */
function ask<T>({ standing }: Pick<Stage, "standing">, work: (session: Session) => Promise<T>): Promise<T> {
  return withSession({ context: standing.fabric.contextDir, freshRoots: true }, work);
}

function rotationsOf(stage: Stage): Promise<Rotation[]> {
  return ask(stage, async (session) => {
    const clusterId = await session.clusterId();
    return (await session.client(CaService).getCaStatus({ clusterId, all: true })).rotations;
  });
}

const isOver = ({ phase }: Rotation): boolean => phase === RotationPhase.DONE || phase === RotationPhase.ROLLED_BACK;

function describe(rotation: Rotation): string {
  const who = rotation.stragglers.map(({ name, waitsFor }) => `${name} (${waitsFor})`).join(", ");
  return `${enumName(RootKind, rotation.kind)} ${enumName(RotationPhase, rotation.phase)}${who === "" ? "" : `: waits for ${who}`}`;
}

/** Looks until `done`, telling what changes; the last look, or undefined when that took too long. */
async function until(
  stage: Stage,
  withinMs: number,
  done: (rotations: readonly Rotation[]) => boolean,
): Promise<readonly Rotation[] | undefined> {
  const endMs = performance.now() + withinMs;
  let told = "";
  while (performance.now() < endMs) {
    const rotations = await rotationsOf(stage);
    const text = rotations
      .filter((each) => !isOver(each))
      .map(describe)
      .join("; ");
    if (text !== told && text !== "") say(text);
    told = text;
    if (done(rotations)) return rotations;
    await delay(pollEveryMs);
  }
  return undefined;
}

async function rotateEverything(stage: Stage): Promise<boolean> {
  const started = await ask(stage, async (session) => {
    const clusterId = await session.clusterId();
    const ids: string[] = [];
    for (const kind of kinds) {
      const { rotation } = await session.client(CaService).startRotation({ clusterId, kind });
      ids.push(rotation?.id ?? "");
    }
    for (const purpose of [SigningPurpose.SNAPSHOT, SigningPurpose.FEED, SigningPurpose.CONTRACT])
      await session.client(CaService).rotateSigningKey({ clusterId, purpose, overlapMs: signingOverlapMs });
    return ids;
  });
  const startedMs = performance.now();
  const all = await until(stage, rotatedWithinMs, (rotations) => started.every((id) => isDone(rotations, id)));
  say(
    `${all === undefined ? "not all roots were" : "all five roots were"} rotated in ${Math.round((performance.now() - startedMs) / 1_000)} s`,
  );
  return all !== undefined;
}

function isDone(rotations: readonly Rotation[], id: string): boolean {
  return rotations.some((each) => each.id === id && each.phase === RotationPhase.DONE);
}

/** One node is frozen: whether the rotation waits for it, and for it alone, however long. */
async function withhold(stage: Stage): Promise<{ readonly id: string; readonly isStalled: boolean }> {
  const { pid } = stage.standing.node(frozen).child;
  process.kill(pid, "SIGSTOP");
  const id = await ask(stage, async (session) => {
    const clusterId = await session.clusterId();
    const { rotation } = await session.client(CaService).startRotation({ clusterId, kind: RootKind.NODE });
    return rotation?.id ?? "";
  });
  const isWaiting = (rotations: readonly Rotation[]): boolean => {
    const own = rotations.find((each) => each.id === id);
    const names = own?.stragglers.map(({ name }) => name).join();
    return own?.phase === RotationPhase.PUBLISH && names === frozen && own.acknowledged === own.nodes - 1;
  };
  const reached = await until(stage, withheldWithinMs, isWaiting);
  await delay(withheldForMs);
  return { id, isStalled: reached !== undefined && isWaiting(await rotationsOf(stage)) };
}

async function turnBack(stage: Stage, id: string): Promise<boolean> {
  await ask(stage, async (session) => {
    const clusterId = await session.clusterId();
    const about = { clusterId, kind: RootKind.NODE, reason: "bench" };
    await session.client(CaService).rollBackRotation(about);
  });
  process.kill(stage.standing.node(frozen).child.pid, "SIGCONT");
  const isBack = (each: Rotation): boolean => each.id === id && each.phase === RotationPhase.ROLLED_BACK;
  return (await until(stage, rolledBackWithinMs, (rotations) => rotations.some(isBack))) !== undefined;
}

interface Report {
  rpcs: number;
  failed: number;
  bytes_lost: number;
  rotated: boolean;
  stalled_without_ack: boolean;
  rolled_back: boolean;
}

async function run(stage: Stage, report: Report): Promise<void> {
  report.rotated = await rotateEverything(stage);
  const { id, isStalled } = await withhold(stage);
  report.stalled_without_ack = isStalled;
  report.rolled_back = await turnBack(stage, id);
  // What comes now runs on what is left of all that.
  await delay(2_000);
  const { rpcs, failed, first } = await stage.calls.ask("stop");
  await stage.load.stop();
  const verdict = await stage.load.verify();
  Object.assign(report, { rpcs, failed, bytes_lost: verdict.bytesLost + verdict.bytesDuplicated });
  for (const why of first) say(`a call failed: ${why}`);
  for (const why of verdict.failures.first) say(`a connection of the transfer failed: ${why}`);
  say(`${verdict.bytesVerified} bytes compared`);
}

async function strike({ standing, load, calls }: Stage): Promise<void> {
  await Promise.all([calls.stop(), load.close()]);
  await standing.stop();
}

const options = readCommandLine(usage, (args) => {
  const values = benchOptions(args, { rate: "200" });
  return values && { rate: numberOption("--rate", values.rate, { min: 1, whole: true }) };
});
if (options !== undefined) {
  exitOnSignals();
  const stage = await setStage(options.rate);
  const report: Report = {
    ...{ rpcs: 0, failed: 0, bytes_lost: 0, rotated: false, stalled_without_ack: false, rolled_back: false },
  };
  try {
    await run(stage, report);
  } catch (thrown) {
    say(`stopped: ${messageOf(thrown)}`);
    process.exitCode = 1;
  } finally {
    await strike(stage);
  }
  process.stdout.write(`${JSON.stringify(report)}\n`);
}
