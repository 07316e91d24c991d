/** What control's metrics are read from: counts and ages, unauthenticated. Nothing is decided by them. */

import { limits } from "../../lib/limits.ts";
import { type BeatFacts, type Health, healthOf } from "../domain/health.ts";
import type { Queryable } from "./sql.ts";

export interface MetricFacts {
  /** Active members, by the slug of their cluster and their health. */
  readonly nodes: readonly { readonly cluster: string; readonly health: Health; readonly count: number }[];
  /** Open ones; `cluster` is empty for those of the whole installation. */
  readonly alerts: readonly { readonly cluster: string; readonly kind: string; readonly count: number }[];
  readonly clusters: readonly ClusterFacts[];
  readonly authorities: readonly AuthorityFacts[];
  /** Records in the audit chain. */
  readonly auditSeq: number;
}

export interface ClusterFacts {
  readonly cluster: string;
  readonly snapshotVersion: number;
  readonly pendingRequests: number;
  readonly leasesHeld: number;
  /** Since the lease that has been held longest was acquired; null when none is held. */
  readonly oldestLeaseMs: number | null;
  /** Until the certificate of a node that expires first does; null when there is none. */
  readonly firstCertificateLeftMs: number | null;
}

export interface AuthorityFacts {
  /** Slug of the cluster; "installation" for those of all. */
  readonly scope: string;
  readonly kind: string;
  readonly status: string;
  readonly leftMs: number;
}

/** Reads all of it; ages are by the store's clock. */
export async function readMetricFacts(q: Queryable): Promise<MetricFacts> {
  const [head] = await q.query<{ seq: number }>(`select seq from audit_head`);
  return {
    nodes: await nodeCounts(q),
    alerts: await q.query(
      `select coalesce(c.slug, '') as cluster, a.kind, count(*) as count
       from alert a left join cluster c on c.id = a.cluster_id
       where a.closed_at_ms is null group by 1, 2 order by 1, 2`,
    ),
    clusters: await clusterFacts(q),
    authorities: await q.query(
      `select coalesce(c.slug, a.scope) as scope, a.kind, a.status, min(a.not_after_ms - now_ms()) as "leftMs"
       from authority a left join cluster c on c.id = a.scope
       where a.status <> 'dropped' group by 1, 2, 3 order by 1, 2, 3`,
    ),
    auditSeq: head?.seq ?? 0,
  };
}

/** Ages are sorted into the spans health tells apart; each is judged by its youngest. */
async function nodeCounts(q: Queryable): Promise<MetricFacts["nodes"]> {
  const starts = [-limits.staleAfterMs, limits.staleAfterMs + 1, limits.offlineAfterMs + 1, limits.missingAfterMs + 1];
  const spans = await q.query<{ cluster: string; span: number | null; draining: boolean; count: number }>(
    `select c.slug as cluster, width_bucket(now_ms() - b.received_at_ms, $1::bigint[]) as span,
       coalesce(b.draining, false) as draining, count(*) as count
     from membership m join cluster c on c.id = m.cluster_id left join beat_latest b on b.node_id = m.node_id
     where m.status = 'active' group by 1, 2, 3`,
    [starts],
  );
  const counts = new Map<string, { cluster: string; health: Health; count: number }>();
  for (const { cluster, span, draining, count } of spans) {
    const beatAgeMs = span === null ? undefined : span === 0 ? -limits.staleAfterMs - 1 : starts[span - 1];
    const facts: BeatFacts = { beatAgeMs, draining };
    const health = healthOf(facts);
    const sum = counts.get(`${cluster} ${health}`) ?? { cluster, health, count: 0 };
    counts.set(`${cluster} ${health}`, { ...sum, count: sum.count + count });
  }
  return [...counts.values()];
}

async function clusterFacts(q: Queryable): Promise<readonly ClusterFacts[]> {
  return await q.query<ClusterFacts>(
    `select c.slug as cluster, c.snapshot_version as "snapshotVersion",
       (select count(*) from join_request r where r.cluster_id = c.id and r.state = 'pending') as "pendingRequests",
       (select count(*) from lease l where l.cluster_id = c.id and l.expires_at_ms > now_ms()) as "leasesHeld",
       (select now_ms() - min(l.acquired_at_ms) from lease l
         where l.cluster_id = c.id and l.expires_at_ms > now_ms()) as "oldestLeaseMs",
       (select min(k.not_after_ms) - now_ms() from certificate k join membership m
           on m.cluster_id = c.id and m.node_id = k.subject_id and m.status = 'active'
         where k.scope = c.id and k.subject_kind = 'node' and k.status = 'current') as "firstCertificateLeftMs"
     from cluster c order by c.slug`,
  );
}
