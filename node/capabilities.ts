/** What a host could do, whatever the roles of its node are. Reported to control; never a permission. */

import { NodeCapability } from "../gen/weft/fabric/v1/role_pb.ts";

/** The capabilities of a host with, or without, an inbound port. */
export function defaultCapabilities(dialOutOnly: boolean): NodeCapability[] {
  const inbound = [
    NodeCapability.CAN_ACCEPT_CLIENT_INGRESS,
    NodeCapability.CAN_ACCEPT_NODE_INGRESS,
    NodeCapability.CAN_ROUTE_MESH,
  ];
  const outbound = [NodeCapability.CAN_EGRESS_INTERNET, NodeCapability.CAN_EGRESS_PRIVATE_NETWORK];
  return dialOutOnly ? outbound : [...inbound, ...outbound];
}
