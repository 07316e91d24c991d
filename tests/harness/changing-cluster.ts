/** A cluster as snapshots see it that changes at random and shares with its past what has not changed, as control's views do. */

import { create } from "@bufbuild/protobuf";
import type { ClusterView, LastingNode, ViewNode } from "../../fabric/snapshot/cluster-view.ts";
import {
  ChannelClass,
  IntentAction,
  NodeHealth,
  NodeRole,
  OfflineMode,
  OriginAssurance,
  ResourceKind,
  ServiceClass,
} from "../../gen/weft/fabric/v1/role_pb.ts";
import { TrustBundleSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { seededRandom } from "../../lib/random.ts";

const organizations = ["", "org-x", "org-y"];
const pathRoles = [NodeRole.ENTRY, NodeRole.RELAY, NodeRole.EGRESS];

/** Changes one list at a time. */
export class ChangingCluster {
  readonly #random: ReturnType<typeof seededRandom>;
  /** No node is changed without getting another id. */
  readonly #lasting = new Map<string, LastingNode>();
  #made = 0;
  view: ClusterView;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.view = {
      trustDomain: "weft-test.internal",
      clusterId: "cl-a",
      clusterSlug: "default",
      epoch: 1n,
      version: 1n,
      auditHead: { seq: 1n, hash: new Uint8Array(32).fill(1) },
      bundle: create(TrustBundleSchema, { clusterId: "cl-a", roots: [{ kind: 1, certificateDer: Uint8Array.of(1) }] }),
      offline: [],
      nodes: Array.from({ length: 24 }, () => this.#node()),
      links: [],
      pools: [],
      resources: [],
      listeners: [],
      clients: [],
      qos: [],
      intents: [],
      endedLeases: [],
      workloads: [],
    };
    for (let change = 0; change < 40; change += 1) this.change();
  }

  change(): void {
    const change = this.#pick(Object.values(this.#changes));
    const view: ClusterView = { ...this.view, ...change(), version: this.view.version + 1n };
    const { nodes } = view;
    const isSame = nodes.length === this.view.nodes.length && nodes.every((node, at) => this.#isState(node, at));
    this.view = { ...view, lasting: isSame ? (this.view.lasting ?? []) : nodes.map((node) => this.#lastingOf(node)) };
  }

  /** Whether at most its state tells a node from the one that was in its place. */
  #isState(node: ViewNode, at: number): boolean {
    return node.nodeId === this.view.nodes[at]?.nodeId;
  }

  #lastingOf({ health: _health, load: _load, ...node }: ViewNode): LastingNode {
    const known = this.#lasting.get(node.nodeId) ?? node;
    this.#lasting.set(node.nodeId, known);
    return known;
  }

  #pick<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random.float() * of.length)] as T;
  }

  #id(kind: string): string {
    this.#made += 1;
    return `${kind}-${this.#made}`;
  }

  #node(): ViewNode {
    const dialOutOnly = this.#random.float() < 0.3;
    const roles = [this.#pick(pathRoles), this.#pick(pathRoles)].map((role) => ({
      role,
      organizationId: this.#pick(organizations),
    }));
    return {
      nodeId: this.#id("nd"),
      name: this.#id("node"),
      roles: this.#random.float() < 0.1 ? [] : roles,
      region: "",
      addresses: dialOutOnly ? [] : [{ host: "10.0.0.1", port: 4_433 }],
      linkLabel: this.#id("link"),
      dialOutOnly,
      trustLevel: 0,
      health: this.#pick([NodeHealth.ONLINE, NodeHealth.STALE]),
    };
  }

  /** A list with one item more, one less, or one in place of another. */
  #vary<T>(items: readonly T[], make: () => T): readonly T[] {
    const at = Math.floor(this.#random.float() * items.length);
    const how = this.#random.float();
    if (items.length === 0 || how < 0.45) return [...items, make()];
    return how < 0.6 ? items.toSpliced(at, 1) : items.with(at, make());
  }

  #anyNode(): string {
    return this.#pick(this.view.nodes)?.nodeId ?? "";
  }

  readonly #changes = {
    nodes: () => ({ nodes: this.#vary(this.view.nodes, () => this.#node()) }),
    states: () => ({
      nodes: this.view.nodes.map((node) =>
        this.#random.float() < 0.2 ? { ...node, load: Math.round(this.#random.float() * 8) / 8 } : node,
      ),
    }),
    links: () => ({
      links: this.#vary(this.view.links, () => ({
        fromNodeId: this.#anyNode(),
        toNodeId: this.#anyNode(),
        rttMs: Math.round(this.#random.float() * 100),
        measuredAtMs: 1,
      })).filter((link, at, all) => {
        const first = all.findIndex((each) => each.fromNodeId === link.fromNodeId && each.toNodeId === link.toNodeId);
        return first === at;
      }),
    }),
    pools: () => ({
      pools: this.#vary(this.view.pools, () => {
        const egressNodeIds = [...new Set([this.#anyNode(), this.#anyNode()])];
        const organizationId = this.#pick(organizations.slice(1));
        return { poolId: this.#id("pool"), name: "p", organizationId, egressNodeIds, locators: [] };
      }),
    }),
    resources: () => ({
      resources: this.#vary(this.view.resources, () => {
        const pool = this.#pick(this.view.pools);
        return {
          resourceId: this.#id("resource"),
          name: this.#id("r"),
          organizationId: pool?.organizationId ?? "org-x",
          poolId: pool?.poolId ?? "",
          kind: ResourceKind.TCP,
          defaultClass: ChannelClass.BULK,
          allowedClasses: [ChannelClass.BULK],
          minimumAssurance: OriginAssurance.ANONYMOUS,
          serviceClass: ServiceClass.REMOTE_WORKSPACE,
          host: "h",
          port: 1,
          unixPath: "",
          requiresLease: false,
          exclusiveLeaseMs: 0,
        };
      }),
    }),
    listeners: () => ({
      listeners: this.#vary(this.view.listeners, () => {
        const resource = this.#pick(this.view.resources);
        return {
          listenerId: this.#id("listener"),
          name: "l",
          organizationId: resource?.organizationId ?? "org-x",
          entryNodeId: this.#anyNode(),
          resourceId: resource?.resourceId ?? "",
          bindHost: "127.0.0.1",
          bindPort: 1,
          allowedSources: [],
        };
      }),
    }),
    clients: () => ({
      clients: this.#vary(this.view.clients, () => ({
        clientId: this.#id("client"),
        organizationId: this.#pick(organizations),
      })),
    }),
    qos: () => ({
      qos: this.#vary(this.view.qos, () => ({
        class: ChannelClass.BULK,
        priority: 1,
        rateBytesPerSecond: 1n,
        burstBytes: 0n,
        organizationId: this.#pick(organizations),
        resourceId: this.#random.float() < 0.5 ? "" : (this.#pick(this.view.resources)?.resourceId ?? ""),
      })),
    }),
    intents: () => ({
      intents: this.#vary(this.view.intents, () => ({
        intentId: this.#id("intent"),
        name: "i",
        organizationId: this.#pick(organizations),
        sourceNodeId: this.#random.float() < 0.5 ? "" : this.#anyNode(),
        poolId: this.#random.float() < 0.5 ? "" : (this.#pick(this.view.pools)?.poolId ?? ""),
        resourceId: "",
        serviceClass: ServiceClass.UNSPECIFIED,
        action: this.#pick([IntentAction.DIRECT, IntentAction.PREFER]),
        nodeId: "",
        region: "",
        expiresAtMs: 0,
      })),
    }),
    endedLeases: () => ({
      endedLeases: this.#vary(this.view.endedLeases, () => ({
        leaseId: this.#id("lease"),
        organizationId: this.#pick(organizations),
      })),
    }),
    offline: () => ({
      offline: this.#vary(this.view.offline, () => ({
        organizationId: this.#pick(organizations),
        resourceId: this.#random.float() < 0.5 ? "" : (this.#pick(this.view.resources)?.resourceId ?? ""),
        terms: { mode: OfflineMode.CONTINUE_FOR, continueForMs: 60_000 * (1 + this.view.offline.length), graceMs: 0 },
      })),
    }),
    telemetry: () => ({
      telemetryOff: this.#vary(this.view.telemetryOff ?? [], () => ({
        organizationId: this.#random.float() < 0.5 ? "" : this.#pick(organizations),
        nodeId: "",
      })),
    }),
    head: () => ({ auditHead: { seq: this.view.auditHead.seq + 1n, hash: new Uint8Array(32).fill(7) } }),
  };
}
