/**
 * Rotations as rows: which phase each is in, whom it does not wait for, and what nodes have said of the trust bundle.
 *
 * RO1. One open rotation per scope and kind: an index sees to it, whoever starts one where.
 * RO2. A phase is left by comparing and setting it: of two replicas one moves it, the other finds it moved.
 * RO3. What decides carries a MAC; acknowledgements carry their signature and the leaf that proves it besides.
 */

import type { SpiffeKind } from "../../certs/spiffe.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { RotationEnd, RotationPhase } from "../domain/rotation-phases.ts";
import { isUniqueViolation, one, type Queryable, type Tx } from "./sql.ts";
import { canonicalJson, type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface RotationRow {
  readonly id: string;
  /** A cluster id, or `installation`. */
  readonly scope: string;
  readonly kind: SpiffeKind;
  readonly phase: RotationPhase | RotationEnd;
  readonly manual: boolean;
  readonly oldKeyId: string;
  readonly nextKeyId: string;
  /** JSON: the bundle version of each cluster that the phase needs acknowledged. */
  readonly required: string;
  readonly startedBy: string;
  readonly startedAtMs: number;
  readonly phaseSinceMs: number;
  readonly endedAtMs: number | null;
  readonly mac: Uint8Array;
}

const columns = `id, scope, kind, phase, manual, old_key_id as "oldKeyId", next_key_id as "nextKeyId", required,
  started_by as "startedBy", started_at_ms as "startedAtMs", phase_since_ms as "phaseSinceMs", ended_at_ms as "endedAtMs", mac`;

type Decided = Pick<
  RotationRow,
  "id" | "scope" | "kind" | "phase" | "manual" | "oldKeyId" | "nextKeyId" | "required" | "startedBy"
>;

export function rotationFields(row: Decided): MacField[] {
  const { id, scope, kind, phase, manual, oldKeyId, nextKeyId, required, startedBy } = row;
  return [id, scope, kind, phase, manual ? 1 : 0, oldKeyId, nextKeyId, required, startedBy];
}

function authentic(seal: TrustSeal, rows: readonly RotationRow[]): readonly RotationRow[] {
  for (const row of rows) requireAuthentic(seal, "rotation", rotationFields(row), row.mac);
  return rows;
}

/** The bundle version a phase needs of each cluster. */
export type RequiredVersions = Readonly<Record<string, number>>;

/** What a phase needs acknowledged, by cluster id. */
export function requiredVersions(row: Pick<RotationRow, "required">): RequiredVersions {
  return JSON.parse(row.required) as RequiredVersions;
}

/** Writes a rotation down in its first phase. Throws `failed_precondition` (ROTATION_RUNNING). */
export async function insertRotation(
  tx: Tx,
  seal: TrustSeal,
  rotation: Omit<Decided, "required"> & { readonly required: RequiredVersions },
): Promise<void> {
  const row = { ...rotation, required: canonicalJson(rotation.required) };
  try {
    await tx.query(
      `insert into rotation (id, scope, kind, phase, manual, old_key_id, next_key_id, required, started_by, mac)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
      [
        row.id,
        row.scope,
        row.kind,
        row.phase,
        row.manual,
        row.oldKeyId,
        row.nextKeyId,
        row.required,
        row.startedBy,
        seal.mac("rotation", rotationFields(row)),
      ],
    );
  } catch (cause) {
    if (!isUniqueViolation(cause)) throw cause;
    const message = `a rotation of the ${row.kind} root is running; "weft ca status" shows it`;
    throw new WeftError("failed_precondition", message, { detail: "ROTATION_RUNNING", cause });
  }
}

/** The open rotation of a scope and kind, authenticated; `lock` holds it until the transaction ends. */
export async function openRotation(
  q: Queryable,
  seal: TrustSeal,
  scope: string,
  kind: SpiffeKind,
  lock = false,
): Promise<RotationRow | undefined> {
  const text = `select ${columns} from rotation where scope = $1 and kind = $2 and ended_at_ms is null ${lock ? "for update" : ""}`;
  return one(authentic(seal, await q.query<RotationRow>(text, [scope, kind])));
}

/** Every open rotation of the installation, the oldest first. */
export async function openRotations(q: Queryable, seal: TrustSeal): Promise<readonly RotationRow[]> {
  const text = `select ${columns} from rotation where ended_at_ms is null order by started_at_ms, id`;
  return authentic(seal, await q.query<RotationRow>(text));
}

/** Rotations of some scopes: the open ones, and with `all` the newest of those that are over. */
export async function listRotations(
  q: Queryable,
  seal: TrustSeal,
  scopes: readonly string[],
  all: boolean,
): Promise<readonly RotationRow[]> {
  return authentic(
    seal,
    await q.query<RotationRow>(
      `select ${columns} from rotation where scope = any ($1::text[]) and ($2 or ended_at_ms is null)
       order by ended_at_ms is not null, started_at_ms desc, id limit $3`,
      [scopes, all, limits.rotationsListedMaxCount],
    ),
  );
}

/** Moves a rotation from the phase it was read in to another, or to its end; false when it had left that phase (RO2). */
export async function moveRotation(
  tx: Tx,
  seal: TrustSeal,
  row: RotationRow,
  to: { readonly phase: RotationPhase | RotationEnd; readonly required: RequiredVersions; readonly ended: boolean },
): Promise<boolean> {
  const next = { ...row, phase: to.phase, required: canonicalJson(to.required) };
  const moved = await tx.query<{ id: string }>(
    `update rotation set phase = $3, required = $4, mac = $5, phase_since_ms = now_ms(),
       ended_at_ms = case when $6 then now_ms() else null end
     where id = $1 and phase = $2 and ended_at_ms is null returning id`,
    [row.id, row.phase, next.phase, next.required, seal.mac("rotation", rotationFields(next)), to.ended],
  );
  return moved.length === 1;
}

export interface ExemptionRow {
  readonly rotationId: string;
  readonly subjectId: string;
  readonly subjectName: string;
  readonly reason: string;
  readonly exemptedBy: string;
  readonly atMs: number;
  readonly mac: Uint8Array;
}

export function exemptionFields(row: Omit<ExemptionRow, "atMs" | "mac">): MacField[] {
  return [row.rotationId, row.subjectId, row.subjectName, row.reason, row.exemptedBy];
}

/** A rotation no longer waits for a subject; false when it did not before. */
export async function insertExemption(
  tx: Tx,
  seal: TrustSeal,
  row: Omit<ExemptionRow, "atMs" | "mac">,
): Promise<boolean> {
  const done = await tx.query<{ id: string }>(
    `insert into rotation_exemption (rotation_id, subject_id, subject_name, reason, exempted_by, mac)
     values ($1, $2, $3, $4, $5, $6) on conflict do nothing returning subject_id as id`,
    [
      row.rotationId,
      row.subjectId,
      row.subjectName,
      row.reason,
      row.exemptedBy,
      seal.mac("rotation_exemption", exemptionFields(row)),
    ],
  );
  return done.length === 1;
}

/** Whom a rotation does not wait for, authenticated. */
export async function listExemptions(
  q: Queryable,
  seal: TrustSeal,
  rotationId: string,
): Promise<readonly ExemptionRow[]> {
  const rows = await q.query<ExemptionRow>(
    `select rotation_id as "rotationId", subject_id as "subjectId", subject_name as "subjectName", reason,
       exempted_by as "exemptedBy", at_ms as "atMs", mac from rotation_exemption where rotation_id = $1 order by at_ms, subject_id`,
    [rotationId],
  );
  for (const row of rows) requireAuthentic(seal, "rotation_exemption", exemptionFields(row), row.mac);
  return rows;
}

export interface RetiredKeyRow {
  readonly keyId: string;
  readonly clusterId: string;
  readonly purpose: string;
  readonly refusedFromMs: number;
  readonly statementNotAfterMs: number;
  readonly mac: Uint8Array;
}

export function retiredFields(row: Omit<RetiredKeyRow, "mac">): MacField[] {
  return [row.keyId, row.clusterId, row.purpose, row.refusedFromMs, row.statementNotAfterMs];
}

/** Retires a signing key; forgets those of the cluster whose statements have run out: nobody takes them any more. */
export async function retireSigningKey(
  tx: Tx,
  seal: TrustSeal,
  row: Omit<RetiredKeyRow, "mac">,
  nowMs: number,
): Promise<void> {
  await tx.query("delete from retired_signing_key where cluster_id = $1 and statement_not_after_ms < $2", [
    row.clusterId,
    Math.floor(nowMs) - limits.signedSkewMaxMs,
  ]);
  await tx.query(
    `insert into retired_signing_key (key_id, cluster_id, purpose, refused_from_ms, statement_not_after_ms, mac)
     values ($1, $2, $3, $4, $5, $6)`,
    [
      row.keyId,
      row.clusterId,
      row.purpose,
      row.refusedFromMs,
      row.statementNotAfterMs,
      seal.mac("retired_signing_key", retiredFields(row)),
    ],
  );
}

/** Retired keys of a cluster, authenticated, by key id: the same rows always give the same bundle. */
export async function retiredKeys(q: Queryable, seal: TrustSeal, clusterId: string): Promise<readonly RetiredKeyRow[]> {
  const rows = await q.query<RetiredKeyRow>(
    `select key_id as "keyId", cluster_id as "clusterId", purpose, refused_from_ms as "refusedFromMs",
       statement_not_after_ms as "statementNotAfterMs", mac from retired_signing_key where cluster_id = $1 order by key_id`,
    [clusterId],
  );
  for (const row of rows) requireAuthentic(seal, "retired_signing_key", retiredFields(row), row.mac);
  return rows;
}
