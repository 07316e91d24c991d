/** Which node may hold what: the total table of data class by role (`scope.ts` goes by it, `builders.ts` fills the classes). */

import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { AssignableRole } from "../members.ts";

/** The parts of a snapshot beyond the core (cluster, dates, bundle, offline mode, audit head, the node itself). */
export const dataClasses = [
  "neighbours",
  "members",
  "graph",
  "resourceRoutes",
  "listeners",
  "resourceTargets",
  "clients",
  "listenerGrants",
  "pools",
  "qos",
  "resourceQos",
  "routeIntents",
  "workloads",
  "endedLeases",
  "pathOffline",
  "resourceOffline",
  "testTelemetry",
] as const;

export type DataClass = (typeof dataClasses)[number];

/**
 * What every member holds whatever its roles are, and of itself alone: nothing here may be about another node.
 */
export const classesOfMember: readonly DataClass[] = ["workloads"];

/** The table of A12. Roles whose work is not carried by paths hold the core and the member's classes alone. */
export const classesOfRole = {
  [NodeRole.ENTRY]: [
    "neighbours",
    "members",
    "graph",
    "resourceRoutes",
    "listeners",
    "clients",
    "pools",
    "qos",
    "resourceQos",
    "routeIntents",
    "endedLeases",
    "pathOffline",
    "resourceOffline",
    "testTelemetry",
  ],
  [NodeRole.RELAY]: ["neighbours", "members", "qos", "pathOffline"],
  [NodeRole.EGRESS]: [
    "neighbours",
    "members",
    "resourceTargets",
    "clients",
    "listenerGrants",
    "pools",
    "qos",
    "resourceQos",
    "endedLeases",
    "pathOffline",
    "resourceOffline",
  ],
  [NodeRole.RDP_WORKER]: [],
  [NodeRole.VNC_WORKER]: [],
  [NodeRole.VPN_EXIT]: [],
  [NodeRole.VPN_CONNECTOR]: [],
  [NodeRole.FILE_STORAGE_CACHE]: [],
  [NodeRole.UPDATE_CACHE]: [],
  [NodeRole.VIDEO_RELAY]: [],
  [NodeRole.STORAGE]: [],
  [NodeRole.ADMIN_INGRESS]: [],
} as const satisfies Record<AssignableRole, readonly DataClass[]>;
