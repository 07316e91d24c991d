/**
 * The words tables are written in, and their proto enums. Storage types are ours: a renumbered enum must never change what
 * a stored row means.
 */

import { WorkloadState } from "../../gen/weft/control/v1/control_pb.ts";
import {
  ChannelClass,
  IntentAction,
  NodeCapability,
  NodeHealth,
  NodeRole,
  OfflineMode,
  OriginAssurance,
  ResourceKind,
  ServiceClass,
} from "../../gen/weft/fabric/v1/role_pb.ts";

export interface Vocabulary<E extends number> {
  /** The stored text, or undefined for UNSPECIFIED and numbers this version does not know. */
  text(value: E): string | undefined;
  /** The enum of a stored text; 0 (UNSPECIFIED) when there is none. */
  value(text: string): E;
}

function vocabulary<E extends number>(words: Readonly<Record<string, E>>): Vocabulary<E> {
  const byValue = new Map(Object.entries(words).map(([text, value]) => [value, text]));
  const byText = new Map(Object.entries(words));
  return { text: (value) => byValue.get(value), value: (text) => byText.get(text) ?? (0 as E) };
}

export const roles = vocabulary<NodeRole>({
  entry: NodeRole.ENTRY,
  relay: NodeRole.RELAY,
  egress: NodeRole.EGRESS,
  "rdp-worker": NodeRole.RDP_WORKER,
  "vnc-worker": NodeRole.VNC_WORKER,
  "vpn-exit": NodeRole.VPN_EXIT,
  "vpn-connector": NodeRole.VPN_CONNECTOR,
  "file-storage-cache": NodeRole.FILE_STORAGE_CACHE,
  "update-cache": NodeRole.UPDATE_CACHE,
  "video-relay": NodeRole.VIDEO_RELAY,
  storage: NodeRole.STORAGE,
  "admin-ingress": NodeRole.ADMIN_INGRESS,
});

export const capabilities = vocabulary<NodeCapability>({
  can_accept_client_ingress: NodeCapability.CAN_ACCEPT_CLIENT_INGRESS,
  can_accept_node_ingress: NodeCapability.CAN_ACCEPT_NODE_INGRESS,
  can_route_mesh: NodeCapability.CAN_ROUTE_MESH,
  can_egress_internet: NodeCapability.CAN_EGRESS_INTERNET,
  can_egress_private_network: NodeCapability.CAN_EGRESS_PRIVATE_NETWORK,
  can_run_rdp_worker: NodeCapability.CAN_RUN_RDP_WORKER,
  can_run_vnc_worker: NodeCapability.CAN_RUN_VNC_WORKER,
  can_run_vpn_exit: NodeCapability.CAN_RUN_VPN_EXIT,
  can_run_vpn_connector: NodeCapability.CAN_RUN_VPN_CONNECTOR,
  can_run_file_cache: NodeCapability.CAN_RUN_FILE_CACHE,
  can_run_update_cache: NodeCapability.CAN_RUN_UPDATE_CACHE,
  can_run_video_relay: NodeCapability.CAN_RUN_VIDEO_RELAY,
});

export const classes = vocabulary<ChannelClass>({
  bulk: ChannelClass.BULK,
  interactive: ChannelClass.INTERACTIVE,
  droppable: ChannelClass.DROPPABLE,
});

export const resourceKinds = vocabulary<ResourceKind>({ tcp: ResourceKind.TCP, message: ResourceKind.MESSAGE });

export const assurances = vocabulary<OriginAssurance>({
  anonymous: OriginAssurance.ANONYMOUS,
  "entry-asserted": OriginAssurance.ENTRY_ASSERTED,
  proved: OriginAssurance.PROVED,
});

export const serviceClasses = vocabulary<ServiceClass>({
  "remote-workspace": ServiceClass.REMOTE_WORKSPACE,
  database: ServiceClass.DATABASE,
  web: ServiceClass.WEB,
  "file-transfer": ServiceClass.FILE_TRANSFER,
  messaging: ServiceClass.MESSAGING,
  other: ServiceClass.OTHER,
});

export const intentActions = vocabulary<IntentAction>({
  prefer: IntentAction.PREFER,
  avoid: IntentAction.AVOID,
  "require-region": IntentAction.REQUIRE_REGION,
  direct: IntentAction.DIRECT,
});

export const healths = vocabulary<NodeHealth>({
  online: NodeHealth.ONLINE,
  stale: NodeHealth.STALE,
  draining: NodeHealth.DRAINING,
  offline: NodeHealth.OFFLINE,
  missing: NodeHealth.MISSING,
});

export const workloadStates = vocabulary<WorkloadState>({
  running: WorkloadState.RUNNING,
  stopped: WorkloadState.STOPPED,
  degraded: WorkloadState.DEGRADED,
  failed: WorkloadState.FAILED,
  starting: WorkloadState.STARTING,
  unhealthy: WorkloadState.UNHEALTHY,
  backoff: WorkloadState.BACKOFF,
  stopping: WorkloadState.STOPPING,
});

export const offlineModes = vocabulary<OfflineMode>({
  continue: OfflineMode.CONTINUE,
  "continue-for": OfflineMode.CONTINUE_FOR,
  "existing-only": OfflineMode.EXISTING_ONLY,
  "fail-closed": OfflineMode.FAIL_CLOSED,
});
