/**
 * Rotating a root: starting, going on, going back, not waiting for somebody. Each step is one transaction with its audit
 * record that compares the phase with the one it was decided in, so any number of replicas may take steps at once.
 *
 * RT1. A phase is left only when nobody is waited for (rotation-gate.ts), judged inside the transaction that leaves it.
 *      Phases that publish a root clients verify by last long enough for them to hear of it, by whoever they are left.
 * RT2. Entering a phase gives every cluster concerned a new trust bundle and a new snapshot in the same transaction.
 */

import { createRoot } from "../../certs/ca.ts";
import type { SigningUse } from "../../certs/installation.ts";
import { generateEd25519 } from "../../certs/keys.ts";
import { INSTALLATION, type SpiffeKind } from "../../certs/spiffe.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { randomLabel } from "../../lib/random.ts";
import { CERTIFICATES_TOPIC, CLUSTERS_TOPIC } from "../hints/hints.ts";
import { closeAlert } from "../store/alerts.ts";
import { appendAudit } from "../store/audit.ts";
import {
  activeSigningKey,
  allAuthorities,
  insertAuthority,
  issuingScope,
  replaceSigningKey,
  type SigningKeyRow,
  setAuthorityStates,
} from "../store/authorities.ts";
import { bumpBundle, requireCluster } from "../store/clusters.ts";
import type { StoreContext } from "../store/context.ts";
import {
  insertExemption,
  insertRotation,
  moveRotation,
  openRotation,
  type RequiredVersions,
  type RotationRow,
  retireSigningKey,
} from "../store/rotations.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import type { Tx } from "../store/sql.ts";
import type { Authority } from "./authority.ts";
import { clustersOf, type RotationView, viewRotation } from "./rotation-gate.ts";
import { isPhase, phaseRules, type RotationEnd, type RotationPhase } from "./rotation-phases.ts";

export interface RotationDeps extends StoreContext {
  readonly authority: Pick<Authority, "certifyKey">;
}

/** Which root, and who asks. */
export interface RotationOrder {
  readonly clusterId: string;
  readonly kind: SpiffeKind;
  /** A SPIFFE id, or "system". */
  readonly actor: string;
}

/** Makes the next root and publishes it. Throws `failed_precondition` (ROTATION_RUNNING, AUTHORITY_MISSING). */
export async function startRotation(
  deps: RotationDeps,
  order: RotationOrder & { readonly manual: boolean },
): Promise<RotationRow> {
  const { seal, clock, random, sql } = deps;
  const { clusterId, kind, actor, manual } = order;
  return await sql.tx(async (tx) => {
    const scope = issuingScope(kind, clusterId);
    const required = await newBundles(tx, deps, scope);
    const roots = (await allAuthorities(tx, seal, scope)).filter((row) => row.kind === kind);
    const old = roots.find(({ status }) => status === "active");
    if (old === undefined) {
      throw new WeftError("failed_precondition", "there is no such authority", { detail: "AUTHORITY_MISSING" });
    }
    if ((await openRotation(tx, seal, scope, kind)) !== undefined) throw running(kind);
    const generation = Math.max(...roots.map((row) => row.generation)) + 1;
    const clusterName = scope === INSTALLATION ? INSTALLATION : (await requireCluster(tx, scope)).slug;
    const nowMs = clock.nowMs();
    const ca = await createRoot({ kind, clusterName, generation, nowMs, random });
    await insertAuthority(tx, seal, { scope, generation, ca, nowMs, status: "next" });
    const id = `rot-${randomLabel(random, 16)}`;
    const keys = { oldKeyId: old.keyId, nextKeyId: ca.root.keyId };
    await insertRotation(tx, seal, { id, scope, kind, phase: "publish", manual, ...keys, required, startedBy: actor });
    await appendAudit(tx, {
      ...{ actor, action: "rotation.started", object: `rotation/${id}`, ...aboutScope(scope) },
      after: { kind, phase: "publish", generation, manual, ...keys },
    });
    return await requireOpen(tx, deps, scope, kind);
  });
}

/**
 * Leaves the present phase. Throws `failed_precondition` (ROTATION_WAITING) naming whom it waits for, `aborted`
 * (ROTATION_MOVED) when the rotation is in another phase than `phase`, `not_found` (ROTATION_NOT_FOUND).
 */
export async function advanceRotation(
  deps: RotationDeps,
  order: RotationOrder & { readonly phase?: RotationPhase },
): Promise<RotationRow> {
  return await deps.sql.tx(async (tx) => {
    const { row, phase } = await lockOpen(tx, deps, order);
    if (order.phase !== undefined && order.phase !== phase) throw moved(phase);
    const view = await viewRotation(tx, deps, row);
    if (view.stragglers.length > 0) throw waiting(view);
    if (!view.isHeard) throw early();
    const { onward } = phaseRules[phase];
    return await enter(tx, deps, row, onward, { actor: order.actor, action: "rotation.advanced" });
  });
}

/** Turns back. Throws `failed_precondition` (ROTATION_GOES_BACK, AUTHORITY_ENDED), `not_found` (ROTATION_NOT_FOUND). */
export async function rollBackRotation(
  deps: RotationDeps,
  order: RotationOrder & { readonly reason: string },
): Promise<RotationRow> {
  return await deps.sql.tx(async (tx) => {
    const { row, phase } = await lockOpen(tx, deps, order);
    const { back } = phaseRules[phase];
    if (back === undefined) {
      const message = "the rotation goes back already; it ends when the phase it is in is complete";
      throw new WeftError("failed_precondition", message, { detail: "ROTATION_GOES_BACK" });
    }
    const roots = await allAuthorities(tx, deps.seal, row.scope);
    const old = roots.find(({ keyId }) => keyId === row.oldKeyId);
    if (old === undefined || old.notAfterMs <= deps.clock.nowMs()) {
      const message = "the root before has ended: there is nothing to go back to";
      throw new WeftError("failed_precondition", message, { detail: "AUTHORITY_ENDED" });
    }
    const { actor, reason } = order;
    return await enter(tx, deps, row, back, { actor, action: "rotation.rolled_back", reason });
  });
}

/** The open rotation no longer waits for somebody. Throws `not_found` (ROTATION_NOT_FOUND, SUBJECT_NOT_FOUND). */
export async function exemptFromRotation(
  deps: RotationDeps,
  order: RotationOrder & { readonly subjectId: string; readonly reason: string },
): Promise<RotationRow> {
  const { seal } = deps;
  const { subjectId, reason, actor } = order;
  return await deps.sql.tx(async (tx) => {
    const { row } = await lockOpen(tx, deps, order);
    const subjectName = await subjectOf(tx, deps, row, subjectId);
    const exemption = { rotationId: row.id, subjectId, subjectName, reason, exemptedBy: actor };
    await insertExemption(tx, seal, exemption);
    await appendAudit(tx, {
      ...{ actor, action: "rotation.exempted", object: `rotation/${row.id}`, ...aboutScope(row.scope) },
      after: { subject: subjectId, name: subjectName, phase: row.phase, reason },
    });
    return row;
  });
}

/** Default overlaps: as long as what the key before signed is still in use. */
export const keyOverlapMs = {
  snapshot: limits.snapshotKeyOverlapMs,
  feed: limits.feedKeyOverlapMs,
  contract: limits.contractKeyOverlapMs,
} as const satisfies Record<SigningUse, number>;

/**
 * A new key signs from now on; nodes refuse the one before it after the overlap, however long its statement lasts. Throws
 * `failed_precondition` (SIGNING_KEY_MISSING).
 */
export async function rotateSigningKey(
  deps: RotationDeps,
  order: { readonly clusterId: string; readonly use: SigningUse; readonly overlapMs: number; readonly actor: string },
): Promise<{ readonly old: SigningKeyRow; readonly refusedFromMs: number; readonly active: SigningKeyRow }> {
  const { seal, clock, sql, hints } = deps;
  const { clusterId, use, overlapMs, actor } = order;
  return await sql.tx(async (tx) => {
    await bumpBundle(tx, clusterId);
    await bumpSnapshot(tx, hints, clusterId);
    const { row: old } = await activeSigningKey(tx, seal, clusterId, use, true);
    const keys = generateEd25519();
    const certified = await deps.authority.certifyKey(tx, clusterId, keys, use);
    await replaceSigningKey(tx, seal, old, { keys, ...certified });
    const nowMs = Math.floor(clock.nowMs());
    const refusedFromMs = nowMs + overlapMs;
    const { keyId, notAfterMs: statementNotAfterMs } = old;
    await retireSigningKey(tx, seal, { keyId, clusterId, purpose: use, refusedFromMs, statementNotAfterMs }, nowMs);
    await appendAudit(tx, {
      ...{ actor, action: "signing_key.rotated", object: `signing-key/${keys.keyHash}`, clusterId },
      before: { purpose: use, keyId },
      after: { purpose: use, keyId: keys.keyHash, refusedFromMs },
    });
    tx.afterCommit(() => hints.publish(CLUSTERS_TOPIC));
    return { old, refusedFromMs, active: (await activeSigningKey(tx, seal, clusterId, use)).row };
  });
}

async function enter(
  tx: Tx,
  deps: RotationDeps,
  row: RotationRow,
  to: RotationPhase | RotationEnd,
  about: { readonly actor: string; readonly action: string; readonly reason?: string },
): Promise<RotationRow> {
  const { seal } = deps;
  const { actor, action, ...why } = about;
  let required: RequiredVersions = {};
  if (isPhase(to)) {
    const { old, next } = phaseRules[to];
    required = await newBundles(tx, deps, row.scope);
    const states = new Map([
      [row.oldKeyId, old],
      [row.nextKeyId, next],
    ]);
    await setAuthorityStates(tx, seal, row.scope, states);
  }
  if (!(await moveRotation(tx, seal, row, { phase: to, required, ended: !isPhase(to) }))) throw moved(row.phase);
  await closeAlert(tx, { ...alertPlace(row), kind: "rotation-stalled", object: `rotation/${row.id}` });
  await appendAudit(tx, {
    ...{ actor, action, object: `rotation/${row.id}`, ...aboutScope(row.scope) },
    before: { phase: row.phase },
    after: { kind: row.kind, phase: to, ...why },
  });
  return { ...row, phase: to, required: JSON.stringify(required), phaseSinceMs: Math.floor(deps.clock.nowMs()) };
}

/** New bundle and snapshot versions for every cluster of the scope; the bundle versions (RT2). */
async function newBundles(tx: Tx, { hints }: RotationDeps, scope: string): Promise<RequiredVersions> {
  const required: Record<string, number> = {};
  for (const clusterId of await clustersOf(tx, scope)) {
    required[clusterId] = await bumpBundle(tx, clusterId);
    await bumpSnapshot(tx, hints, clusterId);
  }
  tx.afterCommit(() => {
    hints.publish(CLUSTERS_TOPIC);
    hints.publish(CERTIFICATES_TOPIC);
  });
  return required;
}

async function subjectOf(tx: Tx, deps: RotationDeps, row: RotationRow, subjectId: string): Promise<string> {
  for (const clusterId of await clustersOf(tx, row.scope)) {
    const [node] = await tx.query<{ name: string }>("select name from node where cluster_id = $1 and id = $2", [
      clusterId,
      subjectId,
    ]);
    if (node !== undefined) return node.name;
  }
  const [identity] = await tx.query<{ name: string }>(
    "select name from identity where scope = $1 and kind = $2 and id = $3",
    [row.scope, row.kind, subjectId],
  );
  if (identity !== undefined) return identity.name;
  const view = await viewRotation(tx, deps, row);
  if (view.stragglers.some(({ id }) => id === subjectId)) return subjectId;
  throw new WeftError("not_found", "the rotation waits for nobody of that name", { detail: "SUBJECT_NOT_FOUND" });
}

async function lockOpen(tx: Tx, deps: RotationDeps, { clusterId, kind }: RotationOrder) {
  const row = await openRotation(tx, deps.seal, issuingScope(kind, clusterId), kind, true);
  if (row === undefined || !isPhase(row.phase)) throw notFound(kind);
  return { row, phase: row.phase };
}

async function requireOpen(tx: Tx, deps: RotationDeps, scope: string, kind: SpiffeKind): Promise<RotationRow> {
  const row = await openRotation(tx, deps.seal, scope, kind);
  if (row === undefined) throw notFound(kind);
  return row;
}

/** Where alerts of a rotation are kept. */
export function alertPlace({ scope }: Pick<RotationRow, "scope">): { readonly clusterId: string } {
  return { clusterId: scope === INSTALLATION ? "" : scope };
}

function aboutScope(scope: string): { readonly clusterId?: string } {
  return scope === INSTALLATION ? {} : { clusterId: scope };
}

function running(kind: SpiffeKind): WeftError {
  const message = `a rotation of the ${kind} root is running; "weft ca status" shows it`;
  return new WeftError("failed_precondition", message, { detail: "ROTATION_RUNNING" });
}

function notFound(kind: SpiffeKind): WeftError {
  const message = `no rotation of the ${kind} root is running`;
  return new WeftError("not_found", message, { detail: "ROTATION_NOT_FOUND" });
}

function moved(phase: string): WeftError {
  const message = `the rotation is in phase ${phase} by now`;
  return new WeftError("aborted", message, { detail: "ROTATION_MOVED", retry: "now" });
}

function early(): WeftError {
  const message = `clients are given ${limits.clientsHearMs / 1_000} s to hear of a root before it is used; ask again`;
  return new WeftError("failed_precondition", message, { detail: "ROTATION_WAITING" });
}

const namedMaxCount = 8;

/** "relay-2 (acknowledgement), ... and 3 more". */
export function stragglerText(view: Pick<RotationView, "stragglers">): string {
  const named = view.stragglers.slice(0, namedMaxCount).map(({ name, waitsFor }) => `${name} (${waitsFor})`);
  const more = view.stragglers.length - named.length;
  return `${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

function waiting(view: RotationView): WeftError {
  const message = `the phase waits for ${stragglerText(view)}; "weft ca exempt" goes on without one`;
  return new WeftError("failed_precondition", message, { detail: "ROTATION_WAITING" });
}
