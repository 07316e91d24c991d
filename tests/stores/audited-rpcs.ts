/**
 * Every RPC of control that changes something, called once as its rightful caller: the cases of audited-rpcs.test.ts. They
 * build on each other, in this order; what one makes, later ones use.
 */

import { makeCsr } from "../../certs/csr.ts";
import { parseJoinToken } from "../../certs/join-token.ts";
import { generateP256 } from "../../certs/keys.ts";
import { enrollRequest, freshHost } from "../../conformance/stores/plane.ts";
import { ClusterService } from "../../gen/weft/admin/v1/cluster_pb.ts";
import { GroupService } from "../../gen/weft/admin/v1/group_pb.ts";
import { IdentityKind, IdentityService } from "../../gen/weft/admin/v1/identity_pb.ts";
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
import { EnrollmentService } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import {
  ChannelClass,
  IntentAction,
  NodeCapability,
  NodeRole,
  OfflineMode,
  ResourceKind,
} from "../../gen/weft/fabric/v1/role_pb.ts";
import { WorkloadKind } from "../../gen/weft/fabric/v1/workload_pb.ts";
import { LeaseService } from "../../gen/weft/lease/v1/lease_pb.ts";
import type { AuditedCase } from "./audited-case.ts";
import { auditedRotations } from "./audited-rotations.ts";
import type { AuditedStage } from "./audited-stage.ts";

const spec = { kind: WorkloadKind.NATIVE, command: "/bin/sleep", args: ["60"], version: "1" };
const grant = { role: NodeRole.EGRESS };
const capabilities = [
  NodeCapability.CAN_ACCEPT_CLIENT_INGRESS,
  NodeCapability.CAN_ACCEPT_NODE_INGRESS,
  NodeCapability.CAN_ROUTE_MESH,
  NodeCapability.CAN_EGRESS_INTERNET,
  NodeCapability.CAN_EGRESS_PRIVATE_NETWORK,
];

async function pendingRequest(stage: AuditedStage, name: string) {
  const { requests } = await stage.operator(RequestService).listRequests({ clusterId: stage.clusterId });
  const found = requests.find((each) => each.nodeName === name);
  if (found === undefined) throw new Error(`no request of ${name}`);
  return found;
}

async function approve(stage: AuditedStage, name: string, roles: readonly NodeRole[]) {
  const { id: requestId, keyHash, addresses } = await pendingRequest(stage, name);
  const grants = roles.map((role) => ({ role }));
  const answer = await stage
    .operator(RequestService)
    .approveRequest({ clusterId: stage.clusterId, requestId, keyHash, addresses, roles: grants, name });
  stage.ids.set(name, answer.request?.nodeId ?? "");
}

/** Hosts made once: a repeated call sends the same. */
async function enroll(stage: AuditedStage, name: string) {
  const host = stage.hosts.get(name) ?? (await freshHost());
  stage.hosts.set(name, host);
  await stage.stranger(EnrollmentService).enroll(
    enrollRequest(stage.token, host, {
      ...{ nodeName: name, capabilities, requestedRoles: [{ role: NodeRole.ENTRY }] },
    }),
  );
}

/** In the order they are called. Keys are full names; what follows a `#` tells apart calls of one RPC. */
export const auditedCases: Readonly<Record<string, AuditedCase>> = {
  "weft.admin.v1.ClusterService/CreateCluster": {
    call: ({ operator }) => operator(ClusterService).createCluster({ slug: "second", region: "eu" }),
    ...{ action: "cluster.created", object: "cluster/", after: true },
  },
  "weft.admin.v1.OrganizationService/CreateOrganization": {
    async call({ operator, clusterId, ids }) {
      const { organization } = await operator(OrganizationService).createOrganization({ clusterId, name: "acme" });
      ids.set("acme", organization?.id ?? "");
    },
    ...{ action: "organization.created", object: "organization/", organization: true, after: true },
  },
  "weft.admin.v1.TokenService/CreateToken": {
    async call(stage) {
      const { clusterId } = stage;
      const { text, token } = await stage.operator(TokenService).createToken({ clusterId, maxUses: 9 });
      stage.token = text;
      stage.ids.set("token", token?.id ?? "");
      const secret = Buffer.from(parseJoinToken(text)?.secret ?? []);
      stage.secrets.push(text, secret.toString("base64url"), secret.toString("hex"));
    },
    ...{ action: "token.created", object: "token/", after: true },
  },
  "weft.enrollment.v1.EnrollmentService/Enroll": {
    call: (stage) => enroll(stage, "edge-1"),
    ...{ action: "request.received", object: "request/", actor: "anonymous", after: true },
  },
  "weft.admin.v1.RequestService/ApproveRequest": {
    call: (stage) => approve(stage, "edge-1", [NodeRole.ENTRY]),
    ...{ action: "request.approved", object: "request/", after: true },
    entails: ["role.assigned", "certificate.issued"],
  },
  "weft.enrollment.v1.EnrollmentService/Enroll#rejected": {
    call: (stage) => enroll(stage, "edge-2"),
    ...{ action: "request.received", object: "request/", actor: "anonymous", after: true },
  },
  "weft.admin.v1.RequestService/RejectRequest": {
    async call(stage) {
      const { id: requestId } = await pendingRequest(stage, "edge-2");
      await stage.operator(RequestService).rejectRequest({ clusterId: stage.clusterId, requestId, reason: "unknown" });
    },
    ...{ action: "request.rejected", object: "request/", after: true },
  },
  "weft.enrollment.v1.EnrollmentService/Renew": {
    async call(stage) {
      const host = stage.hosts.get("renewed") ?? (await freshHost());
      stage.hosts.set("renewed", host);
      await stage.node(EnrollmentService).renew({ csr: host.csr });
    },
    ...{ action: "certificate.issued", object: "node/", actor: "node", after: true },
  },
  "weft.admin.v1.TokenService/RevokeToken": {
    call: ({ operator, clusterId, ids }) =>
      operator(TokenService).revokeToken({ clusterId, tokenId: ids.get("token") ?? "" }),
    ...{ action: "token.revoked", object: "token/", after: true },
  },
  "weft.admin.v1.RoleService/AssignRole": {
    call: ({ operator, clusterId }) => operator(RoleService).assignRole({ clusterId, nodeId: "edge-1", grant }),
    ...{ action: "role.assigned", object: "node/", after: true },
  },
  "weft.admin.v1.PoolService/CreatePool": {
    async call({ operator, clusterId, ids }) {
      const organizationId = ids.get("acme") ?? "";
      const { pool } = await operator(PoolService).createPool({ clusterId, organizationId, name: "office" });
      ids.set("pool", pool?.id ?? "");
    },
    ...{ action: "pool.created", object: "pool/", organization: true, after: true },
  },
  "weft.admin.v1.PoolService/AddPoolNode": {
    call: ({ operator, clusterId, ids }) =>
      operator(PoolService).addPoolNode({ clusterId, poolId: ids.get("pool") ?? "", nodeId: "edge-1" }),
    ...{ action: "pool.node_added", object: "pool/", organization: true, after: true },
  },
  "weft.admin.v1.ResourceService/AddResource": {
    async call({ operator, clusterId, ids }) {
      const [organizationId, poolId] = [ids.get("acme") ?? "", ids.get("pool") ?? ""];
      const target = { kind: ResourceKind.TCP, host: "127.0.0.1", port: 22, service: "ssh" };
      const about = { clusterId, organizationId, poolId, name: "ssh", ...target };
      const { resource } = await operator(ResourceService).addResource(about);
      ids.set("resource", resource?.id ?? "");
    },
    ...{ action: "resource.added", object: "resource/", organization: true, after: true },
  },
  "weft.admin.v1.ListenerService/AddListener": {
    async call({ operator, clusterId, ids }) {
      const about = { organizationId: ids.get("acme") ?? "", resourceId: ids.get("resource") ?? "", name: "ssh" };
      const { listener } = await operator(ListenerService).addListener({ clusterId, ...about, entryNodeId: "edge-1" });
      ids.set("listener", listener?.id ?? "");
    },
    ...{ action: "listener.added", object: "listener/", organization: true, after: true },
  },
  "weft.admin.v1.ListenerService/RemoveListener": {
    call: ({ operator, clusterId, ids }) =>
      operator(ListenerService).removeListener({ clusterId, listenerId: ids.get("listener") ?? "" }),
    ...{ action: "listener.removed", object: "listener/", organization: true, before: true },
  },
  "weft.admin.v1.PolicyService/SetOfflinePolicy": {
    async call({ operator, clusterId, ids }) {
      const policy = { mode: OfflineMode.FAIL_CLOSED };
      const { rule } = await operator(PolicyService).setOfflinePolicy({ clusterId, policy });
      ids.set("offline", rule?.id ?? "");
    },
    ...{ action: "offline-policy.set", object: "offline-policy/", after: true },
  },
  "weft.admin.v1.PolicyService/RemoveOfflinePolicy": {
    call: ({ operator, clusterId, ids }) =>
      operator(PolicyService).removeOfflinePolicy({ clusterId, ruleId: ids.get("offline") ?? "" }),
    ...{ action: "offline-policy.removed", object: "offline-policy/", before: true },
  },
  "weft.admin.v1.TestTelemetryService/SetTestTelemetry": {
    call: ({ operator, clusterId }) => operator(TestTelemetryService).setTestTelemetry({ clusterId, enabled: false }),
    ...{ action: "test-telemetry.switched", object: "cluster/", before: true, after: true },
  },
  "weft.admin.v1.QosService/SetQosPolicy": {
    async call({ operator, clusterId, ids }) {
      const { policy } = await operator(QosService).setQosPolicy({ clusterId, class: ChannelClass.BULK, priority: 3 });
      ids.set("qos", policy?.id ?? "");
    },
    ...{ action: "qos.set", object: "qos/", after: true },
  },
  "weft.admin.v1.QosService/RemoveQosPolicy": {
    call: ({ operator, clusterId, ids }) =>
      operator(QosService).removeQosPolicy({ clusterId, policyId: ids.get("qos") ?? "" }),
    ...{ action: "qos.removed", object: "qos/", before: true },
  },
  "weft.admin.v1.RouteIntentService/AddRouteIntent": {
    async call({ operator, clusterId, ids }) {
      const about = { name: "eu", action: IntentAction.REQUIRE_REGION, region: "eu" };
      const { intent } = await operator(RouteIntentService).addRouteIntent({ clusterId, ...about });
      ids.set("intent", intent?.id ?? "");
    },
    ...{ action: "intent.added", object: "intent/", after: true },
  },
  "weft.admin.v1.RouteIntentService/RemoveRouteIntent": {
    call: ({ operator, clusterId, ids }) =>
      operator(RouteIntentService).removeRouteIntent({ clusterId, intentId: ids.get("intent") ?? "" }),
    ...{ action: "intent.removed", object: "intent/", before: true },
  },
  "weft.admin.v1.GroupService/CreateGroup": {
    async call({ operator, clusterId, ids }) {
      const { group } = await operator(GroupService).createGroup({ clusterId, name: "berlin" });
      ids.set("berlin", group?.id ?? "");
    },
    ...{ action: "group.created", object: "group/", after: true },
  },
  "weft.admin.v1.GroupService/CreateGroup#child": {
    async call({ operator, clusterId, ids }) {
      const { group } = await operator(GroupService).createGroup({ clusterId, name: "rack" });
      ids.set("rack", group?.id ?? "");
    },
    ...{ action: "group.created", object: "group/", after: true },
  },
  "weft.admin.v1.GroupService/MoveGroup": {
    call: ({ operator, clusterId, ids }) =>
      operator(GroupService).moveGroup({
        clusterId,
        groupId: ids.get("rack") ?? "",
        parentId: ids.get("berlin") ?? "",
      }),
    ...{ action: "group.moved", object: "group/", before: true, after: true },
  },
  "weft.admin.v1.GroupService/AssignGroup": {
    call: ({ operator, clusterId, ids }) =>
      operator(GroupService).assignGroup({ clusterId, nodeId: "edge-1", groupId: ids.get("berlin") ?? "" }),
    ...{ action: "group.assigned", object: "node/", before: true, after: true },
  },
  "weft.admin.v1.GroupService/RemoveGroup": {
    call: ({ operator, clusterId, ids }) =>
      operator(GroupService).removeGroup({ clusterId, groupId: ids.get("rack") ?? "" }),
    ...{ action: "group.removed", object: "group/", before: true },
  },
  "weft.admin.v1.WorkloadService/SetWorkload": {
    async call({ operator, clusterId, ids }) {
      const about = { clusterId, nodeId: "edge-1", name: "agent", spec: { ...spec, hostPrivileges: true } };
      const { workload } = await operator(WorkloadService).setWorkload(about);
      ids.set("fingerprint", workload?.fingerprint ?? "");
    },
    ...{ action: "workload.set", object: "workload/", after: true },
  },
  "weft.admin.v1.WorkloadService/ApproveWorkload": {
    call: ({ operator, clusterId, ids }) =>
      operator(WorkloadService).approveWorkload({
        ...{ clusterId, nodeId: "edge-1", name: "agent", fingerprint: ids.get("fingerprint") ?? "" },
      }),
    ...{ action: "workload.privileges-approved", object: "workload/", after: true },
  },
  "weft.admin.v1.WorkloadService/RemoveWorkload": {
    call: ({ operator, clusterId }) =>
      operator(WorkloadService).removeWorkload({ clusterId, nodeId: "edge-1", name: "agent" }),
    ...{ action: "workload.removed", object: "workload/", before: true },
  },
  "weft.lease.v1.LeaseService/Acquire": {
    async call({ node, ids }) {
      const { lease } = await node(LeaseService).acquire({ name: "job", bootId: "boot-1", ttlMs: 60_000n });
      ids.set("fence", `${lease?.fence?.epoch}/${lease?.fence?.counter}`);
    },
    ...{ action: "lease.acquired", object: "lease/", actor: "node", after: true },
  },
  "weft.lease.v1.LeaseService/Release": {
    call({ node, ids }) {
      const [epoch, counter] = (ids.get("fence") ?? "0/0").split("/").map(BigInt);
      const fence = { epoch: epoch ?? 0n, counter: counter ?? 0n };
      return node(LeaseService).release({ name: "job", bootId: "boot-1", fence });
    },
    ...{ action: "lease.released", object: "lease/", actor: "node", after: true },
  },
  "weft.lease.v1.LeaseService/Acquire#again": {
    call: ({ node }) => node(LeaseService).acquire({ name: "job", bootId: "boot-2", ttlMs: 60_000n }),
    ...{ action: "lease.acquired", object: "lease/", actor: "node", after: true },
  },
  "weft.admin.v1.LeaseAdminService/FenceLease": {
    call: ({ operator, clusterId }) => operator(LeaseAdminService).fenceLease({ clusterId, name: "job" }),
    ...{ action: "lease.fenced", object: "lease/", before: true, after: true },
  },
  "weft.admin.v1.IdentityService/AddIdentity": {
    async call(stage) {
      const csr = stage.csrs.get("client") ?? (await makeCsr(generateP256()));
      stage.csrs.set("client", csr);
      const organizationId = stage.ids.get("acme") ?? "";
      const about = { kind: IdentityKind.CLIENT, clusterId: stage.clusterId, organizationId, name: "anna", csr };
      const { identity } = await stage.operator(IdentityService).addIdentity(about);
      stage.ids.set("client", identity?.id ?? "");
    },
    ...{ action: "identity.added", object: "client/", organization: true, after: true },
  },
  "weft.admin.v1.ServiceChannelService/IssueLease": {
    async call({ operator, clusterId, ids }) {
      const about = { resourceId: ids.get("resource") ?? "", clientId: ids.get("client") ?? "", entryNodeId: "edge-1" };
      const { lease } = await operator(ServiceChannelService).issueLease({ clusterId, ...about, ttlMs: 60_000n });
      ids.set("channel", lease?.id ?? "");
    },
    ...{ action: "service_lease.issued", object: "service_lease/", organization: true, after: true },
  },
  "weft.admin.v1.ServiceChannelService/MaintainLease": {
    call: ({ operator, clusterId, ids }) =>
      operator(ServiceChannelService).maintainLease({ clusterId, leaseId: ids.get("channel") ?? "", ttlMs: 90_000n }),
    ...{ action: "service_lease.maintained", object: "service_lease/", organization: true, before: true, after: true },
  },
  "weft.admin.v1.ServiceChannelService/ReleaseLease": {
    call: ({ operator, clusterId, ids }) =>
      operator(ServiceChannelService).releaseLease({ clusterId, leaseId: ids.get("channel") ?? "" }),
    ...{ action: "service_lease.ended", object: "service_lease/", organization: true, after: true },
  },
  "weft.admin.v1.IdentityService/RevokeIdentity": {
    call: ({ operator, clusterId, ids }) =>
      operator(IdentityService).revokeIdentity({ clusterId, identityId: ids.get("client") ?? "", reason: "left" }),
    ...{ action: "identity.revoked", object: "client/", organization: true, before: true, after: true },
    entails: ["certificate.revoked"],
  },
  "weft.admin.v1.IdentityService/RenewOperator": {
    async call(stage) {
      const csr = stage.csrs.get("operator") ?? (await makeCsr(generateP256()));
      stage.csrs.set("operator", csr);
      await stage.operator(IdentityService).renewOperator({ csr });
    },
    ...{ action: "certificate.issued", object: "operator/", installation: true, after: true },
  },
  "weft.admin.v1.ResourceService/RemoveResource": {
    call: ({ operator, clusterId, ids }) =>
      operator(ResourceService).removeResource({ clusterId, resourceId: ids.get("resource") ?? "" }),
    ...{ action: "resource.removed", object: "resource/", organization: true, before: true },
  },
  "weft.admin.v1.RoleService/RemoveRole": {
    call: ({ operator, clusterId }) => operator(RoleService).removeRole({ clusterId, nodeId: "edge-1", grant }),
    ...{ action: "role.removed", object: "node/", before: true },
  },
  "weft.admin.v1.MembershipService/DisableMembership": {
    call: ({ operator, clusterId }) => operator(MembershipService).disableMembership({ clusterId, nodeId: "edge-1" }),
    ...{ action: "membership.disabled", object: "node/", before: true, after: true },
  },
  "weft.admin.v1.MembershipService/EnableMembership": {
    call: ({ operator, clusterId }) => operator(MembershipService).enableMembership({ clusterId, nodeId: "edge-1" }),
    ...{ action: "membership.enabled", object: "node/", before: true, after: true },
  },
  ...auditedRotations,
  "weft.admin.v1.NodeAdminService/RevokeNode": {
    call: ({ operator, clusterId }) =>
      operator(NodeAdminService).revokeNode({ clusterId, nodeId: "edge-1", reason: "lost" }),
    ...{ action: "node.revoked", object: "node/", before: true, after: true },
    entails: ["certificate.revoked"],
  },
  "weft.admin.v1.StoreService/BackupStore": {
    async call({ operator }) {
      for await (const _piece of operator(StoreService).backupStore({}));
    },
    ...{ action: "store.backed_up", object: "store/", installation: true },
  },
};

/** What changes nothing that anybody is asked about afterwards, and why it has no record. */
export const unaudited: Readonly<Record<string, string>> = {
  "weft.control.v1.ControlService/ReportWorkloads": "an observation; what follows from it is health.changed",
  "weft.control.v1.ControlService/WatchSnapshot": "reads; payloads are derived",
  "weft.heartbeat.v1.HeartbeatService/Beat": "an observation, kept in beat_log; what follows from it is health.changed",
  "weft.routing.v1.RoutingService/ReportLinks": "an observation",
  "weft.lease.v1.LeaseService/Renew": "changes neither holder nor fence; counted in the lease's tenure",
  "weft.enrollment.v1.EnrollmentService/PollEnrollment":
    "hands out what was approved; a leaf issued anew is certificate.issued",
  "weft.enrollment.v1.EnrollmentService/Recover":
    "certificate.issued, in tests/stores/renewal.test.ts: it needs an expired leaf",
  "weft.enrollment.v1.EnrollmentService/RenewClient":
    "certificate.issued, in tests/stores/identity.test.ts: the client that signs it is not its caller",
  "weft.control.v1.ControlService/ReportSnapshotFork":
    "evidence that is verified first; what it opens is an alert, recorded as snapshot.forked",
  "weft.control.v1.ControlService/ReturnFeeds":
    "after a restore only: restore.learned, in tests/stores/restore-*.test.ts",
  "weft.admin.v1.StoreService/AcceptRestore":
    "after a restore only: restore.accepted, in tests/stores/restore-*.test.ts",
};

/** Reads, by the form of their names. */
export const isRead = (rpc: string): boolean =>
  /\/(List|Get|Explain|Resolve|Introspect|Export|Check|Watch)/.test(rpc) || /ServerReflection/.test(rpc);
