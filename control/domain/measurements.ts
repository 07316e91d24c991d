/**
 * When measurements are worth a new snapshot version. Every version reaches every node, so noise must not make one:
 * a value counts as changed when it appears, disappears, or moves by more than a fifth and by more than the grain below
 * which nobody routes differently. Health always counts.
 */

import { limits } from "../../lib/limits.ts";
import { type Health, healthOf, isOfTheFuture } from "./health.ts";

/** One direction of a link. Absent: not measured. */
export interface LinkValues {
  readonly fromNodeId: string;
  readonly toNodeId: string;
  readonly rttMs?: number;
  readonly jitterMs?: number;
  readonly lossShare?: number;
  readonly reliabilityShare?: number;
  readonly bandwidthBytesPerSecond?: number;
  readonly recentFailures?: number;
  readonly measuredAtMs: number;
}

/** A node as last reported. */
export interface NodeValues {
  readonly nodeId: string;
  readonly load?: number;
  readonly draining: boolean;
  /** Absent: never a beat. */
  readonly beatAgeMs?: number;
}

/** A node as snapshots show it. */
export interface PublishedNode {
  readonly nodeId: string;
  readonly load?: number;
  readonly health: Health;
}

export interface Measurements<Node> {
  readonly links: readonly LinkValues[];
  readonly nodes: readonly Node[];
}

export interface HealthChange {
  readonly nodeId: string;
  /** Undefined: first seen. */
  readonly before: Health | undefined;
  readonly after: Health;
}

export interface MeasurementChanges {
  readonly links: readonly LinkValues[];
  readonly nodes: readonly PublishedNode[];
  readonly health: readonly HealthChange[];
}

type LinkInput = Exclude<keyof LinkValues, "fromNodeId" | "toNodeId" | "measuredAtMs">;

/** The grain of each input, in its own unit. */
const linkGrain = {
  rttMs: 1,
  jitterMs: 1,
  lossShare: 0.01,
  reliabilityShare: 0.02,
  bandwidthBytesPerSecond: 128 * 1024,
  recentFailures: 0.5,
} as const satisfies Record<LinkInput, number>;

const loadGrain = 0.1;

/** Whether a value moved enough to be published again. */
export function isMaterial(before: number | undefined, after: number | undefined, grain: number): boolean {
  if (before === undefined || after === undefined) return before !== after;
  const moved = Math.abs(after - before);
  return moved > grain && moved > limits.graphMaterialShare * Math.abs(before);
}

function linkChanged(before: LinkValues | undefined, after: LinkValues): boolean {
  if (before === undefined) return true;
  return Object.entries(linkGrain).some(([input, grain]) =>
    isMaterial(before[input as LinkInput], after[input as LinkInput], grain),
  );
}

/** Silence, the longer the further. */
const silences: readonly Health[] = ["stale", "offline", "missing"];

/**
 * A node's health as it may be published. Silence counts only while somebody listened: after an outage of control every
 * node looks silent, and publishing that would stop the routes of a fabric that works. Until the silence is longer than
 * what was missed, the health published before stays. A beat of the future counts as silence since listening began: the
 * store's clock was set back, which begins it anew, and whoever has beaten since has a newer beat.
 */
export function provenHealth(before: Health | undefined, node: NodeValues, listenedForMs: number): Health {
  const { beatAgeMs, draining } = node;
  if (beatAgeMs !== undefined && isOfTheFuture(beatAgeMs)) {
    const heard = healthOf({ beatAgeMs: Math.max(0, listenedForMs), draining: false });
    return before === undefined ? "stale" : silences.indexOf(heard) > silences.indexOf(before) ? heard : before;
  }
  const seen = healthOf({ beatAgeMs, draining });
  if (beatAgeMs === undefined || before === undefined) return seen;
  const heard = healthOf({ beatAgeMs: Math.min(beatAgeMs, listenedForMs), draining });
  return heard === seen ? seen : before;
}

/**
 * What has to be written so that snapshots show what was reported; empty when nothing material changed. `listenedForMs`:
 * how long beats have been heard without a gap.
 */
export function measurementChanges(
  published: Measurements<PublishedNode>,
  reported: Measurements<NodeValues>,
  listenedForMs: number,
): MeasurementChanges {
  const linkKey = (link: LinkValues): string => `${link.fromNodeId}>${link.toNodeId}`;
  const knownLinks = new Map(published.links.map((link) => [linkKey(link), link]));
  const knownNodes = new Map(published.nodes.map((node) => [node.nodeId, node]));
  const health: HealthChange[] = [];
  const nodes: PublishedNode[] = [];
  for (const node of reported.nodes) {
    const { nodeId, load } = node;
    const before = knownNodes.get(nodeId);
    const after = provenHealth(before?.health, node, listenedForMs);
    const healthChanged = before?.health !== after;
    if (healthChanged) health.push({ nodeId, before: before?.health, after });
    if (healthChanged || isMaterial(before?.load, load, loadGrain)) {
      nodes.push({ nodeId, health: after, ...(load === undefined ? {} : { load }) });
    }
  }
  return { links: reported.links.filter((link) => linkChanged(knownLinks.get(linkKey(link)), link)), nodes, health };
}
