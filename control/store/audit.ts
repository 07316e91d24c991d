/**
 * The audit chain: one for the installation, in the order of its commits.
 *
 * U1. A change and its record are one transaction: a change that cannot be recorded is not made.
 * U2. Each record's hash covers all its fields and the hash before it; the head's row lock orders writers, so sequence
 *     numbers have no gaps and no forks.
 * U3. The head is the store's version: whatever changes trust moves it, so caches of trust compare it.
 */

import { createHash } from "node:crypto";
import { one, type Queryable, type Sql, type Tx } from "./sql.ts";
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

export interface AuditRow {
  readonly seq: number;
  readonly atMs: number;
  readonly actor: string;
  readonly clusterId: string;
  readonly organizationId: string;
  readonly action: string;
  readonly object: string;
  readonly beforeJson: string;
  readonly afterJson: string;
  readonly result: string;
  readonly prevHash: Uint8Array;
  readonly hash: Uint8Array;
}

export interface AuditHead {
  readonly seq: number;
  readonly hash: Uint8Array;
}

const DOMAIN = "weft/audit/v1\0";

const COLUMNS = `seq, at_ms as "atMs", actor, cluster_id as "clusterId", organization_id as "organizationId", action, object,
  before_json as "beforeJson", after_json as "afterJson", result, prev_hash as "prevHash", hash`;

/** SHA-256 over the domain string and every field, each behind its length (U2). */
export function auditHash(row: Omit<AuditRow, "hash">): Uint8Array {
  const hash = createHash("sha256").update(DOMAIN);
  const { seq, atMs, actor, clusterId, organizationId, action, object, beforeJson, afterJson, result, prevHash } = row;
  const texts = [seq, atMs, actor, clusterId, organizationId, action, object, beforeJson, afterJson, result];
  for (const part of [...texts.map((each) => Buffer.from(String(each), "utf8")), prevHash]) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    hash.update(length).update(part);
  }
  return new Uint8Array(hash.digest());
}

/** Adds a record to the chain. The last statement of a transaction: the head stays locked until it ends. */
export async function appendAudit(tx: Tx, entry: AuditEntry): Promise<AuditHead> {
  const head = one(
    await tx.query<{ seq: number; hash: Uint8Array; at_ms: number }>(
      "select seq, hash, now_ms() as at_ms from audit_head for update",
    ),
  );
  if (head === undefined) throw new Error("the audit chain has no head");
  const row = {
    seq: head.seq + 1,
    atMs: head.at_ms,
    actor: entry.actor,
    clusterId: entry.clusterId ?? "",
    organizationId: entry.organizationId ?? "",
    action: entry.action,
    object: entry.object,
    beforeJson: entry.before === undefined ? "" : canonicalJson(entry.before),
    afterJson: entry.after === undefined ? "" : canonicalJson(entry.after),
    result: entry.result ?? "ok",
    prevHash: head.hash,
  };
  const hash = auditHash(row);
  await tx.query(
    `with record as (
       insert into audit (seq, at_ms, actor, cluster_id, organization_id, action, object, before_json, after_json, result,
         prev_hash, hash) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12))
     update audit_head set seq = $1, hash = $12`,
    [
      row.seq,
      row.atMs,
      row.actor,
      row.clusterId,
      row.organizationId,
      row.action,
      row.object,
      row.beforeJson,
      row.afterJson,
      row.result,
      row.prevHash,
      hash,
    ],
  );
  return { seq: row.seq, hash };
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
  const head = one(await q.query<AuditHead & object>("select seq, hash from audit_head"));
  if (head === undefined) throw new Error("the audit chain has no head");
  return head;
}

/** Records after `afterSeq`, oldest first; `afterSeq` 0 is the newest page. Empty `clusterId`: every cluster. */
export async function listAudit(
  q: Queryable,
  page: { readonly clusterId: string; readonly afterSeq: number; readonly limit: number },
): Promise<AuditRow[]> {
  const { clusterId, afterSeq, limit } = page;
  if (afterSeq === 0) {
    return await q.query<AuditRow & object>(
      `select * from (select ${COLUMNS} from audit where $1 = '' or cluster_id = $1 order by seq desc limit $2) newest
       order by seq`,
      [clusterId, limit],
    );
  }
  return await q.query<AuditRow & object>(
    `select ${COLUMNS} from audit where ($1 = '' or cluster_id = $1) and seq > $2 order by seq limit $3`,
    [clusterId, afterSeq, limit],
  );
}

export type AuditVerdict =
  | { readonly ok: true; readonly seq: number }
  | { readonly ok: false; readonly seq: number; readonly why: string };

/** Walks the whole chain. Finds any change, gap or cut; a tail cut together with the head is found by a node's witness. */
export async function verifyAudit(q: Queryable): Promise<AuditVerdict> {
  const head = await auditHead(q);
  let prevHash: Uint8Array = new Uint8Array(32);
  let seq = 0;
  for (;;) {
    const rows = await q.query<AuditRow & object>(
      `select ${COLUMNS} from audit where seq > $1 order by seq limit 500`,
      [seq],
    );
    for (const row of rows) {
      if (row.seq !== seq + 1) return { ok: false, seq: seq + 1, why: "a record is missing" };
      seq = row.seq;
      if (Buffer.compare(row.prevHash, prevHash) !== 0)
        return { ok: false, seq, why: "a record does not follow the one before it" };
      if (Buffer.compare(auditHash(row), row.hash) !== 0) return { ok: false, seq, why: "a record was altered" };
      prevHash = row.hash;
    }
    if (rows.length === 0) break;
  }
  const whole = head.seq === seq && Buffer.compare(head.hash, prevHash) === 0;
  return whole ? { ok: true, seq } : { ok: false, seq, why: "the chain does not end at its head" };
}
