/**
 * What the watch over nodes reads and writes: which nodes are in trouble, who covers which role, who holds what and is not
 * online. Times and ages are the store's. Everything is read from `published_node`, the health snapshots show: silence
 * changes it only while somebody listened.
 */

import { requiredCapabilities } from "../../fabric/members.ts";
import { limits } from "../../lib/limits.ts";
import type { RoleCount, RoleNeeds } from "../domain/coverage.ts";
import type { Health } from "../domain/health.ts";
import type { NodeFacts } from "../domain/node-alerts.ts";
import type { HolderFacts, PlacementState } from "../domain/reconcile.ts";
import type { Queryable, Tx } from "./sql.ts";
import { one } from "./sql.ts";
import { capabilities, roles } from "./vocabulary.ts";

/**
 * Whether this caller may look at the cluster's nodes now; another replica that does so already is enough. Held until the
 * transaction ends.
 */
export async function claimWatch(tx: Tx, clusterId: string): Promise<boolean> {
  const rows = await tx.query<{ got: boolean }>(
    `select pg_try_advisory_xact_lock(hashtextextended('weft/node-watch/' || $1, 0)) as got`,
    [clusterId],
  );
  return one(rows)?.got === true;
}

/** Active members that are silent or report something an alert may be about. */
export async function troubledNodes(q: Queryable, clusterId: string): Promise<readonly NodeFacts[]> {
  const open = (kind: string): string =>
    `exists (select 1 from alert a where a.cluster_id = n.cluster_id and a.kind = '${kind}'
       and a.object = 'node/' || n.id and a.closed_at_ms is null)`;
  return await q.query<NodeFacts>(
    `select n.id as "nodeId", p.health, b.skew_ms as "skewMs", b.drift_ppm as "driftPpm",
       (select min(l.load) from beat_log l where l.node_id = n.id and l.received_at_ms > now_ms() - $4::bigint
        having count(*) >= $5) as load,
       ${open("node-clock-skew")} as "skewOpen", ${open("node-overloaded")} as "loadOpen"
     from node n join membership m on m.cluster_id = n.cluster_id and m.node_id = n.id and m.status = 'active'
     join published_node p on p.node_id = n.id
     left join beat_latest b on b.node_id = n.id
     where n.cluster_id = $1 and n.identity_status = 'active' and (p.health in ('stale', 'offline', 'missing')
       or abs(b.skew_ms) > $2::float8 or abs(b.drift_ppm) > $6::float8 or b.load >= $3::float8) order by n.id`,
    [
      ...[clusterId, limits.clockSkewAlertMs * 0.5, limits.loadAlertEndShare, limits.loadAlertOverMs],
      // Half of the beats a node sends in that time.
      Math.floor(limits.loadAlertOverMs / limits.beatEveryMs / 2),
      limits.clockDriftAlertShare * 1e6 * 0.5,
    ],
  );
}

/** The capabilities each role needs, as stored words. */
const needed = JSON.stringify(
  Object.entries(requiredCapabilities).map(([role, need]) => {
    const words = (values: readonly number[]) => values.map((each) => capabilities.text(each as never));
    return { role: roles.text(Number(role) as never), needAll: words(need.all), needAny: words(need.any) };
  }),
);

/** Members with each role, and how many of them are able to do it now (control/domain/coverage.ts). */
export async function roleCounts(q: Queryable, clusterId: string): Promise<readonly RoleCount[]> {
  return await q.query<RoleCount>(
    `select r.role, r.organization_id as "organizationId", count(*) as holders,
       count(*) filter (where m.status = 'active' and coalesce(p.health, 'stale') in ('online', 'stale')
         and n.capabilities @> k."needAll" and (k."needAny" = '{}' or n.capabilities && k."needAny")) as able
     from role_assignment r join node n on n.id = r.node_id and n.identity_status = 'active'
     join membership m on m.cluster_id = r.cluster_id and m.node_id = r.node_id
     join jsonb_to_recordset($2::jsonb) as k (role text, "needAll" text[], "needAny" text[]) on k.role = r.role
     left join published_node p on p.node_id = r.node_id
     where r.cluster_id = $1 and (r.organization_id = '' or not exists (
       select 1 from role_assignment w where w.node_id = r.node_id and w.role = r.role and w.organization_id = ''))
     group by r.role, r.organization_id order by r.role, r.organization_id`,
    [clusterId, needed],
  );
}

/** What organizations need roles for. */
export async function roleNeeds(q: Queryable, clusterId: string): Promise<RoleNeeds> {
  const row = one(
    await q.query<RoleNeeds>(
      `select coalesce((select array_agg(distinct organization_id) from resource
           where cluster_id = $1 and removed_at_ms is null), '{}') as "organizationIds",
         exists (select 1 from route_intent where cluster_id = $1 and action = 'direct' and removed_at_ms is null) as direct`,
      [clusterId],
    ),
  );
  return row ?? { organizationIds: [], direct: false };
}

/** Members by health as snapshots show it. */
export async function healthCounts(q: Queryable, clusterId: string): Promise<ReadonlyMap<Health, number>> {
  const rows = await q.query<{ health: Health; n: number }>(
    `select p.health, count(*) as n from published_node p join node n on n.id = p.node_id
     join membership m on m.cluster_id = n.cluster_id and m.node_id = n.id
     where n.cluster_id = $1 and n.identity_status = 'active' and m.status = 'active' group by p.health`,
    [clusterId],
  );
  return new Map(rows.map(({ health, n }) => [health, n]));
}

/**
 * How long a node has been as it is, and never longer than somebody has listened. In a statement with `published_node` as p
 * and `cluster` as c.
 */
const forMs = `greatest(0, least(now_ms() - p.health_since_ms,
  case when abs(now_ms() - c.graph_refreshed_at_ms) > ${limits.deafAfterMs} then 0 else now_ms() - c.listening_since_ms end))`;

/** A lease whose holder is silent or cut off. */
export interface SilentLease extends HolderFacts {
  readonly name: string;
  readonly holderNodeId: string;
  readonly bootId: string;
  readonly epoch: number;
  readonly counter: number;
  readonly expired: boolean;
}

/**
 * Leases whose holder is silent or revoked and that may be taken from it: expired ones, and all of those who are gone. At most
 * `limits.reconciledMaxCount` of them, locked until the transaction ends: whoever acquires one meanwhile comes after.
 */
export async function lockSilentLeases(tx: Tx, clusterId: string): Promise<readonly SilentLease[]> {
  return await tx.query<SilentLease>(
    `select l.name, l.holder_node_id as "holderNodeId", l.boot_id as "bootId", l.fence_epoch as epoch,
       l.fence_counter as counter, l.expires_at_ms <= now_ms() as expired, p.health,
       n.identity_status <> 'active' as revoked, coalesce(${forMs}, 0) as "forMs"
     from lease l join cluster c on c.id = l.cluster_id join node n on n.id = l.holder_node_id
     left join published_node p on p.node_id = n.id
     where l.cluster_id = $1 and l.holder_node_id <> '' and (n.identity_status <> 'active' or p.health = 'missing'
       or (l.expires_at_ms <= now_ms() and p.health in ('stale', 'offline')))
     order by l.name limit $2 for update of l skip locked`,
    [clusterId, limits.reconciledMaxCount],
  );
}

/** What was placed on a node, and how that stands. */
export interface NodePlacements extends HolderFacts {
  readonly nodeId: string;
  readonly state: PlacementState;
  readonly roles: number;
  readonly pools: number;
  readonly listeners: number;
  readonly workloads: number;
}

/** Members something was placed on that are not simply online, or were not when last looked at. */
export async function unsettledPlacements(q: Queryable, clusterId: string): Promise<readonly NodePlacements[]> {
  return await q.query<NodePlacements>(
    `select n.id as "nodeId", coalesce(s.state, 'kept') as state, p.health, false as revoked, coalesce(${forMs}, 0) as "forMs",
       (select count(*) from role_assignment r where r.node_id = n.id) as roles,
       (select count(*) from pool_node x where x.node_id = n.id) as pools,
       (select count(*) from listener l where l.entry_node_id = n.id and l.removed_at_ms is null) as listeners,
       (select count(*) from workload w where w.node_id = n.id) as workloads
     from node n join cluster c on c.id = n.cluster_id
     left join published_node p on p.node_id = n.id
     left join placement_state s on s.node_id = n.id
     where n.cluster_id = $1 and n.identity_status = 'active'
       and (s.node_id is not null or p.health <> 'online') order by n.id`,
    [clusterId],
  );
}

/** Writes what was decided; "kept" needs no row. */
export async function setPlacementStates(
  tx: Tx,
  clusterId: string,
  changes: readonly { readonly nodeId: string; readonly state: PlacementState }[],
): Promise<void> {
  if (changes.length === 0) return;
  const kept = changes.flatMap(({ nodeId, state }) => (state === "kept" ? [nodeId] : []));
  await tx.query(`delete from placement_state where node_id = any ($1::text[])`, [kept]);
  await tx.query(
    `insert into placement_state (node_id, cluster_id, state)
     select "nodeId", $1, state from jsonb_to_recordset($2::jsonb) as r ("nodeId" text, state text) order by "nodeId"
     on conflict (node_id) do update set state = excluded.state, since_ms = now_ms()`,
    [clusterId, JSON.stringify(changes.filter(({ state }) => state !== "kept"))],
  );
}

/** Closes alerts about leases whose holder is no longer missing, or no longer anybody. */
export async function closeLeaseOrphans(tx: Tx, clusterId: string): Promise<void> {
  await tx.query(
    `update alert a set closed_at_ms = now_ms()
     where a.cluster_id = $1 and a.kind = 'lease-orphaned' and a.closed_at_ms is null and not exists (
       select 1 from published_node p join node n on n.id = p.node_id
       where 'node/' || n.id = a.object and n.identity_status = 'active' and p.health = 'missing')`,
    [clusterId],
  );
}

/**
 * Closes alerts about workloads that nobody is asked to run any more: removed while their node reported, or their node was
 * revoked or disabled and reports no more.
 */
export async function closeWorkloadOrphans(tx: Tx, clusterId: string): Promise<void> {
  await tx.query(
    `update alert a set closed_at_ms = now_ms()
     where a.cluster_id = $1 and a.kind = 'workload-not-running' and a.closed_at_ms is null and not exists (
       select 1 from workload w join node n on n.id = w.node_id
       join membership m on m.cluster_id = w.cluster_id and m.node_id = w.node_id
       where 'workload/' || w.id = a.object and n.identity_status = 'active' and m.status = 'active')`,
    [clusterId],
  );
}

/** Forgets what was decided about nodes that were revoked. */
export async function dropRevokedPlacements(tx: Tx, clusterId: string): Promise<void> {
  await tx.query(
    `delete from placement_state s using node n
     where s.cluster_id = $1 and n.id = s.node_id and n.identity_status <> 'active'`,
    [clusterId],
  );
}
