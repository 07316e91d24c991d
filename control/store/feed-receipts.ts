/**
 * Receipts of revocation feeds: the newest of each node, with its signature. Observations: they carry no MAC, anybody can
 * check them against the node's certificate.
 */

import { type CertificateRow, macFields } from "./certificates.ts";
import { LOCAL_DURABILITY, type Queryable } from "./sql.ts";
import { requireAuthentic, type TrustSeal } from "./trust.ts";

export interface ReceiptRow {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly bootId: string;
  readonly feedEpoch: number;
  readonly feedSeq: number;
  /** Hex, as the hashes below. */
  readonly contentHash: string;
  readonly appliedAtMs: number;
  readonly revocations: number;
  readonly forks: number;
  readonly forkedEpoch: number;
  readonly forkedSeq: number;
  readonly forkedHash: string;
  readonly overflowing: boolean;
  readonly statement: Uint8Array;
  readonly signature: Uint8Array;
  readonly keyHash: string;
}

/** Keeps receipts of different nodes, each unless a later position of the same start of its process is there. */
export async function keepReceipts(q: Queryable, receipts: readonly ReceiptRow[]): Promise<void> {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  const rows = receipts.map((row) => ({ ...row, statement: hex(row.statement), signature: hex(row.signature) }));
  await q.query(
    `insert into feed_receipt (node_id, cluster_id, boot_id, feed_epoch, feed_seq, content_hash, applied_at_ms,
       revocations, forks, forked_epoch, forked_seq, forked_hash, overflowing, statement, signature, key_hash)
     select "nodeId", "clusterId", "bootId", "feedEpoch", "feedSeq", "contentHash", "appliedAtMs", revocations, forks,
       "forkedEpoch", "forkedSeq", "forkedHash", overflowing, decode(statement, 'hex'), decode(signature, 'hex'), "keyHash"
     from (select ${LOCAL_DURABILITY}) as durability, jsonb_to_recordset($1::jsonb) as r ("nodeId" text, "clusterId" text,
       "bootId" text, "feedEpoch" bigint, "feedSeq" bigint, "contentHash" text, "appliedAtMs" bigint, revocations bigint,
       forks bigint, "forkedEpoch" bigint, "forkedSeq" bigint, "forkedHash" text, overflowing boolean, statement text,
       signature text, "keyHash" text)
     order by "nodeId"
     on conflict (node_id) do update set boot_id = excluded.boot_id, feed_epoch = excluded.feed_epoch,
       feed_seq = excluded.feed_seq, content_hash = excluded.content_hash, applied_at_ms = excluded.applied_at_ms,
       received_at_ms = excluded.received_at_ms, revocations = excluded.revocations, forks = excluded.forks,
       forked_epoch = excluded.forked_epoch, forked_seq = excluded.forked_seq, forked_hash = excluded.forked_hash,
       overflowing = excluded.overflowing, statement = excluded.statement, signature = excluded.signature,
       key_hash = excluded.key_hash
     where feed_receipt.boot_id <> excluded.boot_id
       or (feed_receipt.feed_epoch, feed_receipt.feed_seq) <= (excluded.feed_epoch, excluded.feed_seq)`,
    [JSON.stringify(rows)],
  );
}

/** Whose receipt, and by which key. */
export interface ReceiptSigner {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly keyHash: string;
}

/** The newest unrevoked leaf of each node for the key named, authenticated, in the order asked; undefined: it has none. */
export async function signersOf(
  q: Queryable,
  seal: TrustSeal,
  signers: readonly ReceiptSigner[],
): Promise<readonly (CertificateRow | undefined)[]> {
  const rows = await q.query<CertificateRow>(
    `select distinct on (c.scope, c.subject_id, c.key_hash) c.issuer_key_id as "issuerKeyId", c.serial, c.scope,
       c.subject_kind as "subjectKind", c.subject_id as "subjectId", c.holder_id as "holderId", c.spiffe,
       c.key_hash as "keyHash", c.certificate_der as "certificateDer", c.status, c.issued_at_ms as "issuedAtMs",
       c.not_before_ms as "notBeforeMs", c.not_after_ms as "notAfterMs", c.mac
     from jsonb_to_recordset($1::jsonb) as r ("clusterId" text, "nodeId" text, "keyHash" text)
     join certificate c on c.key_hash = r."keyHash" and c.scope = r."clusterId" and c.subject_kind = 'node'
       and c.subject_id = r."nodeId" and c.status <> 'revoked'
     order by c.scope, c.subject_id, c.key_hash, c.issued_at_ms desc`,
    [JSON.stringify(signers)],
  );
  for (const row of rows) requireAuthentic(seal, "certificate", macFields(row), row.mac);
  return signers.map(({ clusterId, nodeId, keyHash }) =>
    rows.find((row) => row.scope === clusterId && row.subjectId === nodeId && row.keyHash === keyHash),
  );
}

/** An active member of a cluster and where it is with the feed. */
export interface ReceiptStateRow {
  readonly nodeId: string;
  readonly nodeName: string;
  readonly beatAgeMs: number | null;
  readonly draining: boolean | null;
  /** Null: it never gave a receipt. */
  readonly feedEpoch: number | null;
  readonly feedSeq: number | null;
  readonly contentHash: string | null;
  readonly appliedAtMs: number | null;
  readonly forks: number | null;
  readonly forkedEpoch: number | null;
  readonly forkedSeq: number | null;
  readonly forkedHash: string | null;
  readonly overflowing: boolean | null;
  readonly statement: Uint8Array | null;
  readonly signature: Uint8Array | null;
  readonly keyHash: string | null;
}

/** Every active member of the cluster, by name. */
export async function receiptStates(q: Queryable, clusterId: string): Promise<readonly ReceiptStateRow[]> {
  return await q.query<ReceiptStateRow>(
    `select n.id as "nodeId", n.name as "nodeName", now_ms() - b.received_at_ms as "beatAgeMs", b.draining,
       r.feed_epoch as "feedEpoch", r.feed_seq as "feedSeq", r.content_hash as "contentHash",
       r.applied_at_ms as "appliedAtMs", r.forks, r.forked_epoch as "forkedEpoch", r.forked_seq as "forkedSeq",
       r.forked_hash as "forkedHash", r.overflowing, r.statement, r.signature, r.key_hash as "keyHash"
     from node n join membership m on m.cluster_id = n.cluster_id and m.node_id = n.id and m.status = 'active'
     left join beat_latest b on b.node_id = n.id
     left join feed_receipt r on r.node_id = n.id
     where n.cluster_id = $1 and n.identity_status = 'active' order by n.name, n.id`,
    [clusterId],
  );
}
