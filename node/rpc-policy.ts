/**
 * Who may call which RPC of a node, through which door: every RPC a node serves, none besides. A door that serves an RPC
 * without a row for it does not open.
 */

import { AccessService, PathService } from "../gen/weft/access/v1/access_pb.ts";
import { ChannelService } from "../gen/weft/channel/v1/channel_pb.ts";
import { NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import { NodeService } from "../gen/weft/node/v1/node_pb.ts";
import { ProbeService, RouteProbeService } from "../gen/weft/probe/v1/probe_pb.ts";
import { RelayService } from "../gen/weft/relay/v1/relay_pb.ts";
import type { ArrivedBy } from "../rpc/caller.ts";
import { inspectPolicy, type PolicyRow, type PolicyTable, rowsOf } from "../rpc/policy.ts";

/** Neighbours over links. The subject is the caller: who asks is its link's identity, never a field. */
const neighbours: PolicyRow = {
  callers: ["node"],
  arrivedBy: ["link"],
  subject: { kind: "caller" },
  limit: "link",
};

/** Offers come from those who may be in front of a hop; the offer itself is authorized field by field. */
const predecessors: PolicyRow = { ...neighbours, roles: [NodeRole.ENTRY, NodeRole.RELAY] };

const operators: PolicyRow = {
  callers: ["operator"],
  arrivedBy: ["operator-port"],
  subject: { kind: "none" },
  limit: "operator",
};

const clients: PolicyRow = {
  callers: ["client"],
  arrivedBy: ["client-name"],
  subject: { kind: "caller" },
  limit: "client",
};

const probers: PolicyRow = {
  callers: ["node", "operator"],
  arrivedBy: ["link", "operator-port"],
  subject: { kind: "none" },
  limit: "link",
};

/** The ends of paths, and nothing else that comes over a path. */
const pathEnds: PolicyRow = {
  callers: ["node", "client"],
  arrivedBy: ["path"],
  subject: { kind: "caller" },
  limit: "link",
};

/** Every RPC of every door of a node. */
export const nodePolicy: PolicyTable = {
  ...rowsOf(RelayService, { openPath: predecessors, dialBack: neighbours, exchangeFeed: neighbours }),
  ...rowsOf(ProbeService, { probe: { ...probers, arrivedBy: [...probers.arrivedBy, "path"] } }),
  ...rowsOf(RouteProbeService, { probeRoute: operators }),
  ...rowsOf(ChannelService, { open: pathEnds, echo: probers }),
  ...rowsOf(AccessService, { connect: clients }),
  ...rowsOf(PathService, { openClientPath: clients, getClientTrust: clients, renewIdentity: clients }),
  ...rowsOf(NodeService, {
    getStatus: operators,
    watchEvents: operators,
    listTrunks: operators,
    explainChannel: operators,
    drain: { ...operators, auditRefusal: true },
    undrain: { ...operators, auditRefusal: true },
    listWorkloads: operators,
    watchWorkloadLog: { ...operators, auditRefusal: true },
  }),
  ...inspectPolicy,
};

/** Rows of one door. */
function through(door: ArrivedBy): PolicyTable {
  return Object.fromEntries(Object.entries(nodePolicy).filter(([, row]) => row.arrivedBy.includes(door)));
}

/** What may be called over a path that was made to measure. */
export const probePathPolicy: PolicyTable = rowsOf(ProbeService, {
  probe: { ...probers, callers: ["node"], arrivedBy: ["path"] },
});
/** What neighbours may call. */
export const linkPolicy = through("link");
/** What clients may call on an entry's public port. */
export const clientEntryPolicy = through("client-name");
/** What operators may call. */
export const operatorPolicy = through("operator-port");
