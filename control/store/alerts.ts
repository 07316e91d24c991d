/**
 * Alerts: what an operator should look at, as rows that open and close (M-A6).
 *
 * A1. There is one row per (cluster, kind, object). It opens, closes and opens again, and counts how often, so that what
 *     flaps changes a row and adds none: the table is bounded by what exists. An object is therefore the id of something
 *     this installation made ("node/nd-..."), never a text somebody sent.
 * A2. Opening what is open and closing what is closed change nothing, so every replica may say the same; exactly one of
 *     them is told that it made the change.
 * A3. A closed row is kept for `limits.alertRetentionMs` after it closed; an open one until it closes.
 *
 * Alerts are observations: they carry no MAC, and nothing is decided by them.
 */

import { limits } from "../../lib/limits.ts";
import { one, type Queryable } from "./sql.ts";

/** How bad: `critical` means that something no longer works or was tampered with. */
export type AlertSeverity = "warning" | "critical";

/** Every kind there is. Add yours here; what an operator can do about it stands in the detail. */
export const alertKinds = {
  // Health of nodes (control/domain/node-alerts.ts).
  "node-stale": "warning",
  "node-offline": "critical",
  "node-missing": "critical",
  "node-clock-skew": "warning",
  "node-overloaded": "warning",
  // No member that answers has a role that somebody needs; object "role/<role>" or "role/<role>@<organization id>".
  "role-coverage": "critical",
  // What a missing node held or was given.
  "lease-orphaned": "critical",
  "placement-orphaned": "critical",
  // A workload its node cannot or may not run (control/domain/workload-alerts.ts); object "workload/<id>".
  "workload-not-running": "warning",
  // The audit chain contradicts what a node witnessed (control/domain/witness-watch.ts).
  "audit-cut": "critical",
  "audit-forked": "critical",
  "audit-gap": "warning",
  // A trust row that no control of this installation wrote (control/domain/trust-alarm.ts); object "<table>/<key>".
  "trust-row-forged": "critical",
  // What nodes show of snapshots (control/domain/snapshot-evidence.ts); objects "signing-key/<id>" and "node/<id>".
  "snapshot-forked": "critical",
  "node-rolled-back": "critical",
  // A rotation waits for somebody (control/jobs/rotation.ts); object "rotation/<id>".
  "rotation-stalled": "warning",
  // An authority that signs has spent so much of its life; object "authority/<key id>".
  "authority-half": "warning",
  "authority-three-quarters": "warning",
  "authority-ending": "critical",
  // A certificate was used after another had taken its place (control/domain/clone-alarm.ts); objects "node/<id>" and so on.
  "identity-cloned": "critical",
  // The clock of a replica of control is far from the store's (control/jobs/replica-clock.ts); object "replica/<id>".
  "control-clock-skew": "warning",
  // The revocation feed (control/domain/feed-alerts.ts): its bounds, object "cluster/<id>"; what nodes sign about it.
  "feed-filling": "warning",
  "feed-full": "critical",
  "feed-forked": "critical",
  "feed-overflow": "critical",
  "feed-unapplied": "warning",
  // A backup was restored: what nodes know and the store does not (control/domain/restore-gap.ts); object "restore/<id>".
  "restore-gap": "critical",
} as const satisfies Readonly<Record<string, AlertSeverity>>;

export type AlertKind = keyof typeof alertKinds;

/** What an alert is about. */
export interface AlertKey {
  /** Empty: the installation as a whole. */
  readonly clusterId: string;
  readonly kind: AlertKind;
  /** Kind and id: "node/nd-...". At most `limits.alertObjectCharactersMaxCount`. */
  readonly object: string;
}

export interface Alert extends AlertKey {
  /** For people: no secret, no text a stranger chose. Cut at `limits.alertDetailCharactersMaxCount`. */
  readonly detail: string;
}

export interface AlertRow extends Alert {
  readonly openedAtMs: number;
  readonly closedAtMs: number | null;
  readonly firstOpenedAtMs: number;
  readonly timesOpened: number;
}

const reopen = `on conflict (cluster_id, kind, object) do update set detail = excluded.detail, opened_at_ms = now_ms(),
  closed_at_ms = null, times_opened = alert.times_opened + 1 where alert.closed_at_ms is not null`;

function cut(detail: string): string {
  return Array.from(detail).slice(0, limits.alertDetailCharactersMaxCount).join("");
}

/** Opens an alert, or brings the detail of an open one up to date. True when this call opened it. One statement. */
export async function openAlert(q: Queryable, alert: Alert): Promise<boolean> {
  return (await openAlerts(q, alert.clusterId, [alert])).length === 1;
}

/** Closes an alert. True when this call closed it. One statement. */
export async function closeAlert(q: Queryable, { clusterId, kind, object }: AlertKey): Promise<boolean> {
  const rows = await q.query<{ kind: string }>(
    `update alert set closed_at_ms = now_ms()
     where cluster_id = $1 and kind = $2 and object = $3 and closed_at_ms is null returning kind`,
    [clusterId, kind, object],
  );
  return rows.length === 1;
}

/** Opens alerts of one cluster, or brings their details up to date; returns those this call opened. */
export async function openAlerts(
  q: Queryable,
  clusterId: string,
  alerts: readonly Omit<Alert, "clusterId">[],
): Promise<readonly AlertKey[]> {
  const opened: AlertKey[] = [];
  for (let at = 0; at < alerts.length; at += BATCH) {
    opened.push(...(await openBatch(q, clusterId, alerts.slice(at, at + BATCH))));
  }
  return opened;
}

/** How many alerts one statement opens. */
const BATCH = 500;

async function openBatch(q: Queryable, clusterId: string, alerts: readonly Omit<Alert, "clusterId">[]) {
  const wanted = alerts.map(({ kind, object, detail }) => ({ kind, object, detail: cut(detail) }));
  return await q.query<AlertKey>(
    `with wanted as (
       select distinct on (kind, object) kind, object, detail
       from jsonb_to_recordset($2::jsonb) as r (kind text, object text, detail text) order by kind, object
     ), told as (
       update alert a set detail = w.detail from wanted w
       where a.cluster_id = $1 and a.kind = w.kind and a.object = w.object and a.closed_at_ms is null
         and a.detail <> w.detail
     )
     insert into alert (cluster_id, kind, object, detail) select $1, kind, object, detail from wanted order by kind, object
     ${reopen} returning cluster_id as "clusterId", kind, object`,
    [clusterId, JSON.stringify(wanted)],
  );
}

/** What a round of looking changed. */
export interface AlertChanges {
  readonly opened: readonly AlertKey[];
  readonly closed: readonly AlertKey[];
}

/**
 * Makes the open alerts of `kinds` in a cluster exactly `wanted`: opens what is missing, closes what is no longer so. For
 * whoever looks at everything of its kinds at once.
 */
export async function syncAlerts(
  q: Queryable,
  clusterId: string,
  kinds: readonly AlertKind[],
  wanted: readonly Omit<Alert, "clusterId">[],
): Promise<AlertChanges> {
  const open = await q.query<Omit<Alert, "clusterId">>(
    `select kind, object, detail from alert where cluster_id = $1 and kind = any ($2::text[]) and closed_at_ms is null`,
    [clusterId, kinds],
  );
  const keyOf = ({ kind, object }: Pick<Alert, "kind" | "object">): string => `${kind} ${object}`;
  const details = new Map(open.map((row) => [keyOf(row), row.detail]));
  const keys = new Set(wanted.map(keyOf));
  // Most of what is wanted is as it was: only what differs is written.
  const differing = wanted.filter((alert) => details.get(keyOf(alert)) !== cut(alert.detail));
  const ended = open.filter((row) => !keys.has(keyOf(row)));
  return { opened: await openAlerts(q, clusterId, differing), closed: await closeAlerts(q, clusterId, ended) };
}

/** Closes alerts of one cluster; returns those this call closed. One statement for each kind. */
export async function closeAlerts(
  q: Queryable,
  clusterId: string,
  keys: readonly Pick<Alert, "kind" | "object">[],
): Promise<readonly AlertKey[]> {
  const closed: AlertKey[] = [];
  // By kind and a list of objects: of one cost whatever the store thinks how many there are.
  for (const [kind, all] of Map.groupBy(keys, (key) => key.kind)) {
    const rows = await q.query<AlertKey>(
      `update alert set closed_at_ms = now_ms()
       where cluster_id = $1 and kind = $2 and object = any ($3::text[]) and closed_at_ms is null
       returning cluster_id as "clusterId", kind, object`,
      [clusterId, kind, all.map(({ object }) => object)],
    );
    closed.push(...rows);
  }
  return closed;
}

/** Which alerts a list shows. */
export interface AlertFilter {
  /** Closed ones too. */
  readonly all: boolean;
  readonly limit: number;
}

/** Alerts of a cluster, those of the whole installation among them: open ones first, the newest first. */
export async function listAlerts(
  q: Queryable,
  clusterId: string,
  { all, limit }: AlertFilter,
): Promise<readonly AlertRow[]> {
  return await q.query<AlertRow>(
    `select cluster_id as "clusterId", kind, object, detail, opened_at_ms as "openedAtMs", closed_at_ms as "closedAtMs",
       first_opened_at_ms as "firstOpenedAtMs", times_opened as "timesOpened"
     from alert where cluster_id in ($1, '') and ($2 or closed_at_ms is null)
     order by closed_at_ms is not null, coalesce(closed_at_ms, opened_at_ms) desc, kind, object limit $3`,
    [clusterId, all, limit],
  );
}

/** How many alerts are open in a cluster, those of the whole installation among them. */
export async function countOpenAlerts(q: Queryable, clusterId: string): Promise<number> {
  const text = `select count(*) as n from alert where cluster_id in ($1, '') and closed_at_ms is null`;
  return one(await q.query<{ n: number }>(text, [clusterId]))?.n ?? 0;
}

/** Open alerts of some kinds, of one cluster or (undefined) of all, at most `limits.listPageMaxCount`. */
export async function openAlertsOf(
  q: Queryable,
  clusterId: string | undefined,
  kinds: readonly AlertKind[],
): Promise<readonly AlertKey[]> {
  return await q.query<AlertKey>(
    `select cluster_id as "clusterId", kind, object from alert
     where ($1::text is null or cluster_id = $1) and kind = any ($2::text[]) and closed_at_ms is null
     order by cluster_id, kind, object limit $3`,
    [clusterId ?? null, kinds, limits.listPageMaxCount],
  );
}

/** Forgets alerts that closed longer ago than `limits.alertRetentionMs` (A3), a bounded number at a time; returns how many. */
export async function sweepAlerts(q: Queryable): Promise<number> {
  const rows = await q.query<{ kind: string }>(
    `delete from alert where (cluster_id, kind, object) in (
       select cluster_id, kind, object from alert where closed_at_ms < now_ms() - $1::bigint
       order by closed_at_ms limit $2) and closed_at_ms is not null returning kind`,
    [limits.alertRetentionMs, limits.sweepRowsMaxCount],
  );
  return rows.length;
}
