/**
 * What would move if nodes failed, told by the decision that nodes make themselves: before, and after with what was held.
 *
 * SI1. A trunk whose path is lost goes on over its standby when that is left, else over the best path there is; a trunk
 *      whose path is not touched stays.
 * SI2. A trunk ends at one egress. When that fails, the trunk is lost, and new channels go to the pool's next one.
 */

import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { Snapshot } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { matchIntents, needWithIntents } from "../intents.ts";
import { graphOf, type MeshGraph, type RouteNeed } from "./graph.ts";
import { chooseWith, type RouteChoice, type RouteState } from "./pick.ts";
import { Planner } from "./planner.ts";
import { weightsFor } from "./score.ts";

/** What a need's route is now and what it would be with some nodes gone. */
export interface Simulation {
  readonly before: RouteChoice;
  readonly after: RouteChoice;
  /** Whether the primary would change or end. */
  readonly moves: boolean;
}

/** Plays the failure of nodes, with the decision the node itself would make. */
export function simulateFailure(
  graph: MeshGraph,
  need: RouteNeed,
  failedNodeIds: readonly string[],
  held: RouteState = {},
): Simulation {
  const weights = weightsFor(need.class);
  const before = chooseWith(new Planner(graph, need, weights), need, held);
  const avoid = new Map([...(need.avoid ?? []), ...failedNodeIds.map((id) => [id, "simulated failure"] as const)]);
  const failed = { ...need, avoid };
  const after = chooseWith(new Planner(graph, failed, weights), failed, before.state);
  return { before, after, moves: before.primary?.key !== after.primary?.key };
}

/** A lane of a trunk that an entry has, or would have, to one egress for one organization. */
export interface SimulatedTrunk {
  readonly organizationId: string;
  readonly farNodeId: string;
  readonly class: ChannelClass;
  readonly outcome: "stays" | "moves" | "lost" | "none";
  /** Node ids, edge to edge; empty when there is no path. */
  readonly from: readonly string[];
  readonly to: readonly string[];
  /** Whether `to` is the standby that was there before. */
  readonly toStandby: boolean;
}

/** Where new channels of a pool go. */
export interface SimulatedPool {
  readonly poolId: string;
  readonly name: string;
  readonly organizationId: string;
  /** The egress before and after; empty when none can be reached. */
  readonly from: string;
  readonly to: string;
}

export interface SimulatedEntry {
  readonly nodeId: string;
  readonly trunks: readonly SimulatedTrunk[];
  readonly pools: readonly SimulatedPool[];
}

/** The classes that decide the paths of a trunk's two lanes. */
const laneClasses = [ChannelClass.INTERACTIVE, ChannelClass.BULK] as const;

/** What would move at the entry a snapshot is for: a trunk to every egress of every pool it routes to. */
export function simulateEntry(snapshot: Snapshot, failedNodeIds: readonly string[]): SimulatedEntry {
  const graph = graphOf(snapshot);
  const { nodeId } = snapshot;
  const base = { clusterId: snapshot.clusterId, fromNodeId: nodeId };
  // The intents of the snapshot count as they did when it was issued.
  const nowMs = Number(snapshot.issuedAtMs);
  const wanted = (need: RouteNeed): RouteNeed =>
    needWithIntents(need, graph.nodes.values(), matchIntents(snapshot, { ...need, nowMs }));
  const pairs = new Map(
    snapshot.pools.flatMap(({ organizationId, egressNodeIds }) =>
      egressNodeIds.map((id) => [`${organizationId}|${id}`, { organizationId, farNodeId: id }] as const),
    ),
  );
  const trunks = [...pairs.values()].flatMap(({ organizationId, farNodeId }) =>
    laneClasses.map((laneClass) => {
      const need = wanted({ ...base, organizationId, toNodeIds: [farNodeId], class: laneClass });
      return { organizationId, farNodeId, class: laneClass, ...outcomeOf(simulateFailure(graph, need, failedNodeIds)) };
    }),
  );
  const pools = snapshot.pools.map(({ poolId, name, organizationId, egressNodeIds }) => {
    const need = wanted({ ...base, organizationId, toNodeIds: egressNodeIds, class: ChannelClass.INTERACTIVE });
    const { before, after } = simulateFailure(graph, need, failedNodeIds);
    const egress = (choice: RouteChoice): string => choice.primary?.nodeIds.at(-1) ?? "";
    return { poolId, name, organizationId, from: egress(before), to: egress(after) };
  });
  return { nodeId, trunks, pools };
}

function outcomeOf({
  before,
  after,
  moves,
}: Simulation): Pick<SimulatedTrunk, "outcome" | "from" | "to" | "toStandby"> {
  const from = before.primary?.nodeIds ?? [];
  const to = after.primary?.nodeIds ?? [];
  const outcome = from.length === 0 ? "none" : to.length === 0 ? "lost" : moves ? "moves" : "stays";
  return { outcome, from, to, toStandby: outcome === "moves" && after.primary?.key === before.standby?.key };
}
