/** What `weft route` says to people: channels, links, what would move. Pure. */

import { ChannelClass } from "../gen/weft/fabric/v1/role_pb.ts";
import type { ExplainChannelResponse, TrunkStatus } from "../gen/weft/node/v1/node_pb.ts";
import type { LinkProof, RouteExplanation } from "../gen/weft/routing/v1/routing_pb.ts";
import { enumName, table, when } from "./output.ts";
import { explanationHints, explanationText } from "./route-explanation.ts";

type NameOf = (id: string) => string;

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
    ["path in use", channel.hops.length === 0 ? "none: the trunk is looking for one" : named(channel.hops)],
    ...standbys.map((hops) => ["standby", `${named(hops)} (${sharing(hops)})`]),
    ...(standbys.length === 0 ? [["standby", "none ready"]] : []),
    [
      "bytes",
      `${channel.bytesSent} sent, ${channel.bytesReceived} received, ${channel.writtenToTarget} written to the target`,
    ],
    ["may send up to", String(channel.sendLimitBytes)],
  ];
  const text = table(["FIELD", "VALUE"], rows);
  return route === undefined ? text : `${text}\n\n${explanationText([route], all)}\n\n${explanationHints(all)}`;
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
