/** Every metric of a node that is read at a scrape. docs/operating.md says what to do about them. */

import type { Counters, GetStatusResponse, TrunkStatus } from "../gen/weft/node/v1/node_pb.ts";
import { labelled, type MetricRow, plain, type Sample } from "../lib/metric-rows.ts";
import { type TracedView, traceRows } from "../rpc/trace-metrics.ts";

/** What is there at one scrape. */
export interface NodeScrape extends TracedView {
  readonly status: GetStatusResponse;
  readonly counters: Counters;
  readonly trunks: readonly TrunkStatus[];
  /** How long each lease still lasts, ms, by name. */
  readonly leasesLeftMs: ReadonlyMap<string, number>;
  readonly leafAgeMs: number;
  readonly nowMs: number;
}

type Row = MetricRow<NodeScrape>;

const linkStates = ["up", "dialing", "waiting", "draining"] as const;

function seconds(ms: number | bigint): number {
  return Number(ms) / 1_000;
}

function peerOf({ peerName, peerNodeId }: { readonly peerName: string; readonly peerNodeId: string }): string {
  return peerName === "" ? peerNodeId : peerName;
}

const identity: readonly Row[] = [
  labelled(
    "gauge",
    "weft_node_info",
    "Always 1; who this node is.",
    ["node_id", "name", "cluster_id", "version"],
    ({ status: { nodeId, name, clusterId, version } }) => [
      [{ node_id: nodeId, name, cluster_id: clusterId, version }, 1],
    ],
  ),
  plain("gauge", "weft_node_draining", "1 while the node takes no new paths and channels.", ({ status }) =>
    Number(status.draining),
  ),
  plain("gauge", "weft_certificate_age_seconds", "Since this node's certificate was issued.", ({ leafAgeMs }) =>
    seconds(leafAgeMs),
  ),
  plain("gauge", "weft_certificate_left_seconds", "Until this node's certificate expires.", ({ status, nowMs }) =>
    seconds(Number(status.leafNotAfterMs) - nowMs),
  ),
  labelled(
    "gauge",
    "weft_lease_left_seconds",
    "Until a lease this node holds runs out.",
    ["lease"],
    ({ leasesLeftMs }) => [...leasesLeftMs].map(([lease, leftMs]): Sample => [{ lease }, seconds(leftMs)]),
  ),
];

const control: readonly Row[] = [
  plain("gauge", "weft_control_heard_seconds", "Since control last answered; absent before it did.", ({ status }) =>
    status.controlHeardMsAgo === undefined ? undefined : seconds(status.controlHeardMsAgo),
  ),
  labelled("counter", "weft_control_calls_total", "Calls to control that were started.", ["rpc"], ({ counters }) =>
    Object.entries(counters.controlCalls).map(([rpc, count]): Sample => [{ rpc }, Number(count)]),
  ),
  plain("gauge", "weft_snapshot_version", "Version of the snapshot in force; absent before the first.", ({ status }) =>
    status.snapshotVersion === 0n ? undefined : Number(status.snapshotVersion),
  ),
  plain("gauge", "weft_snapshot_left_seconds", "Until the snapshot in force expires.", ({ status, nowMs }) =>
    status.snapshotVersion === 0n ? undefined : seconds(Number(status.snapshotNotAfterMs) - nowMs),
  ),
  plain("gauge", "weft_feed_age_seconds", "Age of the newest revocation feed this node heard.", ({ status }) =>
    status.offline === undefined ? undefined : seconds(status.offline.staleMs),
  ),
  plain(
    "gauge",
    "weft_offline",
    "1 while the node is without control and acts by its offline policies.",
    ({ status }) => Number(status.offline?.offline ?? false),
  ),
];

const links: readonly Row[] = [
  labelled("gauge", "weft_links", "Links to other nodes, by state.", ["state"], ({ status }) =>
    linkStates.map((state): Sample => [{ state }, status.links.filter((link) => link.state === state).length]),
  ),
  labelled("gauge", "weft_link_rtt_seconds", "Round trip of a link that is up, smoothed.", ["peer"], ({ status }) =>
    status.links.flatMap((link): Sample[] =>
      // What was measured before a link went down says nothing about now.
      link.state !== "up" || link.rttMs === undefined ? [] : [[{ peer: peerOf(link) }, seconds(link.rttMs)]],
    ),
  ),
  labelled(
    "gauge",
    "weft_link_loss_ratio",
    "Share of a link's probes without an answer in time.",
    ["peer"],
    ({ status }) =>
      status.links.flatMap((link): Sample[] =>
        link.lossShare === undefined ? [] : [[{ peer: peerOf(link) }, link.lossShare]],
      ),
  ),
];

const trunks: readonly Row[] = [
  plain("gauge", "weft_trunks", "Live trunks that end at this node.", (view) => view.trunks.length),
  plain("gauge", "weft_replay_bytes", "Bytes sent and not yet acknowledged, over all trunks.", (view) =>
    view.trunks.reduce((sum, { replayBytes }) => sum + Number(replayBytes), 0),
  ),
  plain("gauge", "weft_replay_bytes_max", "The same of the trunk that has the most.", (view) =>
    view.trunks.reduce((most, { replayBytes }) => Math.max(most, Number(replayBytes)), 0),
  ),
  plain("gauge", "weft_channels", "Live channels that end at this node.", ({ counters }) =>
    Number(counters.channelsLive),
  ),
  plain("counter", "weft_channels_opened_total", "Channels opened.", ({ counters }) => Number(counters.channelsOpened)),
];

const traffic: readonly Row[] = [
  plain("gauge", "weft_paths", "Live paths through or from this node.", ({ counters }) => Number(counters.pathsLive)),
  plain("counter", "weft_paths_opened_total", "Paths opened.", ({ counters }) => Number(counters.pathsOpened)),
  plain("counter", "weft_spliced_bytes_total", "Bytes relayed, both ways.", ({ counters }) =>
    Number(counters.bytesSpliced),
  ),
  labelled(
    "counter",
    "weft_refused_total",
    "What was dropped or refused, by what it was.",
    ["reason"],
    ({ counters }) =>
      Object.entries({
        offer: counters.offersRefused,
        first_bytes: counters.peeksRefused,
        leg_token: counters.tokensRefused,
        attach: counters.attachesRefused,
        handshake: counters.handshakesRefused,
        listener: counters.connectionsRefused,
      }).map(([reason, count]): Sample => [{ reason }, Number(count)]),
  ),
  labelled("gauge", "weft_listener_up", "1 while a listener of this entry is bound.", ["listener"], ({ status }) =>
    status.listeners.map(({ name, error }): Sample => [{ listener: name }, Number(error === "")]),
  ),
  labelled("gauge", "weft_listener_connections", "Open connections of a listener.", ["listener"], ({ status }) =>
    status.listeners.map(({ name, connections }): Sample => [{ listener: name }, connections]),
  ),
];

export const nodeRows: readonly Row[] = [...identity, ...control, ...links, ...trunks, ...traffic, ...traceRows];
