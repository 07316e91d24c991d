/**
 * What each door of control serves. Three surfaces, one policy table: joining hosts, nodes, operators. A service appears
 * on a surface only where some caller of that door may use it.
 */

import type { ConnectRouter, ServiceImpl } from "@connectrpc/connect";
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
import { limits } from "../../lib/limits.ts";
import type { Judge } from "../../rpc/caller.ts";
import { joinHttp2, rpcHttp2 } from "../../rpc/http2-profile.ts";
import { createSurface, type Surface, type SurfaceOptions } from "../../rpc/surface.ts";
import { controlPolicy } from "./policy-table.ts";

/** Every service of control: a missing one does not compile. */
export interface ControlServices {
  readonly enrollment: ServiceImpl<typeof EnrollmentService>;
  readonly control: ServiceImpl<typeof ControlService>;
  readonly heartbeat: ServiceImpl<typeof HeartbeatService>;
  readonly lease: ServiceImpl<typeof LeaseService>;
  readonly routing: ServiceImpl<typeof RoutingService>;
  readonly alert: ServiceImpl<typeof AlertService>;
  readonly audit: ServiceImpl<typeof AuditService>;
  readonly ca: ServiceImpl<typeof CaService>;
  readonly certificate: ServiceImpl<typeof CertificateService>;
  readonly cluster: ServiceImpl<typeof ClusterService>;
  readonly group: ServiceImpl<typeof GroupService>;
  readonly identity: ServiceImpl<typeof IdentityService>;
  readonly leaseAdmin: ServiceImpl<typeof LeaseAdminService>;
  readonly listener: ServiceImpl<typeof ListenerService>;
  readonly nodeAdmin: ServiceImpl<typeof NodeAdminService>;
  readonly membership: ServiceImpl<typeof MembershipService>;
  readonly organization: ServiceImpl<typeof OrganizationService>;
  readonly policy: ServiceImpl<typeof PolicyService>;
  readonly telemetry: ServiceImpl<typeof TestTelemetryService>;
  readonly pool: ServiceImpl<typeof PoolService>;
  readonly qos: ServiceImpl<typeof QosService>;
  readonly routeIntent: ServiceImpl<typeof RouteIntentService>;
  readonly request: ServiceImpl<typeof RequestService>;
  readonly resource: ServiceImpl<typeof ResourceService>;
  readonly role: ServiceImpl<typeof RoleService>;
  readonly serviceChannel: ServiceImpl<typeof ServiceChannelService>;
  readonly store: ServiceImpl<typeof StoreService>;
  readonly token: ServiceImpl<typeof TokenService>;
  readonly workload: ServiceImpl<typeof WorkloadService>;
}

export interface ControlJudges {
  readonly join: Judge;
  readonly control: Judge;
  readonly operator: Judge;
}

export interface ControlSurfaces {
  readonly join: Surface;
  readonly control: Surface;
  readonly operator: Surface;
}

type Shared = Pick<SurfaceOptions, "log" | "clock" | "random" | "onRefusal" | "onCall" | "health" | "buckets">;

/** Builds the three surfaces. Throws when an RPC has no policy row for its door. */
export function createControlSurfaces(
  services: ControlServices,
  judges: ControlJudges,
  shared: Shared,
): ControlSurfaces {
  const { health, ...quiet } = shared;
  const inspected = health === undefined ? {} : { health };
  return {
    join: createSurface({
      ...quiet,
      arrivedBy: "join",
      routes: joinRoutes(services),
      policy: controlPolicy,
      judge: judges.join,
      http2: joinHttp2,
      readMaxBytes: limits.joiningBodyMaxBytes,
      sessionMaxMs: limits.joiningSessionMaxMs,
    }),
    control: createSurface({
      ...quiet,
      ...inspected,
      arrivedBy: "control",
      routes: nodeRoutes(services),
      policy: controlPolicy,
      judge: judges.control,
      http2: rpcHttp2,
      reflection: true,
    }),
    operator: createSurface({
      ...quiet,
      ...inspected,
      arrivedBy: "operator-port",
      routes: operatorRoutes(services),
      policy: controlPolicy,
      judge: judges.operator,
      http2: rpcHttp2,
      reflection: true,
    }),
  };
}

function joinRoutes({ enrollment }: ControlServices): (router: ConnectRouter) => void {
  const { getTrustBundle, enroll, pollEnrollment, recover } = EnrollmentService.method;
  return (router) => {
    router.rpc(getTrustBundle, enrollment.getTrustBundle);
    router.rpc(enroll, enrollment.enroll);
    router.rpc(pollEnrollment, enrollment.pollEnrollment);
    router.rpc(recover, enrollment.recover);
  };
}

function nodeRoutes(services: ControlServices): (router: ConnectRouter) => void {
  return (router) => {
    router.rpc(EnrollmentService.method.renew, services.enrollment.renew);
    router.rpc(EnrollmentService.method.renewClient, services.enrollment.renewClient);
    router.service(ControlService, services.control);
    router.service(HeartbeatService, services.heartbeat);
    router.service(LeaseService, services.lease);
    router.rpc(RoutingService.method.resolveRoutes, services.routing.resolveRoutes);
    router.rpc(RoutingService.method.reportLinks, services.routing.reportLinks);
    router.rpc(ServiceChannelService.method.introspectLease, services.serviceChannel.introspectLease);
  };
}

function operatorRoutes(services: ControlServices): (router: ConnectRouter) => void {
  return (router) => {
    router.service(AlertService, services.alert);
    router.service(AuditService, services.audit);
    router.service(CaService, services.ca);
    router.service(CertificateService, services.certificate);
    router.service(ClusterService, services.cluster);
    router.service(GroupService, services.group);
    router.service(IdentityService, services.identity);
    router.service(LeaseAdminService, services.leaseAdmin);
    router.service(ListenerService, services.listener);
    router.service(NodeAdminService, services.nodeAdmin);
    router.service(MembershipService, services.membership);
    router.service(OrganizationService, services.organization);
    router.service(PolicyService, services.policy);
    router.service(TestTelemetryService, services.telemetry);
    router.service(PoolService, services.pool);
    router.service(QosService, services.qos);
    router.service(RouteIntentService, services.routeIntent);
    router.service(RequestService, services.request);
    router.service(ResourceService, services.resource);
    router.service(RoleService, services.role);
    router.service(ServiceChannelService, services.serviceChannel);
    router.service(StoreService, services.store);
    router.service(TokenService, services.token);
    router.service(WorkloadService, services.workload);
    router.rpc(LeaseService.method.get, services.lease.get);
    router.rpc(RoutingService.method.resolveRoutes, services.routing.resolveRoutes);
    router.rpc(RoutingService.method.explainRoute, services.routing.explainRoute);
    router.rpc(RoutingService.method.listLinks, services.routing.listLinks);
  };
}
