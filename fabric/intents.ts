/**
 * Route intents as constraints of a route: pure, the same in nodes (to decide) and in control (to explain).
 *
 * IN1. An intent counts for a route when its organization, source and time fit and it is about something the route leads to:
 *      everything, the pool, or a resource (or class of service) that is reached through one of the route's far edges on
 *      the route's lane. Resources behind one egress share paths, so what one of them wants holds for all that share.
 * IN2. AVOID and REQUIRE_REGION are filters: with nothing else left, there is no path. PREFER only costs what does not fit.
 * IN3. No intent gives a right: it names nodes the entry may use anyway, or takes some away. DIRECT allows a path without a
 *      relay; the egress lets it in from its own snapshot (`fabric/path/authorize.ts`).
 */

import { ChannelClass, IntentAction, ServiceClass } from "../gen/weft/fabric/v1/role_pb.ts";
import type { ResourceRoute, RouteIntent, RouteNode, Snapshot } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import type { RouteNeed } from "./routing/graph.ts";

/** The parts of a snapshot that intents and what they are about are in. */
export type IntentSource = Pick<Snapshot, "routeIntents" | "resourceRoutes" | "pools">;

export interface IntentQuestion {
  readonly fromNodeId: string;
  readonly organizationId: string;
  /** The far edges the route may lead to. */
  readonly toNodeIds: readonly string[];
  readonly class: ChannelClass;
  readonly nowMs: number;
}

/** An intent that counts, and the names of the resources that make it count (none: it is about everything). */
export interface MatchedIntent {
  readonly intent: RouteIntent;
  readonly resources: readonly string[];
}

/** The intents that count for a route, in the order of their ids (IN1). */
export function matchIntents(source: IntentSource, question: IntentQuestion): MatchedIntent[] {
  const { fromNodeId, organizationId, nowMs } = question;
  const candidates = source.routeIntents.filter(
    (intent) =>
      (intent.organizationId === "" || intent.organizationId === organizationId) &&
      (intent.sourceNodeId === "" || intent.sourceNodeId === fromNodeId) &&
      (intent.expiresAtMs === 0n || Number(intent.expiresAtMs) > nowMs),
  );
  if (candidates.length === 0) return [];
  const pools = new Set(
    source.pools
      .filter((pool) => pool.organizationId === organizationId)
      .filter((pool) => pool.egressNodeIds.some((id) => question.toNodeIds.includes(id)))
      .map((pool) => pool.poolId),
  );
  const reached = source.resourceRoutes.filter((resource) => onRoute(resource, question, pools));
  return candidates
    .flatMap((intent) => {
      const resources = aboutWhat(intent, reached, pools);
      return resources === undefined ? [] : [{ intent, resources }];
    })
    .sort((a, b) => (a.intent.intentId < b.intent.intentId ? -1 : 1));
}

function onRoute(resource: ResourceRoute, question: IntentQuestion, pools: ReadonlySet<string>): boolean {
  const bulk = question.class === ChannelClass.BULK;
  return (
    resource.organizationId === question.organizationId &&
    pools.has(resource.poolId) &&
    [resource.defaultClass, ...resource.allowedClasses].some((each) => (each === ChannelClass.BULK) === bulk)
  );
}

/** Names of the resources the intent is about, none when it is about everything; undefined when about nothing here. */
function aboutWhat(
  intent: RouteIntent,
  reached: readonly ResourceRoute[],
  pools: ReadonlySet<string>,
): string[] | undefined {
  if (intent.poolId !== "" && !pools.has(intent.poolId)) return undefined;
  if (intent.resourceId === "" && intent.serviceClass === ServiceClass.UNSPECIFIED) return [];
  const names = reached
    .filter((resource) => intent.poolId === "" || resource.poolId === intent.poolId)
    .filter((resource) => intent.resourceId === "" || resource.resourceId === intent.resourceId)
    .filter((resource) => intent.serviceClass === 0 || resource.serviceClass === intent.serviceClass)
    .map((resource) => resource.name);
  return names.length === 0 ? undefined : names.sort();
}

/** A need with what intents want on top. The same need again when none counts. */
export function needWithIntents(
  need: RouteNeed,
  nodes: Iterable<RouteNode>,
  matched: readonly MatchedIntent[],
): RouteNeed {
  if (matched.length === 0) return need;
  const avoid = new Map(need.avoid);
  const prefer = new Set<string>();
  const list = [...nodes].filter((node) => node.nodeId !== need.fromNodeId);
  let direct = need.direct === true;
  for (const { intent } of matched) {
    const meant = (node: RouteNode): boolean =>
      intent.nodeId === "" ? node.region === intent.region : node.nodeId === intent.nodeId;
    const why = `route intent ${intent.name}`;
    for (const node of list) {
      if (intent.action === IntentAction.AVOID && meant(node)) avoid.set(node.nodeId, `${why}: to be avoided`);
      if (intent.action === IntentAction.REQUIRE_REGION && node.region !== intent.region) {
        avoid.set(node.nodeId, `${why}: not in region ${intent.region}`);
      }
      if (intent.action === IntentAction.PREFER && meant(node)) prefer.add(node.nodeId);
    }
    direct ||= intent.action === IntentAction.DIRECT;
  }
  return {
    ...need,
    ...(avoid.size === 0 ? {} : { avoid }),
    ...(prefer.size === 0 ? {} : { prefer }),
    ...(direct ? { direct } : {}),
  };
}

/** What an intent does, as people read it. */
export function effectOf(intent: RouteIntent, nameOf: (nodeId: string) => string): string {
  const subject = intent.nodeId === "" ? `region ${intent.region}` : nameOf(intent.nodeId);
  switch (intent.action) {
    case IntentAction.PREFER:
      return `prefers ${subject}`;
    case IntentAction.AVOID:
      return `avoids ${subject}`;
    case IntentAction.REQUIRE_REGION:
      return `requires region ${intent.region}`;
    case IntentAction.DIRECT:
      return "allows a path without a relay";
    default:
      return "does nothing this version knows";
  }
}
