/** What of a cluster's offline policies a snapshot says: the cluster's own, and what differs from it. */

import {
  boundsOf,
  boundsToWire,
  defaultTerms,
  type OfflineBounds,
  type OfflineTerms,
  pathBounds,
  ruleFor,
  sameBounds,
} from "../offline.ts";
import type { ClusterView, ViewResource } from "./cluster-view.ts";

/** What they depend on. */
export type OfflineView = Pick<ClusterView, "offline" | "resources">;

const whole = { organizationId: "", resourceId: "" };

function clusterTerms({ offline }: Pick<ClusterView, "offline">): OfflineTerms {
  return ruleFor(offline, whole)?.terms ?? defaultTerms;
}

function policyFields({ mode, continueForMs, graceMs }: OfflineTerms) {
  return { mode, continueForMs: BigInt(continueForMs), graceMs: BigInt(graceMs) };
}

/** What counts wherever nothing else is said. */
export function clusterPolicy(view: Pick<ClusterView, "offline">): ReturnType<typeof policyFields> {
  return policyFields(clusterTerms(view));
}

/** Bounds of the paths of those organizations whose paths have others than the cluster's policy gives. */
export function pathOffline(view: OfflineView, isCovered: (organizationId: string) => boolean) {
  return deviantPaths(view)
    .filter(({ organizationId }) => isCovered(organizationId))
    .map(({ organizationId, bounds }) => ({ organizationId, ...boundsToWire(bounds) }));
}

/** Policies of those resources whose channels keep another one than the cluster's. */
export function resourceOffline(view: OfflineView, isKnown: (resource: ViewResource) => boolean) {
  const rules = view.offline;
  if (rules.length === 0) return [];
  const wide = boundsOf(clusterTerms(view));
  return view.resources.filter(isKnown).flatMap((resource) => {
    const terms = ruleFor(rules, resource)?.terms;
    if (terms === undefined || sameBounds(boundsOf(terms), wide)) return [];
    return [{ resourceId: resource.resourceId, policy: policyFields(terms) }];
  });
}

interface Deviant {
  readonly organizationId: string;
  readonly bounds: OfflineBounds;
}

/** The same for every node of a view. */
const deviantsOfView = new WeakMap<OfflineView, readonly Deviant[]>();

function deviantPaths(view: OfflineView): readonly Deviant[] {
  const known = deviantsOfView.get(view);
  if (known !== undefined) return known;
  const rules = view.offline;
  const wide = boundsOf(clusterTerms(view));
  const byOrganization = Map.groupBy(view.resources, ({ organizationId }) => organizationId);
  const named =
    rules.length === 0 ? [] : [...rules.map(({ organizationId }) => organizationId), ...byOrganization.keys()];
  const deviants = [...new Set(named)]
    .filter((organizationId) => organizationId !== "")
    .sort()
    .flatMap((organizationId) => {
      const resourceIds = (byOrganization.get(organizationId) ?? []).map(({ resourceId }) => resourceId);
      const bounds = pathBounds(rules, organizationId, resourceIds);
      return sameBounds(bounds, wide) ? [] : [{ organizationId, bounds }];
    });
  deviantsOfView.set(view, deviants);
  return deviants;
}
