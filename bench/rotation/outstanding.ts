/**
 * A rotation of the nodes' root with three nodes that do not acknowledge: a relay that cannot reach control and goes on
 * carrying, a relay that is frozen, and an entry that refuses to. It has to stay where it is until the last of them is
 * exempted, and to go on then: to where leaves are replaced, to be turned back from there, or to its end, by when the roots
 * that two of them know are gone. Either way all three have to be back in the end.
 */

import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { issuerIn } from "../../certs/bundle.ts";
import { askFabricNode } from "../../cli/up/failovers.ts";
import { CaService, type Rotation, RotationPhase } from "../../gen/weft/admin/v1/ca_pb.ts";
import { RootKind } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import type { TrunkStatus } from "../../gen/weft/node/v1/node_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { loadIdentity } from "../../node/identity-store.ts";
import { say } from "../load/progress.ts";
import { egressName, entryName } from "../load/standing.ts";
import { refuserName } from "./places.ts";
import { ask, begin, type Ca, rotationsOf, type Stage, until } from "./stage.ts";

const kind = RootKind.NODE;
const outstandingWithinMs = 30_000;
/** How long a rotation that waits for nobody would certainly not stay where it is. */
const withheldForMs = 6_000;
const withheldAgainForMs = 2_500;
const lookEveryMs = 500;
const endsWithinMs = 110_000;
const backWithinMs = 60_000;

export interface Outstanding {
  /** "partitioned relay-1", and so on. */
  readonly outstanding: readonly string[];
  readonly isStalled: boolean;
  /** Bytes that the partitioned relay carried meanwhile. */
  readonly carriedBytes: number;
  /** Past the phase in which the three were waited for. */
  readonly wentOn: boolean;
  /** At its end, or back where it began. */
  readonly isEnded: boolean;
  /** Nodes that have acknowledged and hold a leaf of the root that signs. */
  readonly cameBack: readonly string[];
}

/** The trunk under load as its entry sees it, and the relays of its active bulk path. */
async function trunkOf(stage: Stage): Promise<{ readonly trunk: TrunkStatus; readonly relays: readonly string[] }> {
  const { fabric } = stage.standing;
  const { trunks } = await ask(stage, ({ session }) =>
    askFabricNode(fabric, session, entryName, (client) => client.listTrunks({})),
  );
  const far = String(fabric.process(egressName).facts.nodeId);
  const [trunk] = trunks.filter(({ farNodeId }) => farNodeId === far).toSorted((a, b) => b.channels - a.channels);
  if (trunk === undefined) throw new Error("the load has no trunk");
  const active = trunk.attachments.find(({ lane, active }) => lane === "bulk" && active);
  const relays = fabric.processes
    .filter(({ role, facts }) => role === "relay" && active?.hops.includes(String(facts.nodeId)))
    .map(({ name }) => name);
  return { trunk, relays };
}

/** Names of those the rotation waits for, in order, while it stands in its first phase; empty in any other. */
function waitedFor(rotation: Rotation | undefined): string {
  if (rotation?.phase !== RotationPhase.PUBLISH) return "";
  const isAll = rotation.acknowledged === rotation.nodes - rotation.stragglers.length;
  return isAll ? namesOf(rotation.stragglers.map(({ name }) => name)) : "";
}

const namesOf = (names: readonly string[]): string => names.toSorted().join();

const look = (stage: Stage, id: string): Promise<Rotation | undefined> =>
  ask(stage, async (ca) => (await rotationsOf(ca)).find((each) => each.id === id));

/** Whether the rotation waits for exactly `names` at every look for as long as that. */
async function stays(stage: Stage, id: string, names: readonly string[], forMs: number): Promise<boolean> {
  const endMs = performance.now() + forMs;
  do {
    if (waitedFor(await look(stage, id)) !== namesOf(names)) return false;
    await delay(lookEveryMs);
  } while (performance.now() < endMs);
  return true;
}

/** Whether an operator's word to go on is refused while somebody is waited for. */
async function isRefused(stage: Stage): Promise<boolean> {
  try {
    await ask(stage, ({ session, clusterId }) => session.client(CaService).advanceRotation({ clusterId, kind }));
    return false;
  } catch (thrown) {
    if (thrown instanceof WeftError && thrown.detail === "ROTATION_WAITING") return true;
    throw thrown;
  }
}

/** Exempts one after the other; the rotation has to stay until the last is. */
async function exemptAll(stage: Stage, id: string, names: readonly string[]): Promise<boolean> {
  for (const [at, name] of names.entries()) {
    const subjectId = String(stage.standing.fabric.process(name).facts.nodeId);
    await ask(stage, ({ session, clusterId }) =>
      session.client(CaService).exemptFromRotation({ clusterId, kind, subjectId, reason: "bench" }),
    );
    const rest = names.slice(at + 1);
    if (rest.length === 0) return true;
    if (!(await stays(stage, id, rest, withheldAgainForMs))) return false;
    say(`${name} is exempted, and the rotation stays for ${rest.join(" and ")}`);
  }
  return true;
}

/** Those of `names` that have a leaf of the root that signs now and have acknowledged the trust bundle of now. */
async function well(stage: Stage, { session, clusterId }: Ca, names: readonly string[]): Promise<readonly string[]> {
  const { bundleVersion, evidence, authorities } = await session.client(CaService).getCaStatus({
    ...{ clusterId, evidence: true },
  });
  const active = authorities.find((each) => each.kind === kind && each.status === "active")?.keyId;
  return names.filter((name) => {
    const stored = loadIdentity(join(stage.standing.fabric.root, "nodes", name, "state"))?.identity;
    if (stored === undefined || issuerIn(stored.bundle, stored.leaf.certificateDer) !== active) return false;
    return evidence.some((each) => each.nodeId === stored.nodeId && each.version === bundleVersion);
  });
}

/** Goes on or back from where leaves are being replaced; whether that came to its end. */
async function finish(stage: Stage, id: string, isToTheEnd: boolean): Promise<boolean> {
  if (!isToTheEnd) {
    await ask(stage, ({ session, clusterId }) =>
      session.client(CaService).rollBackRotation({ clusterId, kind, reason: "bench" }),
    );
    say("it is turned back while leaves are being replaced");
  }
  const end = isToTheEnd ? RotationPhase.DONE : RotationPhase.ROLLED_BACK;
  const isEnded = (each: Rotation): boolean => each.id === id && each.phase === end;
  return (await until(stage, endsWithinMs, (rotations) => rotations.some(isEnded))) !== undefined;
}

/** Waits until every node is well; resolves with those that are. */
async function comeBack(stage: Stage): Promise<readonly string[]> {
  const all = stage.standing.fabric.plan.nodes.map(({ name }) => name);
  let back: readonly string[] = [];
  await until(stage, backWithinMs, async (_, ca) => {
    back = await well(stage, ca, all);
    return back.length === all.length;
  });
  say(`${back.length} of ${all.length} nodes are well: ${back.join(", ")}`);
  return back;
}

/** `isToTheEnd`: the rotation goes on to its end without the three, and is not turned back. */
export async function holdOut(stage: Stage, { isToTheEnd }: { readonly isToTheEnd: boolean }): Promise<Outstanding> {
  const { standing, places } = stage;
  const { trunk: before, relays } = await trunkOf(stage);
  const [partitioned = "relay-1"] = relays;
  const frozen = ["relay-1", "relay-2"].find((name) => name !== partitioned) ?? "";
  const names = [partitioned, frozen, refuserName];
  const { pid } = standing.fabric.process(frozen);
  places.cut(partitioned);
  process.kill(pid, "SIGSTOP");
  places.refuse(true);
  const outstanding = [`partitioned ${partitioned}`, `frozen ${frozen}`, `refusing ${refuserName}`];
  say(outstanding.join(", "));
  const id = await ask(stage, (ca) => begin(ca, kind));
  const find = (rotations: readonly Rotation[]): Rotation | undefined => rotations.find((each) => each.id === id);
  await until(stage, outstandingWithinMs, (rotations) => waitedFor(find(rotations)) === namesOf(names));
  const isHeld = (await stays(stage, id, names, withheldForMs)) && (await isRefused(stage));
  const after = await trunkOf(stage);
  const carriedBytes = after.relays.includes(partitioned) ? Number(after.trunk.bytesSent - before.bytesSent) : 0;
  say(`it ${isHeld ? "stays" : "did NOT stay"}; ${partitioned} carried ${carriedBytes} bytes meanwhile`);
  const isStalled = isHeld && (await exemptAll(stage, id, names));
  const wentOn = await until(stage, outstandingWithinMs, (rotations) => find(rotations)?.phase === RotationPhase.TAINT);
  const isEnded = await finish(stage, id, isToTheEnd);
  places.refuse(false);
  process.kill(pid, "SIGCONT");
  places.heal(partitioned);
  const cameBack = await comeBack(stage);
  return { outstanding, isStalled, carriedBytes, wentOn: wentOn !== undefined, isEnded, cameBack };
}
