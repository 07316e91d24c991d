/**
 * weft.routing.v1.RoutingService: the engine nodes decide with, over the snapshot that node would hold, with that node's own
 * newest measurements on top. An entry learns paths for resources it serves and nothing about others (C3).
 */

import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { hasRole } from "../../fabric/members.ts";
import { explainRoutes } from "../../fabric/routing/explain.ts";
import { graphOf, type MeshGraph, type RouteNeed } from "../../fabric/routing/graph.ts";
import { chooseRoute } from "../../fabric/routing/pick.ts";
import type { ClusterView, ViewResource } from "../../fabric/snapshot/cluster-view.ts";
import { keepLink } from "../../fabric/snapshot/direct.ts";
import { scopeSnapshot } from "../../fabric/snapshot/scope.ts";
import { ChannelClass, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { type RouteLink, RouteLinkSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import type { LinkProof, RoutingService } from "../../gen/weft/routing/v1/routing_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { type Caller, nodeOf } from "../../rpc/caller.ts";
import type { LinkValues } from "../domain/measurements.ts";
import type { SnapshotSource } from "../domain/snapshot.ts";
import { requireCluster } from "../store/clusters.ts";
import type { StoreContext } from "../store/context.ts";
import { type LinkProofRow, linkStates, listProofs, replaceProofs } from "../store/link-proofs.ts";
import { listSamples, recordSamples } from "../store/links.ts";
import { nodeNotFound, requireActiveMember } from "../store/memberships.ts";
import { resourceNotFound } from "../store/resources.ts";
import { explainPolicy, type WantedRoute, wantedRoute } from "./applied-policy.ts";
import { atMost, counter, shortText, within } from "./reports.ts";
import { callerOf, invalid } from "./service-context.ts";

export interface RoutingServiceDeps extends StoreContext {
  readonly snapshots: SnapshotSource;
}

export function routingService(deps: RoutingServiceDeps): ServiceImpl<typeof RoutingService> {
  return {
    async resolveRoutes(request, context) {
      const view = await viewFor(deps, callerOf(context), request.clusterId);
      const fromNodeId = fromOf(callerOf(context), view, request.fromNodeId);
      const { graph, need } = await questionOf(deps, view, fromNodeId, request);
      const { primary, standby } = chooseRoute(graph, need, {});
      return {
        primary: [...(primary?.nodeIds ?? [])],
        standby: [...(standby?.nodeIds ?? [])],
        snapshotEpoch: view.epoch,
        snapshotVersion: view.version,
      };
    },
    async explainRoute(request, context) {
      const caller = callerOf(context);
      const view = await viewFor(deps, caller, request.clusterId);
      const from = request.fromNodeId === "" ? entriesOf(view) : [fromOf(caller, view, request.fromNodeId)];
      const routes = [];
      const failed = new Map(request.failedNodeIds.map((id) => [id, "simulated failure"] as const));
      for (const fromNodeId of from) {
        const serves = request.fromNodeId !== "" || resourcesFor(view, fromNodeId, request).length > 0;
        if (!serves) continue;
        const wanted = await questionOf(deps, view, fromNodeId, request);
        const { graph, need } = wanted;
        const avoid = new Map([...(need.avoid ?? []), ...failed]);
        const fromName = view.nodes.find((node) => node.nodeId === fromNodeId)?.name ?? "";
        routes.push({
          fromNodeId,
          fromName,
          candidates: explainRoutes(graph, { ...need, avoid }),
          ...explainPolicy(view, wanted, request.resource),
        });
      }
      if (routes.length === 0) throw resourceNotFound();
      return { routes, snapshotEpoch: view.epoch, snapshotVersion: view.version };
    },
    async reportLinks(request, context) {
      const { nodeId, clusterId } = nodeOf(callerOf(context));
      const samples = atMost("links", request.links, limits.reportedLinksMaxCount).map((link) =>
        sampleOf(nodeId, link),
      );
      await requireActiveMember(deps.sql, deps.seal, clusterId, nodeId);
      const { view } = await deps.snapshots.view(clusterId);
      const known = samples.filter(({ toNodeId }) => isNeighbour(view, nodeId, toNodeId));
      // A link that has just ended is no reason to lose the others' measurements.
      if (known.length === 0 && samples.length > 0) throw nodeNotFound();
      const proofs = atMost("proofs", request.proofs, limits.reportedLinksMaxCount)
        .map((proof) => proofOf(nodeId, proof))
        .filter(({ toNodeId }) => isNeighbour(view, nodeId, toNodeId));
      await recordSamples(deps.sql, clusterId, newestPerLink(known));
      await replaceProofs(deps.sql, clusterId, nodeId, [...new Map(proofs.map((one) => [one.toNodeId, one])).values()]);
      return {};
    },
    async listLinks(request) {
      const cluster = await requireCluster(deps.sql, request.clusterId);
      const rows = await listProofs(deps.sql, cluster.id, request.nodeId);
      return {
        links: rows.map((row) => ({
          ...row,
          lastSuccessAtMs: BigInt(row.lastSuccessAtMs),
          lastFailureAtMs: BigInt(row.lastFailureAtMs),
          reportedAtMs: BigInt(row.reportedAtMs),
        })),
      };
    },
  };
}

/** The view a caller may ask about: operators any cluster's, a node its own. */
async function viewFor(deps: RoutingServiceDeps, caller: Caller, clusterId: string): Promise<ClusterView> {
  if (caller.kind === "operator") {
    const cluster = await requireCluster(deps.sql, clusterId);
    return (await deps.snapshots.view(cluster.id)).view;
  }
  const own = nodeOf(caller);
  if (clusterId !== "" && clusterId !== own.clusterId) {
    throw new WeftError("not_found", "no such cluster", { detail: "CLUSTER_NOT_FOUND" });
  }
  await requireActiveMember(deps.sql, deps.seal, own.clusterId, own.nodeId);
  return (await deps.snapshots.view(own.clusterId)).view;
}

/** The node to start from: the calling one, or the one (id or name) an operator named. */
function fromOf(caller: Caller, view: ClusterView, asked: string): string {
  if (caller.kind === "node") {
    const { nodeId } = nodeOf(caller);
    if (asked !== "" && asked !== nodeId) throw nodeNotFound();
    return nodeId;
  }
  if (asked === "") throw invalid("from_node_id", "name the node to start from");
  const node = view.nodes.find((each) => each.nodeId === asked) ?? view.nodes.find((each) => each.name === asked);
  if (node === undefined) throw nodeNotFound();
  return node.nodeId;
}

function entriesOf(view: ClusterView): readonly string[] {
  return view.nodes.filter((node) => hasRole(node.roles, NodeRole.ENTRY, undefined)).map((node) => node.nodeId);
}

interface Question {
  readonly resource: string;
  readonly organizationId: string;
  readonly class: ChannelClass;
  /** Instead of a resource: the egress of a trunk. */
  readonly farNodeId?: string;
}

/** Resources of that name or id which this entry serves; an organization narrows it to one. */
function resourcesFor(view: ClusterView, fromNodeId: string, asked: Question): readonly ViewResource[] {
  const grants = view.nodes.find((node) => node.nodeId === fromNodeId)?.roles ?? [];
  return view.resources
    .filter((each) => each.name === asked.resource || each.resourceId === asked.resource)
    .filter((each) => asked.organizationId === "" || each.organizationId === asked.organizationId)
    .filter((each) => hasRole(grants, NodeRole.ENTRY, each.organizationId));
}

/** Dates decide nothing about routes. */
const undated = { issuedAtMs: 0, notAfterMs: 0 };

/** The graph the node plans over, with its newest measurements in front. */
async function graphFrom(deps: RoutingServiceDeps, view: ClusterView, fromNodeId: string): Promise<MeshGraph> {
  const own = await listSamples(deps.sql, view.clusterId, fromNodeId);
  return graphOf(scopeSnapshot(view, fromNodeId, undated), own.map(linkMessage));
}

/** What the entry would decide: over its own snapshot, with the intents in it. */
async function questionOf(
  deps: RoutingServiceDeps,
  view: ClusterView,
  fromNodeId: string,
  asked: Question,
): Promise<WantedRoute> {
  const { graph, need } = await plainQuestion(deps, view, fromNodeId, asked);
  return wantedRoute(graph, need, scopeSnapshot(view, fromNodeId, undated), deps.clock.nowMs());
}

async function plainQuestion(
  deps: RoutingServiceDeps,
  view: ClusterView,
  fromNodeId: string,
  asked: Question,
): Promise<{ readonly graph: MeshGraph; readonly need: RouteNeed }> {
  const graph = await graphFrom(deps, view, fromNodeId);
  const { organizationId, farNodeId } = asked;
  const base = { clusterId: view.clusterId, fromNodeId };
  if (farNodeId !== undefined && farNodeId !== "") {
    const channelClass = asked.class === ChannelClass.UNSPECIFIED ? ChannelClass.INTERACTIVE : asked.class;
    return { graph, need: { ...base, toNodeIds: [farNodeId], organizationId, class: channelClass } };
  }
  const [resource, other] = resourcesFor(view, fromNodeId, asked);
  if (resource === undefined) throw resourceNotFound();
  if (other !== undefined) {
    const message = "several organizations have a resource of that name: name the organization";
    throw new WeftError("failed_precondition", message, { detail: "AMBIGUOUS_NAME" });
  }
  const pool = scopeSnapshot(view, fromNodeId, undated).pools.find((each) => each.poolId === resource.poolId);
  return {
    graph,
    need: {
      ...base,
      toNodeIds: pool?.egressNodeIds ?? [],
      organizationId: resource.organizationId,
      class: asked.class === ChannelClass.UNSPECIFIED ? resource.defaultClass : asked.class,
    },
  };
}

function linkMessage({ measuredAtMs, ...values }: LinkValues): RouteLink {
  return create(RouteLinkSchema, { ...values, measuredAtMs: BigInt(measuredAtMs) });
}

/** A sample of the caller's own; an input that was not measured stays absent. */
function sampleOf(nodeId: string, link: RouteLink): LinkValues {
  if (link.fromNodeId !== "" && link.fromNodeId !== nodeId) throw nodeNotFound();
  const check = (field: string, value: number | undefined, max: number): number | undefined =>
    value === undefined ? undefined : within(field, value, 0, max);
  const measured = {
    rttMs: check("rtt_ms", link.rttMs, Number.MAX_SAFE_INTEGER),
    jitterMs: check("jitter_ms", link.jitterMs, Number.MAX_SAFE_INTEGER),
    lossShare: check("loss_share", link.lossShare, 1),
    reliabilityShare: check("reliability_share", link.reliabilityShare, 1),
    bandwidthBytesPerSecond: check("bandwidth_bytes_per_second", link.bandwidthBytesPerSecond, Number.MAX_SAFE_INTEGER),
    recentFailures: check("recent_failures", link.recentFailures, Number.MAX_SAFE_INTEGER),
  };
  const present = Object.fromEntries(Object.entries(measured).filter(([, value]) => value !== undefined));
  const measuredAtMs = counter("measured_at_ms", link.measuredAtMs);
  return { ...present, fromNodeId: nodeId, toNodeId: link.toNodeId, measuredAtMs };
}

/** One end's word about a link of its own. */
function proofOf(nodeId: string, proof: LinkProof): LinkProofRow {
  if (proof.fromNodeId !== "" && proof.fromNodeId !== nodeId) throw nodeNotFound();
  const state = linkStates.find((each) => each === proof.state);
  if (state === undefined) throw invalid("state", "state is none a link can be in");
  return {
    fromNodeId: nodeId,
    toNodeId: proof.toNodeId,
    state,
    reverse: proof.reverse,
    lastSuccessAtMs: counter("last_success_at_ms", proof.lastSuccessAtMs),
    lastFailure: shortText("last_failure", proof.lastFailure),
    lastFailureAtMs: counter("last_failure_at_ms", proof.lastFailureAtMs),
  };
}

/** Who is not linked to the caller does not exist for it. */
function isNeighbour(view: ClusterView, nodeId: string, toNodeId: string): boolean {
  const from = view.nodes.find((node) => node.nodeId === nodeId);
  const to = view.nodes.find((node) => node.nodeId === toNodeId);
  return from !== undefined && to !== undefined && keepLink(view, from, to);
}

/** One statement may write a row once. */
function newestPerLink(samples: readonly LinkValues[]): readonly LinkValues[] {
  const newest = new Map<string, LinkValues>();
  for (const sample of samples) {
    const before = newest.get(sample.toNodeId);
    if (before === undefined || before.measuredAtMs <= sample.measuredAtMs) newest.set(sample.toNodeId, sample);
  }
  return [...newest.values()];
}
