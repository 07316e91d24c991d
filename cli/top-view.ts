/** What `weft top` shows: two looks at every node made into rates, and the table for people. Pure. */

import { NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import type { GetStatusResponse, TrunkStatus } from "../gen/weft/node/v1/node_pb.ts";
import { enumName, table } from "./output.ts";

/** One look at one node. */
export interface NodeLook {
  readonly id: string;
  readonly name: string;
  readonly atMs: number;
  readonly status?: GetStatusResponse;
  readonly trunks: readonly TrunkStatus[];
  /** Why the node did not answer. */
  readonly error?: string;
}

export interface LinkLine {
  readonly peer: string;
  readonly state: string;
  readonly rtt_ms?: number;
  readonly loss_share?: number;
}

export interface TrunkLine {
  readonly trunk: string;
  /** Whether this end opened it. */
  readonly initiator: boolean;
  readonly far: string;
  readonly organization: string;
  readonly channels: number;
  readonly sent_mb_per_s: number;
  readonly received_mb_per_s: number;
  /** Sent and not yet acknowledged. */
  readonly replay_bytes: number;
  readonly rtt_ms?: number;
  readonly moves: number;
  /** Node names of the active path of each lane. */
  readonly paths: Readonly<Record<string, readonly string[]>>;
  /** Ready attachments that are not active: what the trunk would move to. */
  readonly standbys: number;
}

export interface NodeLine {
  readonly node: string;
  readonly roles: readonly string[];
  /** "up", "draining" or "silent". */
  readonly state: string;
  readonly error?: string;
  readonly links: readonly LinkLine[];
  readonly trunks: readonly TrunkLine[];
  readonly channels: number;
  readonly paths: number;
  readonly spliced_mb_per_s: number;
  readonly connections: number;
  readonly connections_refused: number;
}

/** In units of 10^6 bytes per second; 0 for a counter that began anew. */
function rate(nowBytes: bigint, beforeBytes: bigint | undefined, spanMs: number): number {
  if (beforeBytes === undefined || spanMs <= 0 || nowBytes < beforeBytes) return 0;
  return Math.round(Number(nowBytes - beforeBytes) / spanMs / 10) / 100;
}

const rounded = (value: number): number => Math.round(value * 1_000) / 1_000;

/** The id in a peer's key: acceptors know their peers by SPIFFE URI and organization. */
function farId(far: string): string {
  return /^spiffe:\/\/.*\/([^/|]+)(?:\|.*)?$/.exec(far)?.[1] ?? far;
}

function trunkLine(
  trunk: TrunkStatus,
  before: TrunkStatus | undefined,
  spanMs: number,
  nameOf: (id: string) => string,
): TrunkLine {
  const active = trunk.attachments.filter((attachment) => attachment.active);
  return {
    trunk: trunk.trunkId,
    initiator: trunk.initiator,
    far: nameOf(farId(trunk.farNodeId)),
    organization: trunk.organizationId,
    channels: trunk.channels,
    sent_mb_per_s: rate(trunk.bytesSent, before?.bytesSent, spanMs),
    received_mb_per_s: rate(trunk.bytesReceived, before?.bytesReceived, spanMs),
    replay_bytes: Number(trunk.replayBytes),
    ...(trunk.rttMs === undefined ? {} : { rtt_ms: rounded(trunk.rttMs) }),
    moves: Number(trunk.moves),
    paths: Object.fromEntries(active.map(({ lane, hops }) => [lane, hops.map(nameOf)])),
    standbys: trunk.attachments.filter((attachment) => attachment.ready && !attachment.active).length,
  };
}

/** One node now, compared with the look before. */
export function nodeLine(now: NodeLook, before: NodeLook | undefined, nameOf: (id: string) => string): NodeLine {
  const { status } = now;
  const spanMs = before === undefined ? 0 : now.atMs - before.atMs;
  const counters = status?.counters;
  // A node that was started again counts from 0: its boot says so.
  const same = before?.status?.bootId === status?.bootId ? before : undefined;
  return {
    node: now.name,
    roles: status?.roles.map(({ role }) => enumName(NodeRole, role)) ?? [],
    state: status === undefined ? "silent" : status.draining ? "draining" : "up",
    ...(now.error === undefined ? {} : { error: now.error }),
    links: (status?.links ?? []).map((link) => ({
      peer: link.peerName || nameOf(link.peerNodeId),
      state: link.state,
      // What was measured before a link went down says nothing about now.
      ...(link.state !== "up" || link.rttMs === undefined ? {} : { rtt_ms: rounded(link.rttMs) }),
      ...(link.state !== "up" || link.lossShare === undefined ? {} : { loss_share: rounded(link.lossShare) }),
    })),
    trunks: now.trunks.map((trunk) =>
      trunkLine(
        trunk,
        same?.trunks.find(({ trunkId }) => trunkId === trunk.trunkId),
        spanMs,
        nameOf,
      ),
    ),
    channels: Number(counters?.channelsLive ?? 0n),
    paths: Number(counters?.pathsLive ?? 0n),
    spliced_mb_per_s: rate(counters?.bytesSpliced ?? 0n, same?.status?.counters?.bytesSpliced, spanMs),
    connections: (status?.listeners ?? []).reduce((sum, listener) => sum + listener.connections, 0),
    connections_refused: Number(counters?.connectionsRefused ?? 0n),
  };
}

function bytesText(bytes: number): string {
  if (bytes < 10_000) return `${bytes} B`;
  return bytes < 10_000_000 ? `${Math.round(bytes / 1_000)} kB` : `${Math.round(bytes / 1_000_000)} MB`;
}

const worst = (values: readonly (number | undefined)[]): number | undefined => {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
};

function nodeRow(line: NodeLine): string[] {
  const up = line.links.filter(({ state }) => state === "up");
  const sum = (pick: (trunk: TrunkLine) => number): number => line.trunks.reduce((all, trunk) => all + pick(trunk), 0);
  const loss = worst(up.map(({ loss_share }) => loss_share));
  return [
    line.node,
    line.roles.join(",") || "-",
    line.state,
    `${up.length}/${line.links.length}`,
    String(line.trunks.length),
    String(line.channels),
    String(line.paths),
    sum((trunk) => trunk.sent_mb_per_s).toFixed(2),
    sum((trunk) => trunk.received_mb_per_s).toFixed(2),
    line.spliced_mb_per_s.toFixed(2),
    worst(up.map(({ rtt_ms }) => rtt_ms))?.toFixed(2) ?? "-",
    loss === undefined ? "-" : `${(loss * 100).toFixed(1)} %`,
    bytesText(sum((trunk) => trunk.replay_bytes)),
  ];
}

function trunkRow(node: string, trunk: TrunkLine): string[] {
  const paths = Object.entries(trunk.paths).map(([lane, hops]) => `${lane}: ${hops.join(" > ")}`);
  return [
    node,
    trunk.far,
    String(trunk.channels),
    trunk.sent_mb_per_s.toFixed(2),
    trunk.received_mb_per_s.toFixed(2),
    trunk.rtt_ms?.toFixed(2) ?? "-",
    bytesText(trunk.replay_bytes),
    String(trunk.moves),
    String(trunk.standbys),
    paths.join("; ") || "no path",
  ];
}

/** The whole screen. Trunks are shown once, at the edge that opened them where it answers. */
export function topText(lines: readonly NodeLine[]): string {
  const all = lines.flatMap((line) => line.trunks.map((trunk) => ({ node: line.node, trunk })));
  const opened = new Set(all.filter(({ trunk }) => trunk.initiator).map(({ trunk }) => trunk.trunk));
  const trunks = all
    .filter(({ trunk }) => trunk.initiator || !opened.has(trunk.trunk))
    .map(({ node, trunk }) => trunkRow(node, trunk));
  const nodes = table(
    [
      "NODE",
      "ROLES",
      "STATE",
      "LINKS",
      "TRUNKS",
      "CHANNELS",
      "PATHS",
      "OUT MB/S",
      "IN MB/S",
      "SPLICED",
      "RTT MS",
      "LOSS",
    ].concat("REPLAY"),
    lines.map(nodeRow),
  );
  const head = ["TRUNK AT", "TO", "CHANNELS", "OUT MB/S", "IN MB/S", "RTT MS", "REPLAY", "MOVES", "STANDBYS", "PATH"];
  return `${nodes}\n\n${table(head, trunks)}`;
}
