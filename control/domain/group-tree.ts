/**
 * The tree of node groups of one cluster, as a pure question about rows: would a change make a ring, a tree too deep or too
 * large? Rows that already form a ring (nobody but a hand in the database makes one) end a walk instead of hanging it.
 */

import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";

/** A group as a place in the tree. */
export interface GroupPlace {
  readonly id: string;
  readonly name: string;
  /** Null: a root. */
  readonly parentId: string | null;
}

/** The groups above one, nearest first; the walk ends at a root, or where it would come round. */
function ancestors(places: ReadonlyMap<string, GroupPlace>, id: string): readonly string[] {
  const above: string[] = [];
  const seen = new Set([id]);
  for (let at = places.get(id)?.parentId ?? null; at !== null && !seen.has(at); at = places.get(at)?.parentId ?? null) {
    seen.add(at);
    above.push(at);
  }
  return above;
}

/** How many levels hang below a group, itself included. */
function height(places: readonly GroupPlace[], id: string): number {
  const below = Map.groupBy(places, (place) => place.parentId);
  const seen = new Set([id]);
  let levels = 0;
  for (let level = [id]; level.length > 0; levels += 1) {
    level = level.flatMap((at) => (below.get(at) ?? []).map((place) => place.id)).filter((each) => !seen.has(each));
    for (const each of level) seen.add(each);
  }
  return levels;
}

/** Throws `failed_precondition` (GROUP_DEPTH) unless `levels` levels fit below `parentId` (null: they begin at a root). */
function requireDepth(places: readonly GroupPlace[], parentId: string | null, levels: number): void {
  const byId = new Map(places.map((place) => [place.id, place]));
  const above = parentId === null ? 0 : ancestors(byId, parentId).length + 1;
  if (above + levels <= limits.groupDepthMaxCount) return;
  const message = `groups may be nested ${limits.groupDepthMaxCount} deep; nothing was changed`;
  throw new WeftError("failed_precondition", message, { detail: "GROUP_DEPTH" });
}

/** Throws unless another group fits into the tree, there. */
export function requireRoom(places: readonly GroupPlace[], parentId: string | null): void {
  if (places.length >= limits.groupsMaxCount) {
    const message = `a cluster has at most ${limits.groupsMaxCount} groups; remove one that is not used`;
    throw new WeftError("resource_exhausted", message, { detail: "GROUPS_MAX", retry: "never" });
  }
  requireDepth(places, parentId, 1);
}

/** Throws unless a group may hang there with everything below it: not below itself, and not too deep. */
export function requireMovable(places: readonly GroupPlace[], id: string, parentId: string | null): void {
  const byId = new Map(places.map((place) => [place.id, place]));
  if (parentId !== null && (parentId === id || ancestors(byId, parentId).includes(id))) {
    const message = "a group cannot be below itself; move the lower one out first";
    throw new WeftError("failed_precondition", message, { detail: "GROUP_CYCLE" });
  }
  requireDepth(places, parentId, height(places, id));
}
