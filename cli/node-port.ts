/** The operator port of one node, for as long as a command needs it: the truth about a node needs no control plane. */

import type { Client } from "@connectrpc/connect";
import { NodeAdminService } from "../gen/weft/admin/v1/node_pb.ts";
import { NodeService } from "../gen/weft/node/v1/node_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { rpcClient } from "../rpc/client.ts";
import { operatorTransport } from "../rpc/operator-transport.ts";
import { findNode, type Session } from "./session.ts";

/** Where a node's operator port is, and whose it must be. */
export interface NodeAt {
  readonly id: string;
  readonly clusterId: string;
  /** host:port. */
  readonly address: string;
}

export interface NodePort {
  readonly client: Client<typeof NodeService>;
  close(): void;
}

/** Opens the operator port of exactly this node. The connection is made at the first call. */
export async function openNodePort(session: Session, node: NodeAt): Promise<NodePort> {
  const transport = operatorTransport({ address: node.address, tls: await session.nodeTls(node.clusterId, node.id) });
  return { client: rpcClient(NodeService, transport), close: () => transport.close() };
}

/** Asks exactly this node, over a connection that lasts as long as `ask`. */
export async function askNode<T>(
  session: Session,
  node: NodeAt,
  ask: (client: NodePort["client"]) => Promise<T>,
): Promise<T> {
  const port = await openNodePort(session, node);
  try {
    return await ask(port.client);
  } finally {
    port.close();
  }
}

/** Of everything a command asks, this is not control: what no answer from a node's port is told as. */
export function ofNode(thrown: unknown, name: string, address: string): unknown {
  if (!(thrown instanceof WeftError) || !["unavailable", "deadline_exceeded"].includes(thrown.reason)) return thrown;
  return new WeftError("unavailable", `${name} does not answer at ${address}: ${thrown.message}`, {
    detail: "NODE_UNREACHABLE",
    cause: thrown,
  });
}

/**
 * Runs `work` with the operator port of a node that is named by name or id.
 * @throws WeftError failed_precondition when the node is revoked (NODE_REVOKED) or has reported none (NODE_NO_OPERATOR_PORT),
 * unavailable (NODE_UNREACHABLE) when it does not answer, and what `work` throws.
 */
export async function withNodePort<T>(
  session: Session,
  wanted: string,
  work: (client: NodePort["client"], node: { readonly id: string; readonly name: string }) => Promise<T>,
): Promise<T> {
  const clusterId = await session.clusterId();
  const { id, name } = await findNode(session, wanted);
  const { node } = await session.client(NodeAdminService).getNode({ clusterId, nodeId: id });
  if (node?.identityStatus === "revoked")
    throw new WeftError("failed_precondition", `${name} is revoked, for good; nobody listens to it any more`, {
      detail: "NODE_REVOKED",
    });
  if (node === undefined || node.operatorAddress === "")
    throw new WeftError("failed_precondition", `${name} has not reported an operator port`, {
      detail: "NODE_NO_OPERATOR_PORT",
    });
  try {
    return await askNode(session, { id, clusterId, address: node.operatorAddress }, (client) =>
      work(client, { id, name }),
    );
  } catch (thrown) {
    throw ofNode(thrown, name, node.operatorAddress);
  }
}
