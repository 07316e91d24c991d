/**
 * Several data planes in one process, over real sockets and TLS on loopback: entries, relays and egresses with snapshots
 * made here. Snapshots and feeds are held in memory and unsigned; everything below them is the product.
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { rootKinds } from "../../certs/bundle.ts";
import { formatSpiffe, spiffeKinds } from "../../certs/spiffe.ts";
import { linkServerName, nodeServerName } from "../../fabric/server-names.ts";
import { RevocationFeedSchema, type SignedFeed, SignedFeedSchema } from "../../gen/weft/fabric/v1/feed_pb.ts";
import { ChannelClass, NodeRole, OfflineMode } from "../../gen/weft/fabric/v1/role_pb.ts";
import {
  type Neighbour,
  NeighbourSchema,
  type Snapshot,
  SnapshotSchema,
  TrustBundleSchema,
} from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { PathPurpose } from "../../gen/weft/relay/v1/relay_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { randomLabel, systemRandom } from "../../lib/random.ts";
import { type DataPlane, startDataPlane } from "../../node/data-plane.ts";
import { createDrainState, createNodeCounters, createNodeEvents, Listeners } from "../../node/events.ts";
import type { PathEnd } from "../../node/path-end.ts";
import type { PathRequest } from "../../node/paths.ts";
import type { DataPlanePorts } from "../../node/plane-ports.ts";
import type { FeedStore, IdentityHolder, NodeEvent, NodeIdentity, SnapshotHolder } from "../../node/ports.ts";
import { eventually } from "./eventually.ts";
import { makePki, type TestPki } from "./pki.ts";

export const organizationId = "org-a";
export const poolId = "pl-a";
const slug = "default";

export interface NodeSpec {
  readonly id: string;
  readonly role: "entry" | "relay" | "egress";
  readonly dialOutOnly?: boolean;
}

function rethrow(thrown: unknown): never {
  throw thrown;
}

class HeldSnapshot implements SnapshotHolder {
  readonly #listeners = new Listeners<Snapshot>(rethrow);
  #current: Snapshot | undefined;

  current(): Snapshot | undefined {
    return this.#current;
  }

  set(snapshot: Snapshot): void {
    this.#current = snapshot;
    this.#listeners.notify(snapshot);
  }

  onChange(listener: (snapshot: Snapshot) => void): () => void {
    return this.#listeners.add(listener);
  }

  newestSignedMs(): number {
    return 0;
  }
}

/** A feed without signatures: what it revokes are whole identities, or leaves by their serials. */
class HeldFeed implements FeedStore {
  readonly #listeners = new Listeners<void>(rethrow);
  #feed: SignedFeed | undefined;
  #seq = 0n;
  #revoked: ReadonlySet<string> = new Set();

  current(): SignedFeed | undefined {
    return this.#feed;
  }

  position(): { epoch: bigint; seq: bigint } {
    return { epoch: 1n, seq: this.#seq };
  }

  newestIssuedMs(): number {
    return this.#feed === undefined ? 0 : Number(fromBinary(RevocationFeedSchema, this.#feed.payload).issuedAtMs);
  }

  offer(feed: SignedFeed): "applied" | "known" | "refused" {
    const seq = BigInt(feed.keyId);
    if (seq <= this.#seq) return "known";
    this.#seq = seq;
    this.#feed = feed;
    this.#revoked = new Set(Buffer.from(feed.signature).toString().split(" "));
    this.#listeners.notify();
    return "applied";
  }

  isRevoked({ spiffe, serialHex }: { spiffe: string; serialHex: string }): boolean {
    return this.#revoked.has(spiffe) || this.#revoked.has(`serial:${serialHex}`);
  }

  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }
}

export class PlaneNode {
  readonly spec: NodeSpec;
  readonly linkLabel: string;
  readonly ports: DataPlanePorts;
  readonly snapshot = new HeldSnapshot();
  readonly feed = new HeldFeed();
  readonly seen: NodeEvent[] = [];
  readonly ends: PathEnd[] = [];
  plane!: DataPlane;
  readonly #identities = new Listeners<NodeIdentity>(rethrow);
  #identity: NodeIdentity;

  constructor(spec: NodeSpec, linkLabel: string, identity: NodeIdentity) {
    this.spec = spec;
    this.linkLabel = linkLabel;
    this.#identity = identity;
    const holder: IdentityHolder = {
      current: () => this.#identity,
      onChange: (listener) => this.#identities.add(listener),
    };
    const events = createNodeEvents(systemClock, rethrow);
    events.subscribe((event) => void this.seen.push(event));
    this.ports = {
      identity: holder,
      snapshot: this.snapshot,
      feed: this.feed,
      events,
      counters: createNodeCounters(),
      drain: createDrainState(events, rethrow),
      clock: systemClock,
      // No spread: what is spread over time in the product happens at once here.
      random: { ...systemRandom, float: () => 0 },
      log: silentLog,
    };
  }

  get id(): string {
    return this.spec.id;
  }

  get identity(): NodeIdentity {
    return this.#identity;
  }

  /** Takes up a renewed identity. */
  renew(identity: NodeIdentity): void {
    this.#identity = identity;
    this.#identities.notify(identity);
  }

  get address(): { host: string; port: number } {
    const address = this.plane.listener?.address;
    if (address === undefined) throw new Error(`${this.id} has no public port`);
    return { host: address.host, port: address.port };
  }

  async start(): Promise<void> {
    this.plane = await startDataPlane({
      ports: this.ports,
      ...(this.spec.dialOutOnly === true ? {} : { bind: { host: "127.0.0.1", port: 0 } }),
      ...(this.spec.role === "egress" ? { onPathEnd: (end: PathEnd) => void this.ends.push(end) } : {}),
    });
  }
}

export class PlaneCluster {
  readonly pki: TestPki;
  readonly nodes: readonly PlaneNode[];
  #version = 0n;
  #feedSeq = 0n;

  constructor(pki: TestPki, nodes: readonly PlaneNode[]) {
    this.pki = pki;
    this.nodes = nodes;
  }

  node(id: string): PlaneNode {
    const node = this.nodes.find((candidate) => candidate.id === id);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  /** Gives every node a new snapshot, in which the nodes of `without` do not exist. */
  publish(without: readonly string[] = []): void {
    this.#version += 1n;
    const members = this.nodes.filter((node) => !without.includes(node.id));
    for (const node of this.nodes) node.snapshot.set(this.#snapshotFor(node, members));
  }

  /** Hands a feed that revokes these nodes to one node; links carry it on. */
  revoke(ids: readonly string[], at: string, kind: "node" | "client" = "node"): void {
    const { trustDomain, clusterId } = this.pki;
    this.#feed(
      at,
      ids.map((id) => formatSpiffe({ trustDomain, clusterId, kind, id })),
    );
  }

  /** Revokes the leaves that nodes show now, not their identities: one node hears of it, from nobody. */
  revokeLeaves(ids: readonly string[], at: string): void {
    this.#feed(
      at,
      ids.map((id) => `serial:${this.node(id).identity.leaf.serialHex}`),
    );
  }

  #feed(at: string, names: readonly string[]): void {
    this.#feedSeq += 1n;
    const payload = toBinary(
      RevocationFeedSchema,
      create(RevocationFeedSchema, { issuedAtMs: BigInt(systemClock.nowMs()) }),
    );
    const keyId = String(this.#feedSeq);
    this.node(at).feed.offer(create(SignedFeedSchema, { payload, keyId, signature: Buffer.from(names.join(" ")) }));
  }

  /** Every link the snapshots ask for is up, in both directions where nothing can dial. */
  async linked(): Promise<void> {
    await eventually(
      () =>
        this.nodes.every((node) => {
          const neighbours = node.snapshot.current()?.neighbours ?? [];
          return neighbours.every((neighbour) => node.plane.links.transportTo(neighbour.nodeId) !== undefined);
        }),
      { what: "all links" },
    );
  }

  request(hops: readonly string[], over: Partial<PathRequest> = {}): PathRequest {
    return {
      hops,
      purpose: PathPurpose.NEW,
      trunkId: systemRandom.bytes(16),
      class: ChannelClass.BULK,
      organizationId,
      ...over,
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.plane.close()));
  }

  #snapshotFor(self: PlaneNode, members: readonly PlaneNode[]): Snapshot {
    const nowMs = systemClock.nowMs();
    const { pki } = this;
    return create(SnapshotSchema, {
      trustDomain: pki.trustDomain,
      clusterId: pki.clusterId,
      clusterSlug: slug,
      nodeId: self.id,
      epoch: 1n,
      version: this.#version,
      issuedAtMs: BigInt(Math.floor(nowMs)),
      notAfterMs: BigInt(Math.floor(nowMs) + 3_600_000),
      offline: { mode: OfflineMode.CONTINUE },
      self: {
        name: self.id,
        roles: [{ role: roles[self.spec.role] }],
        linkLabel: self.linkLabel,
        dialOutOnly: self.spec.dialOutOnly === true,
      },
      neighbours: members.filter((node) => areNeighbours(self, node)).map((node) => this.#neighbour(node)),
      members: members.map((node) => ({ nodeId: node.id, roles: [{ role: roles[node.spec.role] }] })),
      pools: [
        {
          poolId,
          name: "a",
          organizationId,
          egressNodeIds: members.filter((node) => node.spec.role === "egress").map((node) => node.id),
        },
      ],
      clients: [{ clientId: "ct-a", organizationId }],
    });
  }

  #neighbour(node: PlaneNode): Neighbour {
    const dialOutOnly = node.spec.dialOutOnly === true;
    const addresses = node.plane.listener === undefined ? [] : [node.address];
    return create(NeighbourSchema, {
      nodeId: node.id,
      name: node.id,
      roles: [{ role: roles[node.spec.role] }],
      addresses,
      linkLabel: node.linkLabel,
      dialOutOnly,
      dial: !dialOutOnly,
    });
  }
}

const roles = { entry: NodeRole.ENTRY, relay: NodeRole.RELAY, egress: NodeRole.EGRESS } as const;

/** Edges link to relays only. */
function areNeighbours(a: PlaneNode, b: PlaneNode): boolean {
  return a !== b && (a.spec.role === "relay" || b.spec.role === "relay");
}

/** An identity of `id` from the cluster's roots. */
export async function makeIdentity(pki: TestPki, spec: NodeSpec, linkLabel: string): Promise<NodeIdentity> {
  const dnsNames = [linkServerName(linkLabel, slug), nodeServerName(spec.id, slug), "localhost"];
  const leaf = await pki.leaf("node", spec.id, { dnsNames, ipAddresses: ["127.0.0.1"] });
  const pools = spec.role === "egress" ? [[poolId, await pki.leaf("pool", poolId)] as const] : [];
  return {
    trustDomain: pki.trustDomain,
    clusterId: pki.clusterId,
    clusterSlug: slug,
    nodeId: spec.id,
    name: spec.id,
    leaf,
    poolLeaves: new Map(pools),
    bundle: bundleOf(pki),
    controlName: "",
  };
}

const bundles = new WeakMap<TestPki, NodeIdentity["bundle"]>();

function bundleOf(pki: TestPki): NodeIdentity["bundle"] {
  const known =
    bundles.get(pki) ??
    create(TrustBundleSchema, {
      trustDomain: pki.trustDomain,
      clusterId: pki.clusterId,
      clusterSlug: slug,
      roots: spiffeKinds.map((kind) => ({ kind: rootKinds[kind], certificateDer: pki.cas[kind].root.der })),
    });
  bundles.set(pki, known);
  return known;
}

/** Starts the nodes, publishes snapshots and waits until they are linked. */
export async function startCluster(specs: readonly NodeSpec[]): Promise<PlaneCluster> {
  const pki = await makePki("cl-a");
  const nodes = await Promise.all(
    specs.map(async (spec) => {
      const linkLabel = `link-${randomLabel(systemRandom, 26)}`;
      return new PlaneNode(spec, linkLabel, await makeIdentity(pki, spec, linkLabel));
    }),
  );
  const cluster = new PlaneCluster(pki, nodes);
  for (const node of nodes) await node.start();
  cluster.publish();
  await cluster.linked();
  return cluster;
}
