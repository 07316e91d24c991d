/**
 * Every leaf ever issued, and which of them may act: the allowlist.
 *
 * B1. A leaf's row, with its unique (issuer, serial), exists before its bytes leave control.
 * B2. A subject has at most one current and one next leaf. The next one becomes current when it is first used, and what was
 *     current then is superseded: a renewal whose answer was lost takes nothing away.
 * B3. Status is authenticated: a revoked leaf cannot be brought back by writing the database.
 */

import type { IssuedLeaf } from "../../certs/ca.ts";
import { formatSpiffe, type SpiffeKind } from "../../certs/spiffe.ts";
import { WeftError } from "../../lib/errors.ts";
import type { Hints } from "../hints/hints.ts";
import { CERTIFICATES_TOPIC } from "../hints/hints.ts";
import { isUniqueViolation, type Queryable, type Tx } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export type CertificateStatus = "current" | "next" | "superseded" | "revoked";

export interface CertificateRow {
  readonly issuerKeyId: string;
  readonly serial: string;
  /** Cluster id, or `installation` for operators. */
  readonly scope: string;
  readonly subjectKind: SpiffeKind;
  readonly subjectId: string;
  /** Pool leaves: the egress node. Else the subject. */
  readonly holderId: string;
  readonly spiffe: string;
  readonly keyHash: string;
  readonly certificateDer: Uint8Array;
  readonly status: CertificateStatus;
  readonly issuedAtMs: number;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly mac: Uint8Array;
}

export interface CertificateContext {
  readonly seal: TrustSeal;
  readonly hints: Hints;
}

/** Whose leaf. */
export interface CertificateSubject {
  readonly scope: string;
  readonly subjectKind: SpiffeKind;
  readonly subjectId: string;
  readonly holderId: string;
}

export const certificateColumns = `issuer_key_id as "issuerKeyId", serial, scope, subject_kind as "subjectKind", subject_id as "subjectId",
  holder_id as "holderId", spiffe, key_hash as "keyHash", certificate_der as "certificateDer", status,
  issued_at_ms as "issuedAtMs", not_before_ms as "notBeforeMs", not_after_ms as "notAfterMs", mac`;

export function macFields(row: Omit<CertificateRow, "mac" | "certificateDer" | "issuedAtMs">): MacField[] {
  const { issuerKeyId, serial, scope, subjectKind, subjectId, holderId, spiffe, keyHash, status } = row;
  return [
    issuerKeyId,
    serial,
    scope,
    subjectKind,
    subjectId,
    holderId,
    spiffe,
    keyHash,
    status,
    row.notBeforeMs,
    row.notAfterMs,
  ];
}

function authentic(seal: TrustSeal, rows: readonly CertificateRow[]): readonly CertificateRow[] {
  for (const row of rows) requireAuthentic(seal, "certificate", macFields(row), row.mac);
  return rows;
}

/** Records an issued leaf (B1). A `current` one takes the place of the subject's leaves before it. */
export async function insertCertificate(
  tx: Tx,
  ctx: CertificateContext,
  subject: CertificateSubject,
  leaf: Omit<IssuedLeaf, "certificatePem" | "certificateDer"> & { readonly certificateDer: Uint8Array },
  status: "current" | "next",
): Promise<void> {
  const live = await lockLive(tx, ctx.seal, subject);
  const replaced = live.filter((row) => status === "current" || row.status === "next");
  for (const row of replaced) await setStatus(tx, ctx.seal, row, "superseded");
  const spiffe = formatSpiffe(leaf.id);
  const row = {
    ...subject,
    issuerKeyId: leaf.issuerKeyId,
    serial: leaf.serialHex,
    spiffe,
    keyHash: leaf.keyHash,
    status,
    notBeforeMs: leaf.notBeforeMs,
    notAfterMs: leaf.notAfterMs,
  } as const;
  try {
    await tx.query(
      `insert into certificate (issuer_key_id, serial, scope, subject_kind, subject_id, holder_id, spiffe, key_hash,
         certificate_der, status, not_before_ms, not_after_ms, mac)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
      [
        row.issuerKeyId,
        row.serial,
        row.scope,
        row.subjectKind,
        row.subjectId,
        row.holderId,
        spiffe,
        row.keyHash,
        leaf.certificateDer,
        status,
        row.notBeforeMs,
        row.notAfterMs,
        ctx.seal.mac("certificate", macFields(row)),
      ],
    );
  } catch (thrown) {
    // Two renewals of one subject at once: whoever came second saw no leaf of the first to supersede.
    if (!isUniqueViolation(thrown, "certificate_one_next") && !isUniqueViolation(thrown, "certificate_one_current"))
      throw thrown;
    const message = "another certificate of the same subject was issued at the same time; nothing was changed";
    throw new WeftError("aborted", message, { detail: "STORE_CONFLICT", retry: "now", cause: thrown });
  }
  // A leaf more takes nothing from anybody: who comes with it is looked up.
  if (replaced.length > 0) tx.afterCommit(() => ctx.hints.publish(CERTIFICATES_TOPIC));
}

/** The subject's current and next leaves, locked in one order. */
async function lockLive(tx: Tx, seal: TrustSeal, subject: CertificateSubject): Promise<readonly CertificateRow[]> {
  const { scope, subjectKind, subjectId, holderId } = subject;
  const text = `select ${certificateColumns} from certificate where scope = $1 and subject_kind = $2 and subject_id = $3
    and holder_id = $4 and status in ('current', 'next') order by serial for update`;
  return authentic(seal, await tx.query<CertificateRow>(text, [scope, subjectKind, subjectId, holderId]));
}

async function setStatus(tx: Tx, seal: TrustSeal, row: CertificateRow, status: CertificateStatus): Promise<void> {
  await tx.query(
    `update certificate set status = $3, mac = $4,
       superseded_at_ms = case when $3 = 'superseded' then now_ms() else superseded_at_ms end,
       revoked_at_ms = case when $3 = 'revoked' then now_ms() else revoked_at_ms end
     where issuer_key_id = $1 and serial = $2`,
    [row.issuerKeyId, row.serial, status, seal.mac("certificate", macFields({ ...row, status }))],
  );
}

/** What names a leaf. */
export interface LeafName {
  readonly issuerKeyId: string;
  readonly serial: string;
}

/** The leaf with that issuer and serial, authenticated, or undefined. */
export async function findCertificate(
  q: Queryable,
  seal: TrustSeal,
  issuerKeyId: string,
  serial: string,
): Promise<CertificateRow | undefined> {
  return (await findCertificates(q, seal, [{ issuerKeyId, serial }]))[0];
}

/** Leaves by issuer and serial, authenticated, in the order asked; undefined for those that are not known. */
export async function findCertificates(
  q: Queryable,
  seal: TrustSeal,
  names: readonly LeafName[],
): Promise<readonly (CertificateRow | undefined)[]> {
  const rows = await q.query<CertificateRow>(
    `select ${certificateColumns} from certificate where (issuer_key_id, serial) in (
       select * from unnest($1::text[], $2::text[]))`,
    [names.map(({ issuerKeyId }) => issuerKeyId), names.map(({ serial }) => serial)],
  );
  const known = new Map(authentic(seal, rows).map((row) => [`${row.issuerKeyId}/${row.serial}`, row]));
  return names.map(({ issuerKeyId, serial }) => known.get(`${issuerKeyId}/${serial}`));
}

/** The subject's current and next leaves, authenticated; at most one of each. */
export async function liveCertificates(
  q: Queryable,
  seal: TrustSeal,
  subject: CertificateSubject,
): Promise<{ readonly current?: CertificateRow; readonly next?: CertificateRow }> {
  const { scope, subjectKind, subjectId, holderId } = subject;
  const text = `select ${certificateColumns} from certificate where scope = $1 and subject_kind = $2 and subject_id = $3
    and holder_id = $4 and status in ('current', 'next')`;
  const rows = authentic(seal, await q.query<CertificateRow>(text, [scope, subjectKind, subjectId, holderId]));
  const current = rows.find((row) => row.status === "current");
  const next = rows.find((row) => row.status === "next");
  return { ...(current === undefined ? {} : { current }), ...(next === undefined ? {} : { next }) };
}

/** The first use of a next leaf (B2): `already` when another use was first, `lost` when it may no longer act. */
export async function promoteCertificate(
  tx: Tx,
  ctx: CertificateContext,
  row: CertificateRow,
  usedFrom = "",
): Promise<"promoted" | "already" | "lost"> {
  const live = await lockLive(tx, ctx.seal, row);
  const same = live.find((each) => each.issuerKeyId === row.issuerKeyId && each.serial === row.serial);
  if (same === undefined) return "lost";
  if (same.status === "current") return "already";
  for (const each of live) if (each.status === "current") await setStatus(tx, ctx.seal, each, "superseded");
  await setStatus(tx, ctx.seal, same, "current");
  await tx.query(
    "update certificate set first_used_from = $3, first_used_at_ms = now_ms() where issuer_key_id = $1 and serial = $2",
    [row.issuerKeyId, row.serial, usedFrom],
  );
  tx.afterCommit(() => ctx.hints.publish(CERTIFICATES_TOPIC));
  return "promoted";
}

/**
 * Revokes every leaf of a holder that is not revoked yet, pool leaves of an egress included. Returns them: their keys and
 * dates are what the revocation feed has to carry.
 */
export async function revokeCertificates(
  tx: Tx,
  ctx: CertificateContext,
  holder: { readonly scope: string; readonly holderId: string },
): Promise<readonly CertificateRow[]> {
  const text = `select ${certificateColumns} from certificate where scope = $1 and holder_id = $2 and status <> 'revoked'
    order by serial for update`;
  const rows = authentic(ctx.seal, await tx.query<CertificateRow>(text, [holder.scope, holder.holderId]));
  for (const row of rows) await setStatus(tx, ctx.seal, row, "revoked");
  tx.afterCommit(() => ctx.hints.publish(CERTIFICATES_TOPIC));
  return rows;
}

/** Locks the leaf with that issuer and serial; undefined when there is none. */
export async function lockCertificate(tx: Tx, seal: TrustSeal, name: LeafName): Promise<CertificateRow | undefined> {
  const text = `select ${certificateColumns} from certificate where issuer_key_id = $1 and serial = $2 for update`;
  return authentic(seal, await tx.query<CertificateRow>(text, [name.issuerKeyId, name.serial]))[0];
}

/** Revokes one leaf that was locked before. */
export async function revokeLeaf(tx: Tx, ctx: CertificateContext, row: CertificateRow): Promise<void> {
  await setStatus(tx, ctx.seal, row, "revoked");
  tx.afterCommit(() => ctx.hints.publish(CERTIFICATES_TOPIC));
}

/** Revokes one leaf, or every leaf of a key, whosever it is; an empty name stands for none. */
export async function revokeLeaves(
  tx: Tx,
  ctx: CertificateContext,
  named: { readonly issuerKeyId: string; readonly serial: string; readonly keyHash: string },
): Promise<void> {
  const text = `select ${certificateColumns} from certificate where status <> 'revoked'
    and (($2 <> '' and issuer_key_id = $1 and serial = $2) or ($3 <> '' and key_hash = $3)) order by serial for update`;
  const params = [named.issuerKeyId, named.serial, named.keyHash];
  for (const row of authentic(ctx.seal, await tx.query<CertificateRow>(text, params))) {
    await setStatus(tx, ctx.seal, row, "revoked");
  }
  tx.afterCommit(() => ctx.hints.publish(CERTIFICATES_TOPIC));
}

/** Whether a key has ever been certified, for anybody but `except`. */
export async function isKeyKnown(q: Queryable, keyHash: string, except?: string): Promise<boolean> {
  const text = "select 1 as found from certificate where key_hash = $1 and holder_id <> $2 limit 1";
  return (await q.query(text, [keyHash, except ?? ""])).length > 0;
}
