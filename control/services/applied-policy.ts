/** What operators asked for about a route, as `explain` shows it: the intents that count and the QoS policies that bound it. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { effectOf, type MatchedIntent, matchIntents, needWithIntents } from "../../fabric/intents.ts";
import { type AppliedPolicy, appliedPolicy } from "../../fabric/qos.ts";
import type { MeshGraph, RouteNeed } from "../../fabric/routing/graph.ts";
import type { ClusterView } from "../../fabric/snapshot/cluster-view.ts";
import { type QosPolicy, QosPolicySchema, type Snapshot } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import type { AppliedQosSchema, RouteExplanationSchema } from "../../gen/weft/routing/v1/routing_pb.ts";

/** A question with everything that decides it: what the entry would answer itself. */
export interface WantedRoute {
  readonly graph: MeshGraph;
  readonly need: RouteNeed;
  readonly snapshot: Snapshot;
  readonly intents: readonly MatchedIntent[];
}

/** The question an entry asks itself, with the intents of its snapshot. */
export function wantedRoute(graph: MeshGraph, need: RouteNeed, snapshot: Snapshot, nowMs: number): WantedRoute {
  const intents = matchIntents(snapshot, { ...need, nowMs });
  return { graph, need: needWithIntents(need, graph.nodes.values(), intents), snapshot, intents };
}

type Explained = Pick<MessageInitShape<typeof RouteExplanationSchema>, "intents" | "pathQos" | "channelQos">;

/** The part of an explanation that says what was asked for. `resource` is an id or name, empty for a trunk's route. */
export function explainPolicy(view: ClusterView, wanted: WantedRoute, resource: string): Explained {
  const { need, snapshot, intents } = wanted;
  const { organizationId, class: channelClass } = need;
  const nameOf = (id: string): string => view.nodes.find((node) => node.nodeId === id)?.name ?? id;
  const found = snapshot.resourceRoutes.find(
    (each) => each.organizationId === organizationId && (each.resourceId === resource || each.name === resource),
  );
  const resourceId = found?.resourceId ?? "";
  const path = appliedPolicy(snapshot, { class: channelClass, organizationId });
  const channel = appliedPolicy(snapshot, { class: channelClass, organizationId, resourceId });
  return {
    intents: intents.map(({ intent, resources }) => ({
      intent,
      resources: [...resources],
      effect: effectOf(intent, nameOf),
    })),
    pathQos: qosMessage(path, organizationId, ""),
    channelQos: qosMessage(channel, organizationId, resourceId),
  };
}

function qosMessage(
  applied: AppliedPolicy,
  organizationId: string,
  resourceId: string,
): MessageInitShape<typeof AppliedQosSchema> {
  const { scope, class: channelClass, priority, rate } = applied;
  const policy: QosPolicy = create(QosPolicySchema, {
    class: channelClass,
    priority,
    rateBytesPerSecond: BigInt(Math.floor(rate?.rateBytesPerSecond ?? 0)),
    burstBytes: BigInt(Math.floor(rate?.burstBytes ?? 0)),
    organizationId: scope === "resource" || scope === "organization" ? organizationId : "",
    resourceId: scope === "resource" ? resourceId : "",
  });
  return { scope, policy };
}
