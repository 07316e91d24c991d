/**
 * `weft route simulate`: what would move if nodes failed. With a snapshot file it is worked out here, with the decision
 * entries make, and nothing is asked; without one, the entries are asked for the trunks they have.
 */

import type { Command } from "commander";
import { simulateEntry } from "../../fabric/routing/simulate.ts";
import { type Node, NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { ChannelClass, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { TrunkStatus } from "../../gen/weft/node/v1/node_pb.ts";
import { RoutingService } from "../../gen/weft/routing/v1/routing_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { ofNode, openNodePort } from "../node-port.ts";
import { print } from "../output.ts";
import { laneName, type SimulatedLine, type SimulationView, simulationText, standbysOf } from "../route-view.ts";
import { action, contextDir, type GlobalOptions, namer, pick, type Session, withSession } from "../session.ts";
import { readSnapshotFile } from "../snapshot-file.ts";

interface SimulateOptions extends GlobalOptions {
  readonly fail?: readonly string[];
  readonly snapshot?: string;
  readonly stateDir?: string;
}

/** Nodes by name or id; a name nobody has is a mistake worth telling. */
function idsOf(nodes: readonly { readonly id: string; readonly name: string }[], wanted: readonly string[]): string[] {
  return wanted.map((each) => pick(nodes, each, "node").id);
}

function offline(options: SimulateOptions, path: string, fail: readonly string[]): SimulationView {
  const { snapshot, nodeName, verifiedBy } = readSnapshotFile(path, options.stateDir, contextDir(options));
  const nodes = (snapshot.graph?.nodes ?? []).map(({ nodeId, name }) => ({ id: nodeId, name }));
  if (nodes.length === 0)
    throw new WeftError("failed_precondition", `${nodeName} plans no routes: take the snapshot of an entry`, {
      detail: "SNAPSHOT_NO_GRAPH",
    });
  const nameOf = namer(nodes);
  const { trunks, pools } = simulateEntry(snapshot, idsOf(nodes, fail));
  return {
    source: `snapshot ${snapshot.epoch}.${snapshot.version} of ${nodeName} (verified, key known by its ${verifiedBy})`,
    failed: fail,
    trunks: trunks.map((trunk) => ({
      entry: nodeName,
      trunk: "",
      organization: trunk.organizationId,
      far: nameOf(trunk.farNodeId),
      lane: laneName(trunk.class),
      outcome: trunk.outcome,
      from: trunk.from.map(nameOf),
      to: trunk.to.map(nameOf),
      to_standby: trunk.toStandby,
    })),
    pools: pools.map((pool) => ({
      entry: nodeName,
      pool: pool.name,
      from: pool.from === "" ? "" : nameOf(pool.from),
      to: pool.to === "" ? "" : nameOf(pool.to),
    })),
  };
}

/** Where a lane of a live trunk goes: nowhere else, to a standby that is left, else where the entry would decide to. */
async function outcomeOf(
  session: Session,
  entry: Node,
  trunk: TrunkStatus,
  lane: string,
  failed: readonly string[],
): Promise<Pick<SimulatedLine, "outcome" | "from" | "to" | "to_standby">> {
  const from = trunk.attachments.find((one) => one.lane === lane && one.active)?.hops ?? [];
  const isHit = (hops: readonly string[]): boolean => hops.some((id) => failed.includes(id));
  if (from.length === 0) return { outcome: "none", from, to: [], to_standby: false };
  if (isHit([entry.id])) return { outcome: "lost", from, to: [], to_standby: false };
  if (!isHit(from)) return { outcome: "stays", from, to: from, to_standby: false };
  if (isHit([trunk.farNodeId])) return { outcome: "lost", from, to: [], to_standby: false };
  const standby = standbysOf(trunk, lane).find((hops) => !isHit(hops));
  if (standby !== undefined) return { outcome: "moves", from, to: standby, to_standby: true };
  const { routes } = await session.client(RoutingService).explainRoute({
    clusterId: await session.clusterId(),
    fromNodeId: entry.id,
    farNodeId: trunk.farNodeId,
    organizationId: trunk.organizationId,
    class: lane === "bulk" ? ChannelClass.BULK : ChannelClass.INTERACTIVE,
    failedNodeIds: [...failed],
  });
  const to = routes[0]?.candidates.find(({ outcome }) => outcome === "primary")?.nodeIds ?? [];
  return { outcome: to.length === 0 ? "lost" : "moves", from, to, to_standby: false };
}

async function online(session: Session, fail: readonly string[]): Promise<SimulationView> {
  const clusterId = await session.clusterId();
  const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId });
  const failed = idsOf(nodes, fail);
  const nameOf = namer(nodes);
  const entries = nodes.filter(
    ({ roles, identityStatus, operatorAddress }) =>
      identityStatus !== "revoked" && operatorAddress !== "" && roles.some(({ role }) => role === NodeRole.ENTRY),
  );
  const trunks: SimulatedLine[] = [];
  for (const entry of entries) {
    const port = await openNodePort(session, { id: entry.id, clusterId, address: entry.operatorAddress });
    try {
      const answer = await port.client.listTrunks({}, { timeoutMs: 3_000 }).catch((thrown: unknown) => {
        throw ofNode(thrown, entry.name, entry.operatorAddress);
      });
      for (const trunk of answer.trunks.filter(({ initiator }) => initiator)) {
        const lanes = [...new Set(trunk.attachments.map(({ lane }) => lane))].sort();
        for (const lane of lanes) {
          const outcome = await outcomeOf(session, entry, trunk, lane, failed);
          trunks.push({
            entry: entry.name,
            trunk: trunk.trunkId,
            organization: trunk.organizationId,
            far: nameOf(trunk.farNodeId),
            lane,
            ...outcome,
            from: outcome.from.map(nameOf),
            to: outcome.to.map(nameOf),
          });
        }
      }
    } finally {
      port.close();
    }
  }
  return { source: `the trunks of ${entries.length} entries now`, failed: fail, trunks, pools: [] };
}

async function simulate(options: SimulateOptions): Promise<void> {
  const fail = options.fail ?? [];
  if (fail.length === 0) throw new WeftError("invalid_argument", "name a node with --fail", { detail: "CLI_FAIL" });
  const { snapshot } = options;
  const view =
    snapshot === undefined
      ? await withSession(options, (session) => online(session, fail))
      : offline(options, snapshot, fail);
  print(options, view, () => simulationText(view));
}

export function addSimulateCommand(route: Command): void {
  route
    .command("simulate")
    .description("which trunks would move, and where, if nodes failed")
    .option("--fail <node>", "a node that fails, by name or id; may be repeated", (one, before: string[] = []) => [
      ...before,
      one,
    ])
    .option("--snapshot <file>", "work it out from an entry's snapshot.bin alone, without asking anybody")
    .option("--state-dir <dir>", "the state folder whose pinned key verifies the snapshot (default: the file's own)")
    .addHelpText(
      "after",
      "\nExamples:\n  weft route simulate --fail relay-1 --fail relay-2\n  weft route simulate --fail relay-1 --snapshot /var/lib/weft/default/snapshot.bin",
    )
    .action(action(simulate));
}
