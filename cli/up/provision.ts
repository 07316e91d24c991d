/**
 * Everything an operator would do by hand, through the public API with the operator's certificate: tokens, approvals,
 * pool, resources, listeners. No other way into control is used.
 */

import { ListenerService } from "../../gen/weft/admin/v1/listener_pb.ts";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { PoolService } from "../../gen/weft/admin/v1/pool_pb.ts";
import { RequestService } from "../../gen/weft/admin/v1/request_pb.ts";
import { ResourceService } from "../../gen/weft/admin/v1/resource_pb.ts";
import { TokenService } from "../../gen/weft/admin/v1/token_pb.ts";
import { NodeRole, OriginAssurance, ResourceKind } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import type { Session } from "../session.ts";
import type { NodePlan, Plan } from "./layout.ts";

const roleOf = { entry: NodeRole.ENTRY, relay: NodeRole.RELAY, egress: NodeRole.EGRESS } as const;

/** The text of a single-use token for exactly this role. */
export async function tokenFor(session: Session, node: NodePlan): Promise<string> {
  const answer = await session.client(TokenService).createToken({
    clusterId: await session.clusterId(),
    roles: [roleOf[node.role]],
    lifeMs: 600_000n,
    maxUses: 1,
  });
  return answer.text;
}

/**
 * Approves the request a node announced, if control shows the same key.
 * @throws WeftError failed_precondition when the fingerprints differ.
 */
export async function approve(
  session: Session,
  node: NodePlan,
  announced: { requestId: string; keyFingerprint: string },
): Promise<string> {
  const client = session.client(RequestService);
  const clusterId = await session.clusterId();
  const { request } = await client.getRequest({ clusterId, requestId: announced.requestId });
  if (request === undefined || request.keyFingerprint !== announced.keyFingerprint) {
    throw new WeftError("failed_precondition", `${node.name}: control shows another key than the node announced`, {
      detail: "FINGERPRINT_DIFFERS",
    });
  }
  const answer = await client.approveRequest({
    clusterId,
    requestId: request.id,
    keyHash: request.keyHash,
    addresses: request.addresses,
    roles: [{ role: roleOf[node.role] }],
    name: node.name,
  });
  return answer.request?.nodeId ?? "";
}

/** The demo organization, its pool and its two resources. */
export async function provisionResources(
  session: Session,
  plan: Plan,
): Promise<{ organizationId: string; poolId: string; resourceIds: Record<"web" | "echo", string> }> {
  const clusterId = await session.clusterId();
  const { organization } = await session.client(OrganizationService).createOrganization({ clusterId, name: "demo" });
  const organizationId = organization?.id ?? "";
  const { pool } = await session.client(PoolService).createPool({ clusterId, organizationId, name: "demo-exit" });
  const poolId = pool?.id ?? "";
  const add = async (name: "web" | "echo", port: number): Promise<string> => {
    const answer = await session.client(ResourceService).addResource({
      clusterId,
      organizationId,
      poolId,
      name,
      host: "127.0.0.1",
      port,
      kind: ResourceKind.TCP,
      minimumAssurance: OriginAssurance.ANONYMOUS,
      service: name === "web" ? "http" : "echo",
    });
    return answer.resource?.id ?? "";
  };
  return {
    organizationId,
    poolId,
    resourceIds: { web: await add("web", plan.targets.webPort), echo: await add("echo", plan.targets.echoPort) },
  };
}

/** Puts the egresses into the pool and the listeners onto the entries. */
export async function provisionNodes(
  session: Session,
  plan: Plan,
  made: { organizationId: string; poolId: string; resourceIds: Record<"web" | "echo", string> },
  nodeIds: ReadonlyMap<string, string>,
): Promise<void> {
  const clusterId = await session.clusterId();
  for (const node of plan.nodes.filter(({ role }) => role === "egress")) {
    await session
      .client(PoolService)
      .addPoolNode({ clusterId, poolId: made.poolId, nodeId: nodeIds.get(node.name) ?? "" });
  }
  for (const listener of plan.listeners) {
    await session.client(ListenerService).addListener({
      clusterId,
      organizationId: made.organizationId,
      name: listener.name,
      resourceId: made.resourceIds[listener.resource],
      entryNodeId: nodeIds.get(listener.entry) ?? "",
      bindHost: "127.0.0.1",
      bindPort: listener.port,
    });
  }
}
