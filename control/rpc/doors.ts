/**
 * The doors of control: per cluster one for joining hosts and one for nodes, and one for operators. Each is a TLS server
 * object with exactly one root; the server name picks it before TLS. Certificates of this replica are issued here, from
 * the cluster's control root, with a key that never leaves the process, and replaced at a third of their life.
 *
 * C1. Roots are read again every `limits.doorsRefreshMs`, so a rotated root reaches every door without a restart; more often
 *     where leaves live so short that they would be renewed late.
 * C2. A name of no cluster costs at most one look at the store per second, whoever asks. A new cluster announces itself.
 */

import { isIP } from "node:net";
import type { IssuedLeaf } from "../../certs/ca.ts";
import type { Expectation } from "../../certs/judge.ts";
import { generateP256, privateKeyPem } from "../../certs/keys.ts";
import { leafDueMs, withinLife } from "../../certs/leaf-life.ts";
import { type LeafOf, leafOfKind, type RootsOf } from "../../certs/material.ts";
import { INSTALLATION } from "../../certs/spiffe.ts";
import { parseServerName } from "../../fabric/server-names.ts";
import type { Timer } from "../../lib/clock.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { sourcePrefix } from "../../lib/source-prefix.ts";
import { anonymousCaller, type Verdict } from "../../rpc/caller.ts";
import { FailedHandshakes } from "../../rpc/failed-handshakes.ts";
import type { Surface } from "../../rpc/surface.ts";
import type { Allowlist } from "../domain/allowlist.ts";
import type { Authority } from "../domain/authority.ts";
import { controlLeafOrder, issueAndRecord } from "../domain/issue.ts";
import { CLUSTERS_TOPIC } from "../hints/hints.ts";
import { audited } from "../store/audit.ts";
import { activeKeyId } from "../store/authorities.ts";
import { forgetReplica, noteReplica } from "../store/bundle-acks.ts";
import { type ClusterRow, listClusters } from "../store/clusters.ts";
import type { StoreContext } from "../store/context.ts";
import { type AnyDoor, Door } from "./door.ts";
import { HandshakeQueue } from "./handshake-queue.ts";
import { judgeKnock } from "./judge.ts";
import type { ControlSurfaces } from "./surfaces.ts";

export interface DoorsOptions {
  readonly ctx: StoreContext;
  readonly authority: Authority;
  readonly allowlist: Allowlist;
  readonly surfaces: ControlSurfaces;
  readonly trustDomain: string;
  /** Names this replica in its certificates. */
  readonly replicaId: string;
  readonly publicHosts: readonly string[];
}

/** One cluster's material, replaced as a whole. */
interface ClusterTrust {
  leaf: LeafOf<"control">;
  /** Key id of the root that the leaf is from. */
  issuerKeyId: string;
  roots: RootsOf<"node">;
}

interface ClusterDoors {
  readonly cluster: ClusterRow;
  readonly trust: ClusterTrust;
  readonly join: Door<"join">;
  readonly nodes: Door<"control-node">;
}

export class ControlDoors {
  readonly #options: DoorsOptions;
  readonly #queue = new HandshakeQueue();
  readonly #operatorQueue = new HandshakeQueue();
  /** Of all doors: a stranger at one is the same stranger at another. */
  readonly #failures: FailedHandshakes;
  readonly #bySlug = new Map<string, ClusterDoors>();
  readonly #expectations = new Map<string, Expectation<"node">>();
  #operators: { roots: RootsOf<"operator">; door: Door<"operator"> } | undefined;
  #defaultSlug = "";
  #listedAtMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #closed = false;
  /** Every leaf is replaced at the next refresh. */
  #renewAll = false;
  #unsubscribe: (() => void) | undefined;
  #refreshing: Promise<void> | undefined;
  /** Something changed after the refresh under way had read. */
  #stale = false;

  constructor(options: DoorsOptions) {
    this.#options = options;
    this.#failures = new FailedHandshakes(options.ctx.clock);
  }

  get replicaId(): string {
    return this.#options.replicaId;
  }

  /** Opens the doors of every cluster. Rejects when the store or its keys say no. */
  async open(): Promise<void> {
    const { clock, hints, log } = this.#options.ctx;
    const refresh = (): void => {
      this.refresh().catch((error: unknown) => {
        log.warn("the doors could not be refreshed", { error: messageOf(error) });
      });
    };
    this.#unsubscribe = hints.subscribe(CLUSTERS_TOPIC, () => {
      this.#stale = true;
      refresh();
    });
    await this.refresh();
    const again = (): void => {
      if (this.#closed) return;
      this.#timer = clock.after(this.#refreshInMs(), () => {
        refresh();
        again();
      });
    };
    again();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#unsubscribe?.();
  }

  /** Rotations no longer wait for this replica. After `close`. */
  async forget(): Promise<void> {
    await this.#refreshing?.catch(() => {});
    await forgetReplica(this.#options.ctx.sql, this.#options.replicaId);
  }

  /** Replaces every certificate of this replica at once, whenever they are due. Rejects as `refresh` does. */
  async renewNow(): Promise<void> {
    this.#renewAll = true;
    this.#stale = true;
    await this.refresh();
  }

  /** A twelfth of the shortest leaf's life, at most. */
  #refreshInMs(): number {
    const lives = [...this.#bySlug.values()].map(({ trust }) => withinLife(trust.leaf, limits.doorsRefreshMs, 1 / 12));
    return Math.min(limits.doorsRefreshMs, ...lives);
  }

  /** Adds new clusters, renews certificates that are due, takes over changed roots (C1). */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refreshUntilFresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refreshUntilFresh(): Promise<void> {
    do await this.#refresh();
    while (this.#stale);
  }

  async #refresh(): Promise<void> {
    const { ctx } = this.#options;
    this.#stale = false;
    const renewAll = this.#renewAll;
    this.#listedAtMs = ctx.clock.monoMs();
    const clusters = await listClusters(ctx.sql);
    this.#defaultSlug = clusters[0]?.slug ?? "";
    for (const cluster of clusters) {
      const doors = this.#bySlug.get(cluster.slug);
      if (doors === undefined) this.#bySlug.set(cluster.slug, await this.#openCluster(cluster));
      else await this.#refreshCluster(doors, cluster);
    }
    if (renewAll) this.#renewAll = false;
    await this.#refreshOperators();
  }

  /** The public port: by server name; no name, an address or this host's own name is the first cluster's node door. */
  async publicDoor(serverName: string | undefined): Promise<AnyDoor | undefined> {
    const name = serverName === undefined ? undefined : parseServerName(serverName);
    if (name === undefined) {
      if (serverName !== undefined && !this.#isOwnHost(serverName)) return undefined;
      return this.#bySlug.get(this.#defaultSlug)?.nodes;
    }
    if (name.kind !== "join" && name.kind !== "control") return undefined;
    const doors = this.#bySlug.get(name.slug) ?? (await this.#lookAgain(name.slug));
    return name.kind === "join" ? doors?.join : doors?.nodes;
  }

  /** The operator port: one door, whatever name was asked for. */
  operatorDoor(): AnyDoor | undefined {
    return this.#operators?.door;
  }

  /** What is expected of a node of this cluster; its roots follow the refreshes. */
  expectNode(clusterId: string): Expectation<"node"> | undefined {
    return this.#expectations.get(clusterId);
  }

  expectOperator(): Expectation<"operator"> {
    const { trustDomain, ctx } = this.#options;
    const roots = (): RootsOf<"operator"> => {
      if (this.#operators === undefined) throw new WeftError("unavailable", "no operator root yet");
      return this.#operators.roots;
    };
    return {
      kind: "operator",
      trustDomain,
      clusterId: INSTALLATION,
      get roots() {
        return roots();
      },
      nowMs: () => ctx.clock.nowMs(),
    };
  }

  #isOwnHost(serverName: string): boolean {
    const name = serverName.toLowerCase();
    return (
      name === "localhost" || isIP(name) !== 0 || this.#options.publicHosts.some((host) => host.toLowerCase() === name)
    );
  }

  async #lookAgain(slug: string): Promise<ClusterDoors | undefined> {
    const listedAgoMs = this.#options.ctx.clock.monoMs() - this.#listedAtMs;
    if (this.#refreshing === undefined && listedAgoMs < limits.doorsLookAgainMs) return undefined; // C2
    await this.refresh();
    return this.#bySlug.get(slug);
  }

  async #openCluster(cluster: ClusterRow): Promise<ClusterDoors> {
    const { ctx, allowlist, surfaces, trustDomain, authority } = this.#options;
    const trust: ClusterTrust = {
      ...(await this.#issue(cluster)),
      roots: await authority.roots(cluster.id, "node"),
    };
    const expect: Expectation<"node"> = {
      kind: "node",
      trustDomain,
      clusterId: cluster.id,
      get roots() {
        return trust.roots;
      },
      nowMs: () => ctx.clock.nowMs(),
    };
    this.#expectations.set(cluster.id, expect);
    const shared = { queue: this.#queue, failures: this.#failures, clock: ctx.clock, log: ctx.log };
    const join = new Door({
      ...shared,
      kind: "join",
      material: { identity: trust.leaf },
      judge: async (socket) => joiner(socket.remoteAddress ?? "", cluster.id, surfaces.join),
      surface: surfaces.join,
    });
    const nodes = new Door({
      ...shared,
      kind: "control-node",
      material: { identity: trust.leaf, trust: trust.roots },
      judge: (socket) => judgeKnock(socket, { expect, arrivedBy: "control" }, allowlist),
      surface: surfaces.control,
    });
    await this.#noteTrust(cluster, trust);
    return { cluster, trust, join, nodes };
  }

  /** `fresh`: the cluster as it was read before its roots are. */
  async #refreshCluster({ trust, join, nodes }: ClusterDoors, fresh: ClusterRow): Promise<void> {
    const { authority, ctx } = this.#options;
    const roots = await authority.roots(fresh.id, "node");
    const signs = await activeKeyId(ctx.sql, fresh.id, "control");
    const due = this.#isDue(trust.leaf) || signs !== trust.issuerKeyId;
    if (roots !== trust.roots || due) await this.#replaceTrust({ trust, join, nodes }, fresh, roots, due);
    await this.#noteTrust(fresh, trust);
  }

  /** What a rotation waits for: this replica believes by that bundle, or a newer one. */
  async #noteTrust({ id: clusterId, bundleVersion }: ClusterRow, { issuerKeyId }: ClusterTrust): Promise<void> {
    const { ctx, replicaId } = this.#options;
    await noteReplica(ctx.sql, { replicaId, clusterId, bundleVersion, controlIssuerKeyId: issuerKeyId });
  }

  async #replaceTrust(
    { trust, join, nodes }: Omit<ClusterDoors, "cluster">,
    cluster: ClusterRow,
    roots: RootsOf<"node">,
    due: boolean,
  ): Promise<void> {
    if (due) Object.assign(trust, await this.#issue(cluster));
    trust.roots = roots;
    join.rotate({ identity: trust.leaf });
    nodes.rotate({ identity: trust.leaf, trust: roots });
  }

  async #refreshOperators(): Promise<void> {
    const { authority, surfaces, allowlist, ctx } = this.#options;
    const leaf = this.#bySlug.get(this.#defaultSlug)?.trust.leaf;
    if (leaf === undefined) return;
    const roots = await authority.roots(INSTALLATION, "operator");
    if (this.#operators !== undefined) {
      this.#operators.roots = roots;
      this.#operators.door.rotate({ identity: leaf, trust: roots });
      return;
    }
    const expect = this.expectOperator();
    const door = new Door({
      kind: "operator",
      material: { identity: leaf, trust: roots },
      judge: (socket) => judgeKnock(socket, { expect, arrivedBy: "operator-port" }, allowlist),
      surface: surfaces.operator,
      queue: this.#operatorQueue,
      failures: this.#failures,
      clock: ctx.clock,
      log: ctx.log,
    });
    this.#operators = { roots, door };
  }

  #isDue(leaf: LeafOf<"control">): boolean {
    return this.#renewAll || this.#options.ctx.clock.nowMs() >= leafDueMs(leaf);
  }

  async #issue(cluster: ClusterRow): Promise<Pick<ClusterTrust, "leaf" | "issuerKeyId">> {
    const { ctx, authority, trustDomain, replicaId, publicHosts } = this.#options;
    const keys = generateP256();
    const order = controlLeafOrder(cluster, { id: replicaId, publicHosts }, keys.spkiDer);
    const leaf = await audited<IssuedLeaf>(
      ctx.sql,
      (issued) => ({
        actor: "system",
        action: "certificate.issued",
        object: `control/${replicaId}`,
        clusterId: cluster.id,
        after: { serial: issued.serialHex, notAfterMs: issued.notAfterMs },
      }),
      (tx) => issueAndRecord(tx, { ctx, authority, trustDomain }, order),
    );
    const { issuerKeyId } = leaf;
    return { leaf: leafOfKind("control", privateKeyPem(keys.privateKey), leaf.certificateDer), issuerKeyId };
  }
}

/** A stranger costs a session for as long as it may last: a bounded number is held, in all and per source (LAW-R3). */
function joiner(address: string, clusterId: string, surface: Surface): Verdict {
  const source = sourcePrefix(address);
  let ofSource = 0;
  for (const { caller } of surface.sessions()) if (sourcePrefix(caller.sourceAddress) === source) ofSource += 1;
  const full = surface.sessionCount() >= limits.joiningSessionsMaxCount;
  if (full || ofSource >= limits.joiningSessionsPerSourceMaxCount) return { refused: "JOIN_SESSIONS" };
  return anonymousCaller(address, "join", clusterId);
}
