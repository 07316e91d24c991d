/**
 * What has to happen without anybody asking: measurements reach snapshots, snapshots are renewed before they end, lapsed
 * revocations leave the feed, logs stay within their retention. Every replica runs this; the rows decide whose turn it is,
 * and each task is one transaction that does nothing when another replica did it.
 */

import type { Clock } from "../../lib/clock.ts";
import { messageOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import type { Hints } from "../hints/hints.ts";
import { sweepAlerts } from "../store/alerts.ts";
import { appendAudit, appendAudits } from "../store/audit.ts";
import { sweepBeatLog } from "../store/beats.ts";
import { listClusters } from "../store/clusters.ts";
import { sweepReuses } from "../store/leaf-reuse.ts";
import {
  claimMeasurementTurn,
  publishedMeasurements,
  publishMeasurements,
  reportedMeasurements,
} from "../store/links.ts";
import { sweepRevocations } from "../store/revocations.ts";
import { expireRouteIntents } from "../store/route-intents.ts";
import { sweepServiceLeases } from "../store/service-leases.ts";
import { bumpSnapshot, refreshAgedSnapshots, sweepPayloads } from "../store/snapshots.ts";
import type { Sql, Tx } from "../store/sql.ts";
import { measurementChanges } from "./measurements.ts";
import { sweepSnapshotEvidence } from "./snapshot-evidence.ts";

export interface UpkeepDeps {
  readonly sql: Sql;
  readonly hints: Hints;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Brings a cluster's measurements into its snapshots when they changed materially; true when a new version was made. Does
 * nothing within `periodMs` of the last time, whoever did it then.
 */
export async function refreshMeasurements(
  deps: Pick<UpkeepDeps, "sql" | "hints">,
  clusterId: string,
  periodMs: number = limits.graphRefreshMs,
): Promise<boolean> {
  return await deps.sql.tx(async (tx) => {
    const turn = await claimMeasurementTurn(tx, clusterId, periodMs);
    if (turn === undefined) return false;
    const reported = await reportedMeasurements(tx, clusterId);
    const changes = measurementChanges(await publishedMeasurements(tx, clusterId), reported, turn.listenedForMs);
    if (changes.links.length === 0 && changes.nodes.length === 0) return false;
    await publishMeasurements(tx, clusterId, changes);
    await bumpSnapshot(tx, deps.hints, clusterId);
    await recordHealth(tx, clusterId, changes.health);
    return true;
  });
}

async function recordHealth(
  tx: Tx,
  clusterId: string,
  changes: ReturnType<typeof measurementChanges>["health"],
): Promise<void> {
  const records = changes.map(({ nodeId, before, after }) => ({
    ...{ actor: "system", action: "health.changed", object: `node/${nodeId}`, clusterId },
    ...(before === undefined ? {} : { before: { health: before } }),
    after: { health: after },
  }));
  // All nodes may fall silent at once.
  if (records.length > 0) await appendAudits(tx, records);
}

/** Drops route intents whose time is over from snapshots. Entries stopped obeying them by themselves. */
async function dropExpiredIntents(tx: Tx, hints: Hints): Promise<void> {
  const expired = await expireRouteIntents(tx);
  for (const clusterId of [...new Set(expired.map((row) => row.clusterId))].sort()) {
    await bumpSnapshot(tx, hints, clusterId);
  }
  for (const { id, clusterId, organizationId, name } of expired) {
    const before = { name };
    await appendAudit(tx, {
      ...{ actor: "system", action: "intent.expired", object: `intent/${id}`, clusterId, organizationId, before },
    });
  }
}

/** A minute of beats of 10 000 nodes are 120 000. */
const SWEEP_ROUNDS = 50;

/** Renews ageing snapshots, drops lapsed revocations, keeps logs within bounds. */
export async function sweep({ sql, hints }: Pick<UpkeepDeps, "sql" | "hints">): Promise<void> {
  await sql.tx((tx) => refreshAgedSnapshots(tx, hints));
  await sql.tx((tx) => sweepRevocations(tx, hints));
  await sql.tx((tx) => dropExpiredIntents(tx, hints));
  await sweepServiceLeases(sql);
  await sweepPayloads(sql);
  await sweepSnapshotEvidence(sql);
  await sweepAlerts(sql);
  await sweepReuses(sql);
  // More may have come since the last time than one statement deletes.
  for (let round = 0; round < SWEEP_ROUNDS && (await sweepBeatLog(sql)) >= limits.sweepRowsMaxCount; round += 1);
}

export interface Upkeep {
  /** Ends the timers and waits for what is running. */
  stop(): Promise<void>;
}

/** Starts the tasks. A failed round is logged and tried again at its next time: the store may be away for a while. */
export function startUpkeep(deps: UpkeepDeps): Upkeep {
  const log = deps.log.child({ sub: "upkeep" });
  const running = new Set<Promise<void>>();
  const busy = new Set<string>();

  function run(name: string, task: () => Promise<void>): void {
    if (busy.has(name)) return;
    busy.add(name);
    const done = task()
      .catch((thrown: unknown) => log.warn("a round of upkeep failed", { detail: name, error: messageOf(thrown) }))
      .finally(() => {
        busy.delete(name);
        running.delete(done);
      });
    running.add(done);
  }

  // Twice per period: the claim in the row keeps the period, the timer only has to be on time.
  const timers = [
    deps.clock.every(limits.graphRefreshMs / 2, () =>
      run("measurements", async () => {
        for (const { id } of await listClusters(deps.sql)) await refreshMeasurements(deps, id);
      }),
    ),
    deps.clock.every(limits.retentionSweepMs, () => run("sweep", () => sweep(deps))),
  ];
  return {
    async stop() {
      for (const timer of timers) timer.cancel();
      await Promise.all(running);
    },
  };
}
