/** Every service control serves, by its name in the wiring. */

import type { DescService } from "@bufbuild/protobuf";
import type { ControlServices } from "../../control/rpc/surfaces.ts";
import { AlertService } from "../../gen/weft/admin/v1/alert_pb.ts";
import { AuditService } from "../../gen/weft/admin/v1/audit_pb.ts";
import { CaService } from "../../gen/weft/admin/v1/ca_pb.ts";
import { CertificateService } from "../../gen/weft/admin/v1/certificate_pb.ts";
import { ClusterService } from "../../gen/weft/admin/v1/cluster_pb.ts";
import { GroupService } from "../../gen/weft/admin/v1/group_pb.ts";
import { IdentityService } from "../../gen/weft/admin/v1/identity_pb.ts";
import { RouteIntentService } from "../../gen/weft/admin/v1/intent_pb.ts";
import { LeaseAdminService } from "../../gen/weft/admin/v1/lease_pb.ts";
import { ListenerService } from "../../gen/weft/admin/v1/listener_pb.ts";
import { MembershipService, NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { PolicyService } from "../../gen/weft/admin/v1/policy_pb.ts";
import { PoolService } from "../../gen/weft/admin/v1/pool_pb.ts";
import { QosService } from "../../gen/weft/admin/v1/qos_pb.ts";
import { RequestService } from "../../gen/weft/admin/v1/request_pb.ts";
import { ResourceService } from "../../gen/weft/admin/v1/resource_pb.ts";
import { RoleService } from "../../gen/weft/admin/v1/role_pb.ts";
import { ServiceChannelService } from "../../gen/weft/admin/v1/service_channel_pb.ts";
import { StoreService } from "../../gen/weft/admin/v1/store_pb.ts";
import { TestTelemetryService } from "../../gen/weft/admin/v1/telemetry_pb.ts";
import { TokenService } from "../../gen/weft/admin/v1/token_pb.ts";
import { WorkloadService } from "../../gen/weft/admin/v1/workload_pb.ts";
import { ControlService } from "../../gen/weft/control/v1/control_pb.ts";
import { EnrollmentService } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { HeartbeatService } from "../../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { LeaseService } from "../../gen/weft/lease/v1/lease_pb.ts";
import { RoutingService } from "../../gen/weft/routing/v1/routing_pb.ts";

export const controlServices: Record<keyof ControlServices, DescService> = {
  enrollment: EnrollmentService,
  control: ControlService,
  heartbeat: HeartbeatService,
  lease: LeaseService,
  routing: RoutingService,
  alert: AlertService,
  audit: AuditService,
  ca: CaService,
  certificate: CertificateService,
  cluster: ClusterService,
  group: GroupService,
  identity: IdentityService,
  leaseAdmin: LeaseAdminService,
  listener: ListenerService,
  nodeAdmin: NodeAdminService,
  membership: MembershipService,
  organization: OrganizationService,
  policy: PolicyService,
  telemetry: TestTelemetryService,
  pool: PoolService,
  qos: QosService,
  routeIntent: RouteIntentService,
  request: RequestService,
  resource: ResourceService,
  role: RoleService,
  serviceChannel: ServiceChannelService,
  store: StoreService,
  token: TokenService,
  workload: WorkloadService,
};
