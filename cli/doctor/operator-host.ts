/** What an operator's context shows: its files, whether control can be reached with it, and what control says of nodes. */

import { join } from "node:path";
import { ListenerService } from "../../gen/weft/admin/v1/listener_pb.ts";
import { type Node, NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { PoolService } from "../../gen/weft/admin/v1/pool_pb.ts";
import { StoreService } from "../../gen/weft/admin/v1/store_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { Clock } from "../../lib/clock.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { controlPortTls, loadOperatorContext, type OperatorContext } from "../../rpc/operator-context.ts";
import { hostPort } from "../arguments.ts";
import { enumName } from "../output.ts";
import { type GlobalOptions, namer, type Session, withSession } from "../session.ts";
import { type Callee, callAll } from "./dial.ts";
import { type ClockFact, type Facts, noFacts, type RoleFact, together } from "./facts.ts";
import { lookAtSecret } from "./files.ts";

/** Never throws: what cannot be had is a fact of its own, or none. */
export async function lookAtOperatorHost(dir: string, options: GlobalOptions, clock: Clock): Promise<Facts> {
  const files = {
    places: [{ kind: "operator context", at: dir }],
    secrets: [
      lookAtSecret("key of the operator", join(dir, "operator.key")),
      lookAtSecret("operator's context", join(dir, "context.json")),
    ],
  } as const;
  let context: OperatorContext;
  try {
    context = loadOperatorContext(dir);
  } catch (thrown) {
    const isTold = thrown instanceof WeftError && thrown.detail.startsWith("KEY_FILE");
    const configurations = isTold ? [] : [{ file: dir, problems: [messageOf(thrown)] }];
    return { ...noFacts, ...files, configurations };
  }
  const reached = await callAll(calleesOf(context, clock), clock);
  const certificate = {
    whose: `operator ${context.leaf.id.id}`,
    path: join(dir, "operator.crt"),
    ...{ notBeforeMs: context.leaf.notBeforeMs, notAfterMs: context.leaf.notAfterMs, nowMs: clock.nowMs() },
    fix: 'another operator makes a new one ("weft identity add operator"); when there is none: weft control recover',
  };
  const about = { configurations: [{ file: dir, problems: [] }], certificates: [certificate] };
  const mayAsk = certificate.notAfterMs > certificate.nowMs && certificate.notBeforeMs <= certificate.nowMs;
  const answered = reached.dials.some(({ outcome }) => outcome === "answered" || outcome === "unknown-root");
  const told = mayAsk && answered ? await ask(dir, options) : undefined;
  // A command that finds itself without the roots it needs fetches them. Whoever is not known by those either is somebody else.
  const isNewer = told !== undefined && reached.dials.some(({ outcome }) => outcome === "unknown-root");
  const judged = isNewer ? await callAll(calleesOf(loadOperatorContext(dir), clock), clock) : reached;
  return together([files, about, judged, told ?? {}]);
}

function calleesOf(context: OperatorContext, clock: Clock): Callee[] {
  const addresses = [context.operatorAddress, ...(context.replicas ?? []).map((replica) => replica.operatorAddress)];
  const tls = controlPortTls(context, () => clock.nowMs());
  return addresses.map((address) => ({ address: hostPort(address), usedBy: `operator context ${context.dir}`, tls }));
}

/** What control says; undefined when it does not. */
async function ask(dir: string, options: GlobalOptions): Promise<Partial<Facts> | undefined> {
  try {
    return await withSession({ ...options, context: dir }, async (session) => {
      const clusterId = await session.clusterId();
      const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId });
      const active = nodes.filter(({ identityStatus }) => identityStatus !== "revoked");
      const { status } = await session.client(StoreService).getStoreStatus({});
      const { schemaFound = 0, schemaExpected = 0, moved = "", primary = true } = status ?? {};
      return {
        clocks: active.flatMap(clockOf),
        roles: await rolesOf(session, clusterId, active),
        stores: [{ where: "control's store", found: schemaFound, expected: schemaExpected, moved, primary }],
      };
    });
  } catch {
    return undefined;
  }
}

/** What a silent node said last says nothing about now; of others one beat may have been slow, and control's alert counts. */
function clockOf({ name, skewMs, beatAgeMs, alerts }: Node): ClockFact[] {
  if (beatAgeMs === undefined || beatAgeMs > BigInt(limits.offlineAfterMs)) return [];
  // Positive: behind control's.
  const aheadMs = alerts.includes("node-clock-skew") ? -skewMs : 0;
  return [{ whose: `node ${name}`, own: false, aheadMs: { min: aheadMs, max: aheadMs } }];
}

/** Nodes without a role, and places at nodes that do not have the role for them. */
async function rolesOf(session: Session, clusterId: string, nodes: readonly Node[]): Promise<RoleFact[]> {
  const { listeners } = await session.client(ListenerService).listListeners({ clusterId });
  const { pools } = await session.client(PoolService).listPools({ clusterId });
  const nameOf = namer(nodes);
  const has = (nodeId: string, role: NodeRole): boolean =>
    nodes.find(({ id }) => id === nodeId)?.roles.some((grant) => grant.role === role) ?? true;
  const needs = (nodeId: string, role: NodeRole, because: string): RoleFact => ({
    ...{ node: nameOf(nodeId), role: enumName(NodeRole, role), because },
    state: has(nodeId, role) ? "fine" : "missing",
  });
  const without: RoleFact[] = nodes
    .filter(({ roles }) => roles.length === 0)
    .map(({ name }) => ({ node: name, role: "", state: "none", because: "" }));
  return [
    ...without,
    ...listeners.map(({ name, entryNodeId }) =>
      needs(entryNodeId, NodeRole.ENTRY, `the listener ${name} is placed there`),
    ),
    ...pools.flatMap(({ name, nodeIds }) =>
      nodeIds.map((id) => needs(id, NodeRole.EGRESS, `the pool ${name} names it`)),
    ),
  ];
}
