/**
 * A control plane's store with one real installation in it, nodes put in as an approval would, and its services called
 * in-process as anybody: the caller is set where the TLS door would set it.
 */

import { type ConnectRouter, createRouterTransport, type Interceptor, type Transport } from "@connectrpc/connect";
import { makeCsr } from "../../certs/csr.ts";
import { generateP256, type KeyPair } from "../../certs/keys.ts";
import { SealingKey } from "../../certs/seal.ts";
import { formatSpiffe, INSTALLATION } from "../../certs/spiffe.ts";
import { Authority } from "../../control/domain/authority.ts";
import { feedSource } from "../../control/domain/feed.ts";
import { initializeControl } from "../../control/domain/init.ts";
import { issueAndRecord } from "../../control/domain/issue.ts";
import { RestoreHold } from "../../control/domain/restore-hold.ts";
import { snapshotSource } from "../../control/domain/snapshot.ts";
import { memoryHints } from "../../control/hints/memory.ts";
import type { StoreContext } from "../../control/store/context.ts";
import { migrate } from "../../control/store/migrate.ts";
import { insertNode } from "../../control/store/nodes.ts";
import { insertOrganization } from "../../control/store/organizations.ts";
import { assignRole } from "../../control/store/roles.ts";
import { bumpSnapshot } from "../../control/store/snapshots.ts";
import type { Sql } from "../../control/store/sql.ts";
import { trustSeal } from "../../control/store/trust.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { randomLabel, systemRandom } from "../../lib/random.ts";
import { type Caller, kCaller } from "../../rpc/caller.ts";
import { errorInterceptor } from "../../rpc/interceptors.ts";

export interface ControlCluster {
  readonly ctx: StoreContext;
  readonly authority: Authority;
  readonly snapshots: ReturnType<typeof snapshotSource>;
  readonly feeds: ReturnType<typeof feedSource>;
  readonly hold: RestoreHold;
  readonly trustDomain: string;
  readonly clusterId: string;
  readonly operator: Caller;
  readonly installationSpki: Uint8Array;
}

const sealingKey = new SealingKey(new Uint8Array(32).fill(7));

/** What replicas of one installation share: the sealing key, not the connection. */
export function storeContext(sql: Sql, overrides: Partial<StoreContext> = {}): StoreContext {
  const clock = systemClock;
  const hints = memoryHints(clock);
  return { sql, seal: trustSeal(sealingKey), hints, random: systemRandom, clock, log: silentLog, ...overrides };
}

/** Migrates an empty store and makes an installation with a cluster "default" and one operator. */
export async function controlCluster(sql: Sql): Promise<ControlCluster> {
  const ctx = storeContext(sql);
  await migrate(sql);
  const operatorKeys = generateP256();
  const init = await initializeControl(ctx, {
    mode: "dev",
    operator: { name: "root", csr: await makeCsr(operatorKeys) },
  });
  return await openCluster(ctx, init.cluster.id, init.operatorId);
}

/** Another replica's view of the same installation. */
export async function openCluster(ctx: StoreContext, clusterId: string, operatorId: string): Promise<ControlCluster> {
  const authority = new Authority(ctx);
  const deps = { ...ctx, authority };
  const { trustDomain, publicKeySpki } = await authority.installation();
  return {
    ctx,
    authority,
    snapshots: snapshotSource(deps),
    feeds: feedSource(deps),
    hold: new RestoreHold(ctx),
    trustDomain,
    clusterId,
    operator: operatorCaller(trustDomain, operatorId),
    installationSpki: publicKeySpki,
  };
}

function operatorCaller(trustDomain: string, id: string): Caller {
  const spiffeId = { trustDomain, clusterId: INSTALLATION, kind: "operator", id } as const;
  return {
    kind: "operator",
    id: spiffeId,
    spiffe: formatSpiffe(spiffeId),
    sourceAddress: "127.0.0.1",
    arrivedBy: "operator-port",
  };
}

export interface AddedNode {
  readonly id: string;
  readonly caller: Caller;
  readonly keyHash: string;
  readonly serialHex: string;
  /** Of its leaf. */
  readonly keys: KeyPair;
}

export interface NodeWish {
  readonly capabilities?: readonly string[];
  /** "entry", or "entry@<organization id>". */
  readonly roles?: readonly string[];
  readonly dialOutOnly?: boolean;
}

const allCapabilities = [
  "can_accept_client_ingress",
  "can_accept_node_ingress",
  "can_route_mesh",
  "can_egress_private_network",
];

/** Puts an approved node in, with a leaf of its own. */
export async function addNode(cluster: ControlCluster, name: string, wish: NodeWish = {}): Promise<AddedNode> {
  const { ctx, clusterId, authority, trustDomain } = cluster;
  const keys = generateP256();
  const id = `nd-${randomLabel(ctx.random, 16)}`;
  const leaf = await ctx.sql.tx(async (tx) => {
    await insertNode(tx, ctx, {
      id,
      clusterId,
      name,
      keyHash: keys.keyHash,
      linkLabel: `link-${randomLabel(ctx.random, 26)}`,
      addresses: wish.dialOutOnly === true ? [] : [{ host: "127.0.0.1", port: 4100 }],
      dialOutOnly: wish.dialOutOnly ?? false,
      region: "",
      capabilities: wish.capabilities ?? allCapabilities,
      requestId: null,
    });
    for (const text of wish.roles ?? []) {
      const [role = "", organizationId = ""] = text.split("@");
      await assignRole(tx, ctx, { clusterId, nodeId: id, role, organizationId, assignedBy: "test" });
    }
    const order = { kind: "node", clusterId, subjectId: id, spkiDer: keys.spkiDer, status: "current" } as const;
    const issued = await issueAndRecord(tx, { ctx, authority, trustDomain }, order);
    await bumpSnapshot(tx, ctx.hints, clusterId);
    return issued;
  });
  return { id, caller: nodeCaller(cluster, id), keyHash: keys.keyHash, serialHex: leaf.serialHex, keys };
}

/** The caller a node is once its certificate was judged. */
function nodeCaller(cluster: ControlCluster, id: string, clusterId = cluster.clusterId): Caller {
  const spiffeId = { trustDomain: cluster.trustDomain, clusterId, kind: "node", id } as const;
  return {
    kind: "node",
    id: spiffeId,
    spiffe: formatSpiffe(spiffeId),
    sourceAddress: "127.0.0.1",
    arrivedBy: "control",
    clusterId,
  };
}

/** Adds an organization; returns its id. */
export async function addOrganization({ ctx, clusterId }: ControlCluster, name: string): Promise<string> {
  const id = `org-${randomLabel(ctx.random, 16)}`;
  await ctx.sql.tx((tx) => insertOrganization(tx, { id, clusterId, name }));
  return id;
}

/** Real services behind an in-process transport, called by `caller`; errors are mapped as on the wire. */
export function callAs(caller: Caller, routes: (router: ConnectRouter) => void): Transport {
  const identify: Interceptor = (next) => (request) => {
    request.contextValues.set(kCaller, caller);
    return next(request);
  };
  return createRouterTransport(routes, { router: { interceptors: [errorInterceptor, identify] } });
}
