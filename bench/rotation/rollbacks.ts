/**
 * Turns back from every phase that can be turned back from, by hand as `weft ca rotate --manual`, `weft ca advance` and
 * `weft ca rollback` do: the nodes' root, and the others beside it from one phase each, or every kind from every phase. Kinds go on
 * side by side, each at its own pace.
 */

import { enumName } from "../../cli/output.ts";
import { CaService, type Rotation, RotationPhase } from "../../gen/weft/admin/v1/ca_pb.ts";
import { RootKind } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { say } from "../load/progress.ts";
import { begin, type Ca, kinds, type Stage, until } from "./stage.ts";

const { PUBLISH, SIGN, TAINT, DROP } = RotationPhase;
const each = [PUBLISH, SIGN, TAINT, DROP] as const;

/** The nodes' root is turned back from `taint` beside those who do not acknowledge (outstanding.ts). */
const turnsOf: Readonly<Record<(typeof kinds)[number], readonly RotationPhase[]>> = {
  [RootKind.NODE]: [PUBLISH, SIGN, DROP],
  [RootKind.CONTROL]: [DROP],
  [RootKind.CLIENT]: [TAINT],
  [RootKind.POOL]: [SIGN],
  [RootKind.OPERATOR]: [PUBLISH],
};

/** One kind of root on its way through all of them. */
interface Lane {
  readonly kind: RootKind;
  /** What is still to be turned back from. */
  readonly turns: RotationPhase[];
  /** Turned back from so far. */
  done: number;
  /** The rotation that runs. */
  id?: string | undefined;
  /** The root that signed before it. */
  oldKeyId: string;
}

/**
 * Whether it is time to turn back: when everybody has acknowledged the phase. From `taint` that is while leaves are being
 * replaced, some are and some are not; from everything else when nothing keeps the phase any more.
 */
function isDue({ phase, complete, acknowledged, nodes }: Rotation): boolean {
  return phase === RotationPhase.TAINT ? acknowledged === nodes : complete;
}

/** What control answers when the phase went by, or somebody is waited for again, since it was looked at. */
const meanwhile: readonly string[] = ["ROTATION_WAITING", "ROTATION_MOVED"];

async function goOn({ session, clusterId }: Ca, { kind, phase }: Rotation): Promise<void> {
  try {
    await session.client(CaService).advanceRotation({ clusterId, kind, phase });
  } catch (thrown) {
    if (!(thrown instanceof WeftError) || !meanwhile.includes(thrown.detail ?? "")) throw thrown;
  }
}

/** The root of a kind that signs now. */
async function signing({ session, clusterId }: Ca, kind: RootKind): Promise<string> {
  const { authorities } = await session.client(CaService).getCaStatus({ clusterId });
  return authorities.find((each) => each.kind === kind && each.status === "active")?.keyId ?? "";
}

async function step(ca: Ca, lane: Lane, rotations: readonly Rotation[], stage: Stage): Promise<void> {
  const { kind } = lane;
  const [target] = lane.turns;
  if (target === undefined) return;
  if (lane.id === undefined) {
    // One that runs was begun by a call whose answer was lost.
    const running = rotations.find((each) => each.kind === kind && each.endedAtMs === 0n);
    lane.oldKeyId = running?.oldKeyId ?? (await signing(ca, kind));
    lane.id = running?.id ?? (await begin(ca, kind, true));
    return;
  }
  const rotation = rotations.find(({ id }) => id === lane.id);
  if (rotation === undefined) return;
  if (rotation.phase === RotationPhase.DONE) throw new Error("a rotation to be turned back has ended");
  if (rotation.phase === RotationPhase.ROLLED_BACK) {
    const now = await signing(ca, kind);
    if (now !== lane.oldKeyId) throw new Error(`after a rollback ${now} signs, not ${lane.oldKeyId}`);
    lane.done += 1;
    lane.turns.shift();
    lane.id = undefined;
    const { rpcs, failed } = await stage.calls.ask("totals");
    const seconds = Number(rotation.endedAtMs - rotation.startedAtMs) / 1_000;
    const from = enumName(RotationPhase, target);
    say(`${enumName(RootKind, kind)} is back from ${from}, ${seconds.toFixed(1)} s; ${failed} of ${rpcs} calls failed`);
    return;
  }
  // Once it has turned it is in another phase, whatever became of the answer.
  if (rotation.phase === target) {
    if (!isDue(rotation)) return;
    const { session, clusterId } = ca;
    await session.client(CaService).rollBackRotation({ clusterId, kind, reason: "bench" });
    return;
  }
  if (rotation.complete) await goOn(ca, rotation);
}

/** What was turned back from, and whether that is all that was to be. */
export interface TurnedBack {
  readonly rollbacks: number;
  readonly isAll: boolean;
}

/** Each rollback has to end with the root signing that signed before. */
export async function rollBackEverywhere(
  stage: Stage,
  { isEvery, withinMs }: { readonly isEvery: boolean; readonly withinMs: number },
): Promise<TurnedBack> {
  const lanes = kinds.map((kind): Lane => {
    return { kind, turns: [...(isEvery ? each : turnsOf[kind])], done: 0, oldKeyId: "" };
  });
  const startedMs = performance.now();
  const isOver = (): boolean => lanes.every(({ turns }) => turns.length === 0);
  await until(stage, withinMs, async (rotations, ca) => {
    await Promise.all(lanes.map((lane) => step(ca, lane, rotations, stage)));
    return isOver();
  });
  const rollbacks = lanes.reduce((sum, { done }) => sum + done, 0);
  const words = isOver() ? "all of them" : "NOT all of them";
  say(`${rollbacks} rollbacks, ${words}, in ${Math.round((performance.now() - startedMs) / 1_000)} s`);
  return { rollbacks, isAll: isOver() };
}
