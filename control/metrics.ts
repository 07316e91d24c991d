/**
 * Control's metrics, in the form Prometheus reads: what its store holds, as counts and ages, and how long calls took. Every
 * replica shows the same store. Read when somebody scrapes, at most every `limits.metricsStoreKeptMs`. Loaded only by
 * processes that show metrics.
 */

import { Registry } from "prom-client";
import { limits } from "../lib/limits.ts";
import { labelled, type MetricRow, plain, registerRows, type Sample } from "../lib/metric-rows.ts";
import { processMetrics } from "../lib/process-metrics.ts";
import { callMetrics } from "../rpc/call-metrics.ts";
import type { CallObserver } from "../rpc/interceptors.ts";
import { type MetricsPort, openMetricsPort } from "../rpc/metrics-port.ts";
import type { TraceCounts } from "../rpc/trace-exporter.ts";
import { type TracedView, traceRows } from "../rpc/trace-metrics.ts";
import type { ControlConfig } from "./config.ts";
import type { ControlSurfaces } from "./rpc/surfaces.ts";
import { type AlertKind, alertKinds } from "./store/alerts.ts";
import type { StoreContext } from "./store/context.ts";
import { type ClusterFacts, type MetricFacts, readMetricFacts } from "./store/metric-facts.ts";

/** What is there at one scrape; without `facts` the store did not answer. */
interface ControlScrape extends TracedView {
  readonly facts: MetricFacts | undefined;
  readonly sessions: Readonly<Record<keyof ControlSurfaces, number>>;
  readonly version: string;
  readonly replicaId: string;
}

type Row = MetricRow<ControlScrape>;

const healths = ["online", "stale", "draining", "offline", "missing"] as const;

function perCluster(read: (cluster: ClusterFacts) => number | null): Row["read"] {
  return ({ facts }) =>
    (facts?.clusters ?? []).flatMap((each): Sample[] => {
      const value = read(each);
      return value === null ? [] : [[{ cluster: each.cluster }, value]];
    });
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1_000;
}

const nodeHealths: Row["read"] = ({ facts }) =>
  (facts?.clusters ?? []).flatMap(({ cluster }) =>
    healths.map((health): Sample => {
      const found = facts?.nodes.find((each) => each.cluster === cluster && each.health === health);
      return [{ cluster, health }, found?.count ?? 0];
    }),
  );

const openAlerts: Row["read"] = ({ facts }) =>
  (facts?.alerts ?? []).map(({ cluster, kind, count }): Sample => {
    const severity = alertKinds[kind as AlertKind] ?? "warning";
    return [{ cluster, kind, severity }, count];
  });

const authorities: Row["read"] = ({ facts }) =>
  (facts?.authorities ?? []).map(
    ({ scope, kind, status, leftMs }): Sample => [{ scope, kind, status }, leftMs / 1_000],
  );

/** docs/operating.md says what to do about them. */
export const controlRows: readonly Row[] = [
  labelled("gauge", "weft_control_info", "Always 1; who this replica is.", ["replica", "version"], (view) => [
    [{ replica: view.replicaId, version: view.version }, 1],
  ]),
  plain(
    "gauge",
    "weft_store_up",
    "1 while the store answers; without it the metrics of the store are absent.",
    (view) => Number(view.facts !== undefined),
  ),
  labelled(
    "gauge",
    "weft_sessions",
    "Connections to this replica, by what they came for.",
    ["surface"],
    ({ sessions }) => Object.entries(sessions).map(([surface, count]): Sample => [{ surface }, count]),
  ),
  labelled("gauge", "weft_nodes", "Active members, by health.", ["cluster", "health"], nodeHealths),
  labelled("gauge", "weft_alerts", "Open alerts, by kind.", ["cluster", "kind", "severity"], openAlerts),
  labelled("gauge", "weft_authority_left_seconds", "Until a root expires.", ["scope", "kind", "status"], authorities),
  labelled(
    "gauge",
    "weft_published_snapshot_version",
    "Newest version of a cluster's snapshots.",
    ["cluster"],
    perCluster(({ snapshotVersion }) => snapshotVersion),
  ),
  labelled(
    "gauge",
    "weft_join_requests_pending",
    "Hosts that wait for an operator's approval.",
    ["cluster"],
    perCluster(({ pendingRequests }) => pendingRequests),
  ),
  labelled(
    "gauge",
    "weft_leases",
    "Leases that are held.",
    ["cluster"],
    perCluster(({ leasesHeld }) => leasesHeld),
  ),
  labelled(
    "gauge",
    "weft_lease_age_seconds_max",
    "Since the lease that is held longest was acquired.",
    ["cluster"],
    perCluster(({ oldestLeaseMs }) => seconds(oldestLeaseMs)),
  ),
  labelled(
    "gauge",
    "weft_node_certificate_left_seconds_min",
    "Until the first certificate of a member expires; renewed at a third of its life.",
    ["cluster"],
    perCluster(({ firstCertificateLeftMs }) => seconds(firstCertificateLeftMs)),
  ),
  plain("counter", "weft_audit_records_total", "Records in the audit chain.", ({ facts }) => facts?.auditSeq),
  ...traceRows,
];

/** What of the running control is looked at. */
interface ControlSeen {
  readonly surfaces: ControlSurfaces;
  readonly replicaId: string;
  readonly traces: (() => TraceCounts) | undefined;
}

export interface ControlMetrics {
  readonly onCall: CallObserver;
  /** Shows them. Rejects with `failed_precondition` (BIND_FAILED) when the port cannot be bound. */
  open(ctx: StoreContext, of: ControlSeen): Promise<MetricsPort>;
}

export function controlMetrics(
  { metricsHost: host, metricsPort: port = 0 }: Pick<ControlConfig, "metricsHost" | "metricsPort">,
  version: string,
): ControlMetrics {
  const registry = new Registry();
  processMetrics(registry);
  return {
    onCall: callMetrics(registry),
    open(ctx, { surfaces, replicaId, traces }) {
      const fill = registerRows(registry, controlRows);
      const facts = keptFacts(ctx);
      const page = async () => {
        const { join, control, operator } = surfaces;
        const sessions = {
          join: join.sessionCount(),
          control: control.sessionCount(),
          operator: operator.sessionCount(),
        };
        fill({ facts: await facts(), sessions, version, replicaId, traces: traces?.() });
        return { contentType: registry.contentType, text: await registry.metrics() };
      };
      const onError = (error: string): void => ctx.log.warn("metrics could not be shown", { error });
      return openMetricsPort({ host, port, page, onError });
    },
  };
}

/** Facts of the store that are at most so old as `limits.metricsStoreKeptMs`; undefined while it does not answer. */
function keptFacts({ sql, clock }: Pick<StoreContext, "sql" | "clock">): () => Promise<MetricFacts | undefined> {
  let kept: { readonly facts: MetricFacts | undefined; readonly atMs: number } | undefined;
  return async () => {
    if (kept === undefined || clock.monoMs() - kept.atMs >= limits.metricsStoreKeptMs) {
      const facts = await readMetricFacts(sql).catch(() => undefined);
      kept = { facts, atMs: clock.monoMs() };
    }
    return kept.facts;
  };
}
