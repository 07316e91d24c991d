/** Leaves as operators look at them: by subject, status and end, with names, and what the feed says about them. */

import { INSTALLATION } from "../../certs/spiffe.ts";
import { type CertificateRow, certificateColumns, macFields } from "./certificates.ts";
import type { Queryable } from "./sql.ts";
import { requireAuthentic, type TrustSeal } from "./trust.ts";

export interface ListedCertificate extends CertificateRow {
  readonly supersededAtMs: number | null;
  readonly revokedAtMs: number | null;
  /** Names as they are now; unauthenticated, and nothing is decided by them. */
  readonly subjectName: string | null;
  readonly holderName: string | null;
  /** Of the node or identity it speaks for, or of the egress that holds a pool's leaf; null: it speaks for neither. */
  readonly identityStatus: "active" | "revoked" | null;
  /** What the feed of a cluster says about it: the leaf, its key, or its identity. */
  readonly revokedInFeed: boolean;
}

export const listedStatuses = ["live", "current", "next", "superseded", "revoked", "expired", "all"] as const;
export type ListedStatus = (typeof listedStatuses)[number];

export interface CertificateFilter {
  readonly clusterId: string;
  /** Empty: every kind. */
  readonly kind: string;
  /** Id or name of the subject or the holder; empty: everybody. */
  readonly subject: string;
  readonly status: ListedStatus;
  /** Among those that have not ended; 0: whenever they end. */
  readonly expiringWithinMs: number;
  readonly limit: number;
}

const select = `select ${certificateColumns
  .split(",")
  .map((column) => `c.${column.trim()}`)
  .join(", ")}, c.superseded_at_ms as "supersededAtMs", c.revoked_at_ms as "revokedAtMs",
  coalesce(sn.name, si.name, sp.name) as "subjectName", hn.name as "holderName",
  coalesce(hn.identity_status, si.status) as "identityStatus",
  ((c.issuer_key_id, c.serial) in (select issuer_key_id, serial from revocation where cluster_id = $1 and serial <> '')
    or c.key_hash in (select key_hash from revocation where cluster_id = $1 and key_hash <> '')
    or c.spiffe in (select spiffe_id from revocation where cluster_id = $1 and serial = '' and key_hash = ''))
    as "revokedInFeed"
  from certificate c
  left join node sn on c.subject_kind = 'node' and sn.id = c.subject_id
  left join node hn on hn.id = c.holder_id
  left join identity si on c.subject_kind in ('client', 'operator') and si.id = c.subject_id
  left join pool sp on c.subject_kind = 'pool' and sp.id = c.subject_id`;

const conditions: Readonly<Record<ListedStatus, string>> = {
  live: "c.status in ('current', 'next') and c.not_after_ms > now_ms()",
  current: "c.status = 'current' and c.not_after_ms > now_ms()",
  next: "c.status = 'next' and c.not_after_ms > now_ms()",
  superseded: "c.status = 'superseded' and c.not_after_ms > now_ms()",
  revoked: "c.status = 'revoked'",
  expired: "c.status <> 'revoked' and c.not_after_ms <= now_ms()",
  all: "true",
};

function authentic(seal: TrustSeal, rows: readonly ListedCertificate[]): readonly ListedCertificate[] {
  for (const row of rows) requireAuthentic(seal, "certificate", macFields(row), row.mac);
  return rows;
}

/** Leaves of a cluster, operators' among them, the newest first. */
export async function listCertificates(
  q: Queryable,
  seal: TrustSeal,
  filter: CertificateFilter,
): Promise<readonly ListedCertificate[]> {
  const { clusterId, kind, subject, status, expiringWithinMs, limit } = filter;
  const rows = await q.query<ListedCertificate>(
    `${select} where c.scope in ($1, $2) and ($3 = '' or c.subject_kind = $3)
       and ($4 = '' or c.subject_id = $4 or c.holder_id = $4 or sn.name = $4 or hn.name = $4 or si.name = $4 or sp.name = $4)
       and ($5::bigint = 0 or (c.not_after_ms > now_ms() and c.not_after_ms <= now_ms() + $5::bigint))
       and ${conditions[status]}
     order by c.issued_at_ms desc, c.issuer_key_id, c.serial limit $6`,
    [clusterId, INSTALLATION, kind, subject, expiringWithinMs, limit],
  );
  return authentic(seal, rows);
}

/** Leaves of a cluster, or of the installation, with that serial; of any issuer when none is named. */
export async function certificatesBySerial(
  q: Queryable,
  seal: TrustSeal,
  about: { readonly clusterId: string; readonly serial: string; readonly issuerKeyId: string },
): Promise<readonly ListedCertificate[]> {
  const rows = await q.query<ListedCertificate>(
    `${select} where c.scope in ($1, $2) and c.serial = $3 and ($4 = '' or c.issuer_key_id = $4) order by c.issuer_key_id`,
    [about.clusterId, INSTALLATION, about.serial, about.issuerKeyId],
  );
  return authentic(seal, rows);
}

/** Other leaves for the same key that may still act. */
export async function livingOfKey(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  row: CertificateRow,
  limit: number,
): Promise<readonly ListedCertificate[]> {
  const rows = await q.query<ListedCertificate>(
    `${select} where c.scope in ($1, $2) and c.key_hash = $3 and ${conditions.live}
       and not (c.issuer_key_id = $4 and c.serial = $5) order by c.issued_at_ms desc limit $6`,
    [clusterId, INSTALLATION, row.keyHash, row.issuerKeyId, row.serial, limit],
  );
  return authentic(seal, rows);
}

/** An entry of a feed that covers a leaf. */
export interface CoveringRow {
  readonly what: "certificate" | "key" | "identity";
  readonly feedEpoch: number;
  readonly feedSeq: number;
  readonly revokedAtMs: number;
  readonly reason: string;
  readonly revokedBy: string;
}

/** What a cluster's feed says about a leaf: of the leaf itself, its key, its identity. For people; the feed is what counts. */
export async function coveringRevocations(
  q: Queryable,
  clusterId: string,
  row: CertificateRow,
  limit: number,
): Promise<readonly CoveringRow[]> {
  return await q.query<CoveringRow>(
    `select case when serial <> '' then 'certificate' when key_hash <> '' then 'key' else 'identity' end as what,
       feed_epoch as "feedEpoch", feed_seq as "feedSeq", revoked_at_ms as "revokedAtMs", reason, revoked_by as "revokedBy"
     from revocation where cluster_id = $1 and ((issuer_key_id = $2 and serial = $3) or key_hash = $4
       or (serial = '' and key_hash = '' and spiffe_id = $5)) order by id limit $6`,
    [clusterId, row.issuerKeyId, row.serial, row.keyHash, row.spiffe, limit],
  );
}
