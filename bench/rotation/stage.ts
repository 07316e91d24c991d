/** What the rotation bench runs on: a fabric, calls and a verified transfer through it, and how rotations are looked at. */

import { execFile } from "node:child_process";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { enumName } from "../../cli/output.ts";
import { type Session, withSession } from "../../cli/session.ts";
import { CaService, type Rotation, RotationPhase } from "../../gen/weft/admin/v1/ca_pb.ts";
import { RootKind } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { Load } from "../load/load.ts";
import { say } from "../load/progress.ts";
import { Standing } from "../load/standing.ts";
import { Worker } from "../load/worker.ts";
import { type Places, rotationPlaces } from "./places.ts";
import type { RpcWorker } from "./rpc-worker.ts";

export const kinds = [RootKind.NODE, RootKind.CONTROL, RootKind.CLIENT, RootKind.POOL, RootKind.OPERATOR] as const;

/** What one client may ask for in a second is bounded. */
const clientNames = ["bench-1", "bench-2", "bench-3", "bench-4"];
const pollEveryMs = 250;

export interface Stage {
  readonly standing: Standing;
  readonly places: Places;
  readonly load: Load;
  readonly calls: Worker<RpcWorker>;
}

/** An operator's session, and the cluster. */
export interface Ca {
  readonly session: Session;
  readonly clusterId: string;
}

/** A client's folder, made as an operator makes one. */
async function addClient({ fabric }: Standing, name: string): Promise<string> {
  const folder = join(fabric.root, name);
  const cli = fileURLToPath(new URL("../../cli/bin.ts", import.meta.url));
  const words = ["identity", "add", "client", name, "--organization", "demo", "--out", folder];
  const env = { ...process.env, WEFT_CONTEXT: fabric.contextDir };
  await promisify(execFile)(process.execPath, [cli, ...words], { env });
  return folder;
}

/** Starts all of it: `rate` calls a second from then on. */
export async function setStage(rate: number): Promise<Stage> {
  const places = rotationPlaces();
  const standing = await Standing.start({ onProgress: say, placeOf: places.placeOf });
  const load = await Load.start();
  const port = await standing.addResource({ name: "load", targetPort: load.targetPort });
  await load.open([{ port, channels: 10, messageBytes: 1_024, messagesPerSecond: 2_000 }]);
  const folders = await Promise.all(clientNames.map((name) => addClient(standing, name)));
  const calls = await Worker.start<RpcWorker>("../rotation/rpc-worker.ts");
  const entries = ["entry-1", "entry-2"].map((name) => String(standing.node(name).child.facts.public));
  await calls.ask("start", { folders, entries, resource: "echo", perSecond: rate });
  await load.sendInto(0);
  say(`${rate} calls a second and a transfer of 2 MB/s run`);
  return { standing, places, load, calls };
}

export async function strike({ standing, places, load, calls }: Stage): Promise<void> {
  await Promise.all([calls.stop(), load.close()]);
  await standing.stop();
  await places.remove();
}

/** A command's worth of connection, with the newest roots: the operator's own are among what rotates. */
export function ask<T>({ standing }: Pick<Stage, "standing">, work: (ca: Ca) => Promise<T>): Promise<T> {
  return withSession({ context: standing.fabric.contextDir, freshRoots: true }, async (session) =>
    work({ session, clusterId: await session.clusterId() }),
  );
}

/** Every rotation there is and was. */
export async function rotationsOf({ session, clusterId }: Ca): Promise<Rotation[]> {
  return (await session.client(CaService).getCaStatus({ clusterId, all: true })).rotations;
}

/** Begins to rotate a root; resolves with the rotation's id. */
export async function begin({ session, clusterId }: Ca, kind: RootKind, manual = false): Promise<string> {
  const { rotation } = await session.client(CaService).startRotation({ clusterId, kind, manual });
  return rotation?.id ?? "";
}

const isOver = ({ phase }: Rotation): boolean => phase === RotationPhase.DONE || phase === RotationPhase.ROLLED_BACK;

const namedMaxCount = 3;

function describe({ kind, phase, stragglers }: Rotation): string {
  const named = stragglers.slice(0, namedMaxCount).map(({ name, waitsFor }) => `${name} (${waitsFor})`);
  const more = stragglers.length > namedMaxCount ? ` and ${stragglers.length - namedMaxCount} more` : "";
  const waits = named.length === 0 ? "" : `: waits for ${named.join(", ")}${more}`;
  return `${enumName(RootKind, kind)} ${enumName(RotationPhase, phase)}${waits}`;
}

/** An operator's connection may be lost when control shows another certificate: the next look makes another. */
function connectionLost(thrown: unknown): undefined {
  if (!(thrown instanceof WeftError) || thrown.reason !== "unavailable") throw thrown;
  say(`a look at the rotations failed: ${messageOf(thrown)}`);
}

/**
 * Looks at the rotations until `done`, telling what changes. Resolves with the last look, or with undefined when that took
 * longer than `withinMs`. A look that loses its connection is made again: what `done` does must bear that.
 */
export async function until(
  stage: Stage,
  withinMs: number,
  done: (rotations: readonly Rotation[], ca: Ca) => boolean | Promise<boolean>,
): Promise<readonly Rotation[] | undefined> {
  const endMs = performance.now() + withinMs;
  let told = "";
  for (; performance.now() < endMs; await delay(pollEveryMs)) {
    const looked = await ask(stage, async (ca) => {
      const rotations = await rotationsOf(ca);
      return { rotations, isDone: await done(rotations, ca) };
    }).catch(connectionLost);
    if (looked === undefined) continue;
    const { rotations, isDone } = looked;
    const text = rotations
      .filter((each) => !isOver(each))
      .map(describe)
      .join("; ");
    if (text !== told && text !== "") say(text);
    told = text;
    if (isDone) return rotations;
  }
  return undefined;
}
