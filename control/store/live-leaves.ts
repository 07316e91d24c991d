/** Leaves that may act now, by kind: whom a rotation still waits for. */

import type { SpiffeKind } from "../../certs/spiffe.ts";
import { type CertificateRow, macFields } from "./certificates.ts";
import type { Queryable } from "./sql.ts";
import { requireAuthentic, type TrustSeal } from "./trust.ts";

export type LiveLeaf = Omit<CertificateRow, "certificateDer" | "issuedAtMs">;

/**
 * Leaves of a kind and one issuer that may act now or at their next use, authenticated. Of pools only those whose holder
 * is still in the pool. A client's is left out once it has been given another one: entries, not control, see that one used,
 * and say for how long connections rely on the one before.
 */
export async function liveLeavesOf(
  q: Queryable,
  seal: TrustSeal,
  about: { readonly scope: string; readonly kind: SpiffeKind; readonly issuerKeyId: string },
): Promise<readonly LiveLeaf[]> {
  const rows = await q.query<LiveLeaf>(
    `select issuer_key_id as "issuerKeyId", serial, scope, subject_kind as "subjectKind", subject_id as "subjectId",
       holder_id as "holderId", spiffe, key_hash as "keyHash", status, not_before_ms as "notBeforeMs",
       not_after_ms as "notAfterMs", mac
     from certificate c where issuer_key_id = $3 and scope = $1 and subject_kind = $2 and status in ('current', 'next')
       and not_after_ms > now_ms()
       and ($2 <> 'client' or status = 'next' or not exists (select 1 from certificate n where n.scope = $1
         and n.subject_kind = $2 and n.subject_id = c.subject_id and n.status = 'next' and n.issuer_key_id <> $3))
       and ($2 <> 'pool' or exists (select 1 from pool_node p where p.pool_id = subject_id and p.node_id = holder_id))
     order by serial`,
    [about.scope, about.kind, about.issuerKeyId],
  );
  for (const row of rows) requireAuthentic(seal, "certificate", macFields(row), row.mac);
  return rows;
}

/** How many leaves of each issuer of a scope may act now, by issuer. For people: nothing is decided by it. */
export async function countLiveLeaves(q: Queryable, scope: string): Promise<ReadonlyMap<string, number>> {
  const rows = await q.query<{ issuerKeyId: string; n: number }>(
    `select issuer_key_id as "issuerKeyId", count(*) as n from certificate where scope = $1
       and status in ('current', 'next') and not_after_ms > now_ms() group by issuer_key_id`,
    [scope],
  );
  return new Map(rows.map(({ issuerKeyId, n }) => [issuerKeyId, n]));
}
