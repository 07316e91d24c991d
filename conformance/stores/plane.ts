/**
 * Control without sockets: a real store, the real services behind the real wire encoding and error mapping. Who calls is set
 * by an interceptor, as a judged connection would. Races between replicas are tried here, where nothing else is measured.
 */

import type { DescService, MessageInitShape } from "@bufbuild/protobuf";
import { type ConnectRouter, createRouterTransport, type Interceptor, type Transport } from "@connectrpc/connect";
import { makeCsr } from "../../certs/csr.ts";
import { generateP256, type KeyPair, signEs256 } from "../../certs/keys.ts";
import { SealingKey } from "../../certs/seal.ts";
import { parseSpiffe } from "../../certs/spiffe.ts";
import { Allowlist } from "../../control/domain/allowlist.ts";
import { Authority } from "../../control/domain/authority.ts";
import { type InitOutcome, initializeControl } from "../../control/domain/init.ts";
import { createTrustAlarm, type TrustAlarm } from "../../control/domain/trust-alarm.ts";
import { memoryHints } from "../../control/hints/memory.ts";
import { auditService } from "../../control/services/audit.ts";
import { clusterService } from "../../control/services/cluster.ts";
import { enrollmentService } from "../../control/services/enrollment.ts";
import { identityService } from "../../control/services/identity.ts";
import { nodeAdminService } from "../../control/services/node.ts";
import { organizationService } from "../../control/services/organization.ts";
import { requestService } from "../../control/services/request.ts";
import type { ServiceDeps } from "../../control/services/service-context.ts";
import { tokenService } from "../../control/services/token.ts";
import { migrate } from "../../control/store/migrate.ts";
import type { Sql } from "../../control/store/sql.ts";
import { trustSeal } from "../../control/store/trust.ts";
import { AuditService } from "../../gen/weft/admin/v1/audit_pb.ts";
import { ClusterService } from "../../gen/weft/admin/v1/cluster_pb.ts";
import { IdentityService } from "../../gen/weft/admin/v1/identity_pb.ts";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { RequestService } from "../../gen/weft/admin/v1/request_pb.ts";
import { TokenService } from "../../gen/weft/admin/v1/token_pb.ts";
import { EnrollmentService, type EnrollRequestSchema } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { NodeCapability, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { anonymousCaller, type Caller, kCaller } from "../../rpc/caller.ts";
import { rpcClient } from "../../rpc/client.ts";
import { errorInterceptor } from "../../rpc/interceptors.ts";

/** One replica: its own caches over a store that may be shared. */
export class Replica {
  readonly deps: ServiceDeps;
  readonly alarm: TrustAlarm;

  constructor(sql: Sql, sealingKey: SealingKey, overrides: Partial<ServiceDeps> = {}) {
    const ctx = {
      sql,
      seal: trustSeal(sealingKey),
      hints: memoryHints(systemClock),
      random: systemRandom,
      clock: systemClock,
      log: silentLog,
      ...overrides,
    };
    this.alarm = createTrustAlarm(ctx);
    const guarded = { ...ctx, seal: this.alarm.guard(ctx.seal) };
    this.deps = { ...guarded, authority: new Authority(guarded), allowlist: new Allowlist(guarded) };
  }

  /** A client of any service of this replica, calling as `caller`. */
  as(caller: Caller) {
    const transport = this.#transport(caller);
    const of = <S extends DescService>(service: S) => rpcClient(service, transport);
    return {
      audit: of(AuditService),
      clusters: of(ClusterService),
      enrollment: of(EnrollmentService),
      identities: of(IdentityService),
      nodes: of(NodeAdminService),
      organizations: of(OrganizationService),
      requests: of(RequestService),
      tokens: of(TokenService),
    };
  }

  #transport(caller: Caller): Transport {
    const asCaller: Interceptor = (next) => async (req) => {
      req.contextValues.set(kCaller, caller);
      return await next(req);
    };
    const routes = (router: ConnectRouter): void => {
      router.service(AuditService, auditService(this.deps));
      router.service(ClusterService, clusterService(this.deps));
      router.service(EnrollmentService, enrollmentService(this.deps));
      router.service(IdentityService, identityService(this.deps));
      router.service(NodeAdminService, nodeAdminService(this.deps));
      router.service(OrganizationService, organizationService(this.deps));
      router.service(RequestService, requestService(this.deps));
      router.service(TokenService, tokenService(this.deps));
    };
    return createRouterTransport(routes, { router: { interceptors: [asCaller, errorInterceptor] } });
  }
}

export interface World {
  readonly sql: Sql;
  readonly sealingKey: SealingKey;
  readonly init: InitOutcome;
  readonly clusterId: string;
  readonly replica: Replica;
  readonly operator: ReturnType<Replica["as"]>;
  readonly operatorCaller: Caller;
  /** A host that is nobody yet, on the join door. */
  readonly stranger: ReturnType<Replica["as"]>;
}

export function freshSealingKey(): SealingKey {
  return new SealingKey(systemRandom.bytes(32));
}

/** Migrates an empty store and initializes an installation in it. */
export async function createWorld(sql: Sql): Promise<World> {
  await migrate(sql);
  const sealingKey = freshSealingKey();
  const replica = new Replica(sql, sealingKey);
  const csr = await makeCsr(generateP256());
  const init = await initializeControl(replica.deps, { mode: "dev", operator: { name: "owner", csr } });
  const operatorCaller = callerOfSpiffe(
    `spiffe://${init.trustDomain}/cluster/installation/operator/${init.operatorId}`,
  );
  return {
    sql,
    sealingKey,
    init,
    clusterId: init.cluster.id,
    replica,
    operator: replica.as(operatorCaller),
    operatorCaller,
    stranger: replica.as(strangerOf(init.cluster.id)),
  };
}

export function strangerOf(clusterId: string): Caller {
  return anonymousCaller("192.0.2.7", "join", clusterId);
}

/** The caller a judged connection of that identity would be. */
export function callerOfSpiffe(spiffe: string): Caller {
  const id = parseSpiffe(spiffe);
  if (id === undefined || id.kind === "pool" || id.kind === "control") throw new Error(`not a caller: ${spiffe}`);
  const arrivedBy = id.kind === "operator" ? "operator-port" : "control";
  return {
    kind: id.kind,
    id,
    spiffe,
    sourceAddress: "192.0.2.8",
    arrivedBy,
    ...(id.kind === "operator" ? {} : { clusterId: id.clusterId }),
  };
}

export interface JoiningHost {
  readonly keys: KeyPair;
  readonly csr: Uint8Array;
}

export async function freshHost(): Promise<JoiningHost> {
  const keys = generateP256();
  return { keys, csr: await makeCsr(keys) };
}

export function enrollRequest(
  token: string,
  host: JoiningHost,
  wish: MessageInitShape<typeof EnrollRequestSchema> = {},
) {
  return {
    token,
    csr: host.csr,
    nodeName: "edge-1",
    capabilities: [
      NodeCapability.CAN_ACCEPT_NODE_INGRESS,
      NodeCapability.CAN_ROUTE_MESH,
      NodeCapability.CAN_EGRESS_INTERNET,
    ],
    requestedRoles: [{ role: NodeRole.RELAY }],
    addresses: [{ host: "127.0.0.1", port: 4433 }],
    region: "eu",
    facts: { os: "linux" },
    ...wish,
  } as MessageInitShape<typeof EnrollRequestSchema>;
}

/** A poll signed by a key: the CSR's own, unless a test says otherwise. */
export function signedPoll(requestId: string, keys: KeyPair, issuedAtMs = Date.now()) {
  const data = Buffer.from(`weft/poll/v1\0${requestId}\0${issuedAtMs}`);
  return { requestId, issuedAtMs: BigInt(issuedAtMs), signature: signEs256(keys.privateKey, data) };
}

/** Joins a host from token to approval; returns its identity and how to call as it. */
export async function joinNode(world: World, name: string, roles: readonly NodeRole[] = [NodeRole.RELAY]) {
  const { text } = await world.operator.tokens.createToken({ clusterId: world.clusterId });
  const host = await freshHost();
  const requestedRoles = roles.map((role) => ({ role }));
  const { requestId } = await world.stranger.enrollment.enroll(
    enrollRequest(text, host, { nodeName: name, requestedRoles }),
  );
  const { request } = await world.operator.requests.getRequest({ clusterId: world.clusterId, requestId });
  if (request === undefined) throw new Error("no request");
  const { keyHash, addresses } = request;
  await world.operator.requests.approveRequest({
    clusterId: world.clusterId,
    requestId,
    keyHash,
    addresses,
    roles: requestedRoles,
    name,
  });
  const { identity } = await world.stranger.enrollment.pollEnrollment(signedPoll(requestId, host.keys));
  if (identity === undefined) throw new Error("no identity");
  const spiffe = `spiffe://${identity.trustDomain}/cluster/${world.clusterId}/node/${identity.nodeId}`;
  const caller = callerOfSpiffe(spiffe);
  return { host, requestId, identity, spiffe, caller, node: world.replica.as(caller) };
}
