/** What `weft route` says to people: candidates, channels, what would move. Pure. */

import { ChannelClass } from "../gen/weft/fabric/v1/role_pb.ts";
import type { ExplainChannelResponse, TrunkStatus } from "../gen/weft/node/v1/node_pb.ts";
import type { Candidate, LinkProof, RouteExplanation } from "../gen/weft/routing/v1/routing_pb.ts";
import { enumName, table, when } from "./output.ts";
import { policyLines } from "./route-policy.ts";

/** Candidates shown in full besides primary and standby, unless all are asked for. */
const lostShownCount = 2;

type NameOf = (id: string) => string;

function number(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 3 : 1);
}

function candidateLines(candidate: Candidate, withParts: boolean): string[] {
  const total = candidate.total === undefined ? "-" : number(candidate.total);
  // What it shares with the primary is among its own hops.
  const sharedNames = candidate.sharedHops.map((hop) => candidate.names[candidate.nodeIds.indexOf(hop)] ?? hop);
  const shared = sharedNames.length === 0 ? "" : ` (shares ${sharedNames.join(", ")} with the primary)`;
  const head = `  ${candidate.outcome.padEnd(8)} ${candidate.names.join(" -> ")}  score ${total}${shared}${candidate.reason === "" ? "" : `: ${candidate.reason}`}`;
  const parts = candidate.parts.map(
    (part) =>
      `             ${part.input.padEnd(18)} ${(part.value === undefined ? "not measured" : `${number(part.value)} ${part.unit}`).padEnd(22)} weight ${number(part.weight).padEnd(7)} cost ${number(part.cost)}`,
  );
  return withParts ? [head, ...parts] : [head];
}

/** One start: what is used and the best that lost, with every term; of the others how many there are. */
function startLines(route: RouteExplanation, all: boolean): string[] {
  const of = (outcome: string): Candidate[] => route.candidates.filter((candidate) => candidate.outcome === outcome);
  const used = [...of("primary"), ...of("standby")];
  const lost = of("lost");
  const filtered = of("filtered");
  const shownLost = all ? lost : lost.slice(0, lostShownCount);
  const more = lost.length - shownLost.length;
  return [
    `from ${route.fromName}`,
    ...policyLines(route),
    ...(used.length === 0 ? ["  there is no path"] : []),
    ...used.flatMap((candidate) => candidateLines(candidate, true)),
    ...shownLost.flatMap((candidate) => candidateLines(candidate, all)),
    ...(more === 0 ? [] : [`  ... ${more} more that lost`]),
    ...(all || used.length === 0
      ? filtered.flatMap((candidate) => candidateLines(candidate, true))
      : filtered.length === 0
        ? []
        : [`  ... ${filtered.length} that cannot be used`]),
  ];
}

/** Every start; `all` shows every candidate with every term. */
export function explanationText(routes: readonly RouteExplanation[], all: boolean): string {
  const blocks = routes.map((route) => startLines(route, all).join("\n"));
  const isCut = !all && blocks.some((block) => block.includes("\n  ... "));
  return [...blocks, ...(isCut ? ["every candidate and term: --all"] : [])].join("\n\n");
}

/** A channel, what it runs over, and what it would move to. */
export interface ChannelView {
  readonly entry: string;
  readonly channel: ExplainChannelResponse;
  /** Hop lists that are ready beside the active one. */
  readonly standbys: readonly (readonly string[])[];
  readonly route?: RouteExplanation;
}

/** Hop lists of a trunk's lane that are ready and not in use. */
export function standbysOf(trunk: TrunkStatus | undefined, lane: string): string[][] {
  const ready = trunk?.attachments.filter((one) => one.lane === lane && one.ready && !one.active) ?? [];
  return ready.map(({ hops }) => [...hops]);
}

export function channelText({ entry, channel, standbys, route }: ChannelView, nameOf: NameOf, all: boolean): string {
  const named = (hops: readonly string[]): string => hops.map(nameOf).join(" -> ");
  const relays = new Set(channel.hops.slice(1, -1));
  const sharing = (hops: readonly string[]): string => {
    const shared = hops.slice(1, -1).filter((id) => relays.has(id));
    return shared.length === 0 ? "shares no relay" : `shares ${shared.map(nameOf).join(", ")}`;
  };
  const rows = [
    ["channel", `${channel.trunkId}:${channel.channelId} (${channel.correlationId})`],
    ["resource", channel.resource],
    ["state", channel.state],
    ["entry", entry],
    ["lane", channel.lane],
    ["path", channel.hops.length === 0 ? "none: the trunk is looking for one" : named(channel.hops)],
    ...standbys.map((hops) => ["standby", `${named(hops)} (${sharing(hops)})`]),
    ...(standbys.length === 0 ? [["standby", "none ready"]] : []),
    [
      "bytes",
      `${channel.bytesSent} sent, ${channel.bytesReceived} received, ${channel.writtenToTarget} written to the target`,
    ],
    ["may send up to", String(channel.sendLimitBytes)],
  ];
  const text = table(["FIELD", "VALUE"], rows);
  return route === undefined ? text : `${text}\n\n${explanationText([route], all)}`;
}

/** The links of the paths in use, with the last proof of each. */
export function proofsText(routes: readonly RouteExplanation[], proofs: readonly LinkProof[], nameOf: NameOf): string {
  const used = routes.flatMap((route) =>
    route.candidates.filter(({ outcome }) => outcome === "primary" || outcome === "standby"),
  );
  const keys = new Set(used.flatMap(({ nodeIds }) => nodeIds.slice(1).map((to, i) => `${nodeIds[i]}>${to}`)));
  const rows = proofs.filter((proof) => keys.has(`${proof.fromNodeId}>${proof.toNodeId}`));
  return rows.length === 0 ? "" : `\n\n${linksTable(rows, nameOf)}`;
}

/** Links with their last proof, for people. */
export function linksTable(proofs: readonly LinkProof[], nameOf: NameOf): string {
  return table(
    ["LINK", "STATE", "LAST ANSWER", "LAST FAILURE"],
    proofs.map((proof) => [
      `${nameOf(proof.fromNodeId)} -> ${nameOf(proof.toNodeId)}`,
      `${proof.state}${proof.reverse ? " (reverse)" : ""}`,
      when(proof.lastSuccessAtMs),
      proof.lastFailure === "" ? "-" : `${proof.lastFailure} at ${when(proof.lastFailureAtMs)}`,
    ]),
  );
}

/** One lane of a trunk in a simulation. */
export interface SimulatedLine {
  readonly entry: string;
  readonly trunk: string;
  readonly organization: string;
  readonly far: string;
  readonly lane: string;
  readonly outcome: string;
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly to_standby: boolean;
}

/** Where new channels of a pool go in a simulation. */
export interface SimulatedPoolLine {
  readonly entry: string;
  readonly pool: string;
  readonly from: string;
  readonly to: string;
}

export interface SimulationView {
  readonly source: string;
  readonly failed: readonly string[];
  readonly trunks: readonly SimulatedLine[];
  readonly pools: readonly SimulatedPoolLine[];
}

export function simulationText({ source, failed, trunks, pools }: SimulationView): string {
  const moved = trunks.filter(({ outcome }) => outcome === "moves" || outcome === "lost");
  const rows = moved.map((line) => [
    line.entry,
    line.far,
    line.lane,
    line.outcome,
    line.from.join(" -> "),
    line.outcome === "lost" ? "-" : `${line.to.join(" -> ")}${line.to_standby ? " (its standby)" : ""}`,
  ]);
  const count = (outcome: string): number => trunks.filter((line) => line.outcome === outcome).length;
  return [
    `without ${failed.join(", ")}, from ${source}:`,
    table(["ENTRY", "EGRESS", "LANE", "TRUNK", "NOW", "THEN"], rows),
    `${count("moves")} move, ${count("lost")} are lost, ${count("stays")} stay`,
    ...pools
      .filter(({ from, to }) => from !== to)
      .map(
        ({ entry, pool, from, to }) => `new channels of pool ${pool} at ${entry}: ${from || "-"} -> ${to || "nowhere"}`,
      ),
  ].join("\n");
}

/** The lane whose paths a class decides. */
export function laneName(channelClass: ChannelClass): string {
  return enumName(ChannelClass, channelClass) === "bulk" ? "bulk" : "interactive";
}
