/**
 * Certificates that were used again after another had taken their place: one row each, bounded by the certificates there
 * are. Observations: who used what from where; they decide nothing.
 */

import type { SpiffeKind } from "../../certs/spiffe.ts";
import { limits } from "../../lib/limits.ts";
import type { LeafName } from "./certificates.ts";
import { one, type Queryable } from "./sql.ts";

/** A superseded leaf, and the one that acts in its place. */
export interface Superseded {
  /** Empty for operators. */
  readonly clusterId: string;
  readonly subjectKind: SpiffeKind;
  readonly subjectId: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly supersededAtMs: number;
  /** For how long it had been superseded, by the store's clock. */
  readonly supersededForMs: number;
  readonly successor: string | null;
  readonly successorUsedFrom: string | null;
  readonly successorUsedAtMs: number | null;
}

/** What is known of a leaf that was superseded; undefined when it was not. Unauthenticated: for evidence, not for decisions. */
export async function findSuperseded(q: Queryable, { issuerKeyId, serial }: LeafName): Promise<Superseded | undefined> {
  return one(
    await q.query<Superseded>(
      `select case when c.scope = 'installation' then '' else c.scope end as "clusterId", c.subject_kind as "subjectKind",
         c.subject_id as "subjectId", c.not_before_ms as "notBeforeMs", c.not_after_ms as "notAfterMs",
         c.superseded_at_ms as "supersededAtMs",
         now_ms() - c.superseded_at_ms as "supersededForMs", s.serial as successor, s.first_used_from as "successorUsedFrom",
         s.first_used_at_ms as "successorUsedAtMs"
       from certificate c left join certificate s on s.scope = c.scope and s.subject_kind = c.subject_kind
         and s.subject_id = c.subject_id and s.holder_id = c.holder_id and s.status = 'current'
       where c.issuer_key_id = $1 and c.serial = $2 and c.status = 'superseded'`,
      [issuerKeyId, serial],
    ),
  );
}

/** Notes a use. True when it is the first of this leaf, or the first from there. */
export async function noteReuse(
  q: Queryable,
  { issuerKeyId, serial }: LeafName,
  row: Pick<Superseded, "clusterId" | "subjectKind" | "subjectId" | "notAfterMs" | "supersededAtMs">,
  usedFrom: string,
): Promise<boolean> {
  const before = one(
    await q.query<{ usedFrom: string }>(
      `select used_from as "usedFrom" from leaf_reuse where issuer_key_id = $1 and serial = $2 for update`,
      [issuerKeyId, serial],
    ),
  );
  await q.query(
    `insert into leaf_reuse (issuer_key_id, serial, cluster_id, subject_kind, subject_id, not_after_ms, superseded_at_ms,
       used_from) values ($1, $2, $3, $4, $5, $6, $7, $8)
     on conflict (issuer_key_id, serial) do update set used_from = excluded.used_from, last_at_ms = now_ms(),
       times = leaf_reuse.times + 1`,
    [issuerKeyId, serial, row.clusterId, row.subjectKind, row.subjectId, row.notAfterMs, row.supersededAtMs, usedFrom],
  );
  return before?.usedFrom !== usedFrom;
}

/**
 * Alerts whose evidence is over: every such leaf has ended by its dates or belongs to somebody revoked, and none was used for
 * `limits.leafReuseQuietMs`.
 */
export async function quietReuses(q: Queryable, clusterId: string): Promise<readonly string[]> {
  const rows = await q.query<{ object: string }>(
    `select a.object from alert a where a.cluster_id = $1 and a.kind = 'identity-cloned' and a.closed_at_ms is null
       and not exists (select 1 from leaf_reuse r where r.cluster_id = a.cluster_id
         and a.object = r.subject_kind || '/' || r.subject_id
         and greatest(r.not_after_ms, r.last_at_ms + $2::bigint) > now_ms()
         and not exists (select 1 from node n where r.subject_kind = 'node' and n.id = r.subject_id
           and n.identity_status <> 'active')
         and not exists (select 1 from identity i where r.subject_kind <> 'node' and i.id = r.subject_id
           and i.status <> 'active'))`,
    [clusterId, limits.leafReuseQuietMs],
  );
  return rows.map(({ object }) => object);
}

/** Forgets what ended longer ago than `limits.alertRetentionMs`, a bounded number at a time; returns how many. */
export async function sweepReuses(q: Queryable): Promise<number> {
  const rows = await q.query<{ serial: string }>(
    `delete from leaf_reuse where (issuer_key_id, serial) in (
       select issuer_key_id, serial from leaf_reuse where greatest(not_after_ms, last_at_ms) < now_ms() - $1::bigint
       limit $2) returning serial`,
    [limits.alertRetentionMs, limits.sweepRowsMaxCount],
  );
  return rows.length;
}
