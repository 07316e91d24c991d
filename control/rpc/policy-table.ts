/**
 * Who may call what at control: one row per RPC of every service, total at compile time. A method added to a proto does not
 * compile here until somebody says who may call it.
 */

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
import { inspectPolicy, type PolicyRow, type PolicyTable, rowsOf } from "../../rpc/policy.ts";

/** A host that is not a node yet, or no longer: it proves itself inside the request, by token or by signature. */
const stranger: PolicyRow = {
  callers: ["anonymous"],
  arrivedBy: ["join"],
  subject: { kind: "none" },
  limit: "join",
  auditRefusal: true,
};

/** A node about itself. */
const ownNode: PolicyRow = {
  callers: ["node"],
  arrivedBy: ["control"],
  subject: { kind: "caller" },
  limit: "node",
  auditRefusal: true,
};

/** An operator about anything in the installation. */
const operator: PolicyRow = {
  callers: ["operator"],
  arrivedBy: ["operator-port"],
  subject: { kind: "none" },
  limit: "operator",
  auditRefusal: true,
};

const nodeOrOperator = { callers: ["node", "operator"], arrivedBy: ["control", "operator-port"] } as const;

export const controlPolicy: PolicyTable = {
  ...inspectPolicy,
  ...rowsOf(EnrollmentService, {
    getTrustBundle: { ...stranger, auditRefusal: false, heldOk: true },
    enroll: { ...stranger, heldOk: true },
    pollEnrollment: stranger,
    recover: stranger,
    renew: { ...ownNode, suspendedOk: true },
    // For a client that signed what is asked for; the entry is only its way here.
    renewClient: ownNode,
  }),
  ...rowsOf(ControlService, {
    watchSnapshot: { ...ownNode, suspendedOk: true, heldOk: true },
    reportWorkloads: ownNode,
    returnFeeds: { ...ownNode, heldOk: true },
    reportSnapshotFork: { ...ownNode, heldOk: true },
  }),
  ...rowsOf(HeartbeatService, { beat: { ...ownNode, heldOk: true } }),
  ...rowsOf(LeaseService, {
    acquire: ownNode,
    renew: ownNode,
    release: ownNode,
    // Nodes look names up in their own cluster.
    get: {
      ...nodeOrOperator,
      subject: { kind: "fields", fields: [{ field: "cluster_id", equals: "caller-cluster", emptyOk: true }] },
      limit: "node",
    },
  }),
  ...rowsOf(RoutingService, {
    resolveRoutes: {
      ...nodeOrOperator,
      subject: {
        kind: "fields",
        fields: [
          { field: "cluster_id", equals: "caller-cluster", emptyOk: true },
          { field: "from_node_id", equals: "caller-node", emptyOk: true },
        ],
      },
      limit: "node",
      auditRefusal: true,
    },
    // Candidates name every relay: operators only.
    explainRoute: operator,
    reportLinks: ownNode,
    listLinks: operator,
  }),
  ...rowsOf(AlertService, { listAlerts: operator }),
  ...rowsOf(AuditService, { listAudit: operator, exportAudit: operator }),
  ...rowsOf(CaService, {
    getCaStatus: operator,
    startRotation: operator,
    advanceRotation: operator,
    exemptFromRotation: operator,
    rollBackRotation: operator,
    rotateSigningKey: operator,
  }),
  ...rowsOf(CertificateService, {
    listCertificates: operator,
    getCertificate: operator,
    revokeCertificate: operator,
    listFeedReceipts: operator,
  }),
  ...rowsOf(ClusterService, { createCluster: operator, listClusters: operator, getCluster: operator }),
  ...rowsOf(GroupService, {
    createGroup: operator,
    listGroups: operator,
    moveGroup: operator,
    removeGroup: operator,
    assignGroup: operator,
  }),
  ...rowsOf(IdentityService, {
    addIdentity: operator,
    listIdentities: operator,
    revokeIdentity: operator,
    renewOperator: { ...operator, subject: { kind: "caller" } },
  }),
  ...rowsOf(LeaseAdminService, { listLeases: operator, getLease: operator, fenceLease: operator }),
  ...rowsOf(ListenerService, { addListener: operator, listListeners: operator, removeListener: operator }),
  ...rowsOf(NodeAdminService, { listNodes: operator, getNode: operator, revokeNode: operator }),
  ...rowsOf(MembershipService, {
    listMemberships: operator,
    disableMembership: operator,
    enableMembership: operator,
  }),
  ...rowsOf(OrganizationService, { createOrganization: operator, listOrganizations: operator }),
  ...rowsOf(PolicyService, {
    setOfflinePolicy: operator,
    listOfflinePolicies: operator,
    getOfflinePolicy: operator,
    removeOfflinePolicy: operator,
  }),
  ...rowsOf(TestTelemetryService, { setTestTelemetry: operator, listTestTelemetry: operator }),
  ...rowsOf(PoolService, { createPool: operator, listPools: operator, addPoolNode: operator }),
  ...rowsOf(QosService, { setQosPolicy: operator, listQosPolicies: operator, removeQosPolicy: operator }),
  ...rowsOf(RouteIntentService, {
    addRouteIntent: operator,
    listRouteIntents: operator,
    removeRouteIntent: operator,
  }),
  ...rowsOf(RequestService, {
    listRequests: operator,
    getRequest: operator,
    approveRequest: operator,
    rejectRequest: operator,
  }),
  ...rowsOf(ResourceService, { addResource: operator, listResources: operator, removeResource: operator }),
  ...rowsOf(RoleService, { assignRole: operator, removeRole: operator, listRoles: operator }),
  ...rowsOf(ServiceChannelService, {
    issueLease: operator,
    // Entries and egresses ask about leases they enforce; which those are is the service's to say.
    introspectLease: {
      ...nodeOrOperator,
      subject: { kind: "fields", fields: [{ field: "cluster_id", equals: "caller-cluster", emptyOk: true }] },
      limit: "node",
      auditRefusal: true,
    },
    maintainLease: operator,
    releaseLease: operator,
    listLeases: operator,
  }),
  ...rowsOf(StoreService, { getStoreStatus: operator, backupStore: operator, acceptRestore: operator }),
  ...rowsOf(TokenService, { createToken: operator, listTokens: operator, revokeToken: operator }),
  ...rowsOf(WorkloadService, {
    setWorkload: operator,
    listWorkloads: operator,
    approveWorkload: operator,
    removeWorkload: operator,
  }),
};
