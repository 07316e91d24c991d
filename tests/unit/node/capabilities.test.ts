/** What hosts report they could do. */

import { expect, it } from "vitest";
import { missingCapabilities } from "../../../fabric/members.ts";
import { NodeCapability, NodeRole } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { defaultCapabilities } from "../../../node/capabilities.ts";

it("M-A5 are the host's and know no role: an inbound port is what clients and nodes could come by", () => {
  const inbound: NodeCapability[] = [NodeCapability.CAN_ACCEPT_CLIENT_INGRESS, NodeCapability.CAN_ACCEPT_NODE_INGRESS];
  expect(defaultCapabilities(false)).toEqual(expect.arrayContaining(inbound));
  expect(defaultCapabilities(true).filter((each) => inbound.includes(each))).toEqual([]);
  // So any host with an inbound port may be given any of the three roles, and one that only dials out is an egress.
  const able = (dialOutOnly: boolean): NodeRole[] =>
    ([NodeRole.ENTRY, NodeRole.RELAY, NodeRole.EGRESS] as const).filter(
      (role) => missingCapabilities(role, defaultCapabilities(dialOutOnly)).length === 0,
    );
  expect(able(false)).toEqual([NodeRole.ENTRY, NodeRole.RELAY, NodeRole.EGRESS]);
  expect(able(true)).toEqual([NodeRole.EGRESS]);
});
