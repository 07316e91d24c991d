/**
 * The audit chain: one for the installation, in the order of its commits.
 *
 * U1. A change and its record are one transaction: a change that cannot be recorded is not made.
 * U2. Each record's hash covers all its fields and the hash before it (fabric/audit/chain.ts); the head's row lock orders
 *     writers, so sequence numbers have no gaps and no forks.
 * U3. The head is the store's version: whatever changes trust moves it, so caches of trust compare it.
 */

import {
  type AuditFault,
  type AuditHead,
  type AuditRecord,
  auditHash,
  ChainWalk,
  sameHash,
} from "../../fabric/audit/chain.ts";
import { assert, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { isConflict, one, type Queryable, type Sql, storeError, type Tx } from "./sql.ts";
import { canonicalJson } from "./trust.ts";

export interface AuditEntry {
  /** A SPIFFE id, "anonymous", or "system". */
  readonly actor: string;
  /** What happened: "request.approved". */
  readonly action: string;
  /** Kind and id of what it happened to: "node/nd-...". */
  readonly object: string;
  readonly clusterId?: string;
  readonly organizationId?: string;
  /** Changed public fields; never secrets, never facts a stranger chose the size of. */
  readonly before?: unknown;
  readonly after?: unknown;
  /** Default "ok". */
  readonly result?: "ok" | `refused:${string}`;
}

const COLUMNS = `seq, at_ms as "atMs", actor, cluster_id as "clusterId", organization_id as "organizationId", action, object,
  before_json as "beforeJson", after_json as "afterJson", result, prev_hash as "prevHash", hash`;

/** Adds a record to the chain, as `appendAudits` does. */
export async function appendAudit(tx: Tx, entry: AuditEntry): Promise<AuditHead> {
  return await appendAudits(tx, [entry]);
}

/**
 * Adds records to the chain, in their order; returns the new head. The last statement of a transaction: the head stays
 * locked until it ends, and everybody else who changes something waits for it. Throws `unavailable` (AUDIT_UNWRITABLE) when
 * a record cannot be written, whyever: the change is then not made (U1).
 */
export async function appendAudits(tx: Tx, entries: readonly AuditEntry[]): Promise<AuditHead> {
  try {
    return await append(tx, entries);
  } catch (thrown) {
    if (isConflict(thrown)) throw thrown;
    const mapped = storeError(thrown);
    if (mapped instanceof WeftError) throw mapped;
    const message = "the audit record could not be written; nothing was changed";
    throw new WeftError("unavailable", message, { detail: "AUDIT_UNWRITABLE", cause: thrown });
  }
}

/** What a refused request called something may be any text: without characters a terminal obeys, and not longer than this. */
function objectText(object: string): string {
  return object.slice(0, limits.auditObjectMaxCount).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, "?");
}

type Appended = Pick<AuditRecord, "seq" | "atMs" | "prevHash" | "hash">;

async function append(tx: Tx, entries: readonly AuditEntry[]): Promise<AuditHead> {
  const texts = entries.map((entry) => ({
    actor: entry.actor,
    clusterId: entry.clusterId ?? "",
    organizationId: entry.organizationId ?? "",
    action: entry.action,
    object: objectText(entry.object),
    beforeJson: entry.before === undefined ? "" : canonicalJson(entry.before),
    afterJson: entry.after === undefined ? "" : canonicalJson(entry.after),
    result: entry.result ?? "ok",
  }));
  const rows = await tx.query<Appended>(
    `select seq, at_ms as "atMs", prev_hash as "prevHash", hash
     from append_audit($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])`,
    [
      texts.map(({ actor }) => actor),
      texts.map(({ clusterId }) => clusterId),
      texts.map(({ organizationId }) => organizationId),
      texts.map(({ action }) => action),
      texts.map(({ object }) => object),
      texts.map(({ beforeJson }) => beforeJson),
      texts.map(({ afterJson }) => afterJson),
      texts.map(({ result }) => result),
    ],
  );
  for (const [at, row] of rows.entries()) {
    const text = texts[at];
    // The store hashed what it stored; it must be what was to be stored (U2).
    assert(text !== undefined && sameHash(auditHash({ ...text, ...row }), row.hash), "an audit record is another one");
  }
  const head = rows.at(-1);
  assert(head !== undefined && rows.length === entries.length, "every audit record was written");
  return { seq: head.seq, hash: head.hash };
}

/** Runs `fn` and records it, in one transaction (U1). `fn` may run again after a conflict. */
export async function audited<T>(
  sql: Sql,
  entry: AuditEntry | ((result: T) => AuditEntry),
  fn: (tx: Tx) => Promise<T>,
): Promise<T> {
  return await sql.tx(async (tx) => {
    const result = await fn(tx);
    await appendAudit(tx, typeof entry === "function" ? entry(result) : entry);
    return result;
  });
}

/** Records a refusal, in a transaction of its own: what was refused has none. */
export async function auditRefusal(
  sql: Sql,
  entry: AuditEntry & { readonly result: `refused:${string}` },
): Promise<void> {
  await sql.tx(async (tx) => void (await appendAudit(tx, entry)));
}

/** The newest record's number and hash; 0 and zeros before the first. */
export async function auditHead(q: Queryable): Promise<AuditHead> {
  const head = one(await q.query<AuditHead>("select seq, hash from audit_head"));
  if (head === undefined) throw new Error("the audit chain has no head");
  return head;
}

/** Records after `afterSeq`, oldest first; `afterSeq` 0 is the newest page. Empty `clusterId`: every cluster. */
export async function listAudit(
  q: Queryable,
  page: { readonly clusterId: string; readonly afterSeq: number; readonly limit: number },
): Promise<readonly AuditRecord[]> {
  const { clusterId, afterSeq, limit } = page;
  if (afterSeq === 0) {
    return await q.query<AuditRecord>(
      `select * from (select ${COLUMNS} from audit where $1 = '' or cluster_id = $1 order by seq desc limit $2) newest
       order by seq`,
      [clusterId, limit],
    );
  }
  return await q.query<AuditRecord>(
    `select ${COLUMNS} from audit where ($1 = '' or cluster_id = $1) and seq > $2 order by seq limit $3`,
    [clusterId, afterSeq, limit],
  );
}

/** Records of (afterSeq, untilSeq], oldest first, at most `limit` of them. */
export async function readAudit(
  q: Queryable,
  range: { readonly afterSeq: number; readonly untilSeq: number; readonly limit: number },
): Promise<readonly AuditRecord[]> {
  return await q.query<AuditRecord>(`select ${COLUMNS} from audit where seq > $1 and seq <= $2 order by seq limit $3`, [
    range.afterSeq,
    range.untilSeq,
    range.limit,
  ]);
}

export type AuditVerdict = { readonly ok: true; readonly seq: number } | ({ readonly ok: false } & AuditFault);

/** Walks the whole chain. Finds any change, gap or cut; a tail cut together with the head is found by a node's witness. */
export async function verifyAudit(q: Queryable): Promise<AuditVerdict> {
  const head = await auditHead(q);
  const walk = new ChainWalk();
  for (let afterSeq = 0; ; ) {
    const rows = await readAudit(q, { afterSeq, untilSeq: Number.MAX_SAFE_INTEGER, limit: 500 });
    for (const row of rows) walk.take(row);
    const last = rows.at(-1);
    if (last === undefined) break;
    afterSeq = last.seq;
  }
  const fault = walk.finish(head);
  return fault === undefined ? { ok: true, seq: walk.at.seq } : { ok: false, ...fault };
}
