/** A node that joined a control for a test: token, request, approval, identity, as an operator and a host do it. */

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Transport } from "@connectrpc/connect";
import { rootsOf } from "../../certs/bundle.ts";
import type { LeafOf } from "../../certs/material.ts";
import { tlsOptions } from "../../certs/tls-options.ts";
import { RequestService } from "../../gen/weft/admin/v1/request_pb.ts";
import { TokenService } from "../../gen/weft/admin/v1/token_pb.ts";
import { RequestState } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { NodeCapability, type NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { TrustBundle } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { joinCluster } from "../../node/join.ts";
import { rpcClient } from "../../rpc/client.ts";
import { type ControlTransport, controlTransport } from "../../rpc/grpc-js-transport.ts";

export interface JoinedNode {
  readonly nodeId: string;
  /** Where its identity is. */
  readonly stateDir: string;
  readonly clusterId: string;
  readonly leaf: LeafOf<"node">;
  readonly bundle: TrustBundle;
  /** As this node, to these control addresses. */
  transport(...addresses: string[]): ControlTransport;
}

const capabilities = [
  NodeCapability.CAN_ACCEPT_CLIENT_INGRESS,
  NodeCapability.CAN_ACCEPT_NODE_INGRESS,
  NodeCapability.CAN_ROUTE_MESH,
  NodeCapability.CAN_EGRESS_INTERNET,
  NodeCapability.CAN_EGRESS_PRIVATE_NETWORK,
];

export interface JoinPlan {
  readonly operator: Transport;
  readonly publicAddress: string;
  readonly clusterId: string;
  readonly name: string;
  readonly roles: readonly NodeRole[];
}

export async function joinNode(plan: JoinPlan): Promise<JoinedNode> {
  const { operator, clusterId, name, roles } = plan;
  const { text } = await rpcClient(TokenService, operator).createToken({ clusterId });
  const [host = "", port] = plan.publicAddress.split(":");
  const requests = rpcClient(RequestService, operator);
  const aborter = new AbortController();
  const stateDir = mkdtempSync(join(tmpdir(), "weft-node-"));
  const stored = await joinCluster(
    {
      stateDir,
      control: [{ host, port: Number(port) }],
      clock: systemClock,
      onPending({ requestId }) {
        void approve(requestId).catch((error: unknown) => aborter.abort(error));
      },
    },
    text,
    {
      name,
      roles,
      capabilities,
      addresses: [{ host: "127.0.0.1", port: 7_100 }],
      dialOutOnly: false,
      region: "",
      facts: {},
    },
    aborter.signal,
  );
  async function approve(requestId: string): Promise<void> {
    const { request } = await requests.getRequest({ clusterId, requestId });
    if (request?.state !== RequestState.PENDING) throw new Error("no pending request");
    await requests.approveRequest({
      clusterId,
      requestId,
      keyHash: request.keyHash,
      addresses: request.addresses,
      roles: roles.map((role) => ({ role })),
      name,
    });
  }
  const { identity } = stored;
  const { leaf } = identity;
  return {
    nodeId: identity.nodeId,
    stateDir,
    clusterId: identity.clusterId,
    leaf,
    bundle: identity.bundle,
    transport: (...addresses) =>
      controlTransport({
        addresses,
        serverName: identity.controlName,
        tls: () =>
          tlsOptions("dial-control", {
            identity: leaf,
            expect: {
              kind: "control",
              trustDomain: identity.trustDomain,
              clusterId: identity.clusterId,
              roots: rootsOf(identity.bundle, "control"),
              nowMs: () => Date.now(),
            },
          }),
        clock: systemClock,
        log: silentLog,
      }),
  };
}
