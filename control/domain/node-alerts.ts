/**
 * Which alerts a node's state asks for (M-A6). Pure. Health is the one snapshots show, which silence changes only while
 * somebody listened: an outage of control raises no alert about nodes.
 *
 * Skew and load are what the node says or what its own clock causes: they raise a warning and decide nothing, least of all
 * health. Each has two bounds, one to open and one to close, so that a value at the bound does not flap.
 */

import { limits } from "../../lib/limits.ts";
import type { Alert, AlertKind } from "../store/alerts.ts";
import type { Health } from "./health.ts";

/** The kinds this file opens and closes, and nobody else. */
export const nodeAlertKinds = [
  "node-stale",
  "node-offline",
  "node-missing",
  "node-clock-skew",
  "node-overloaded",
] as const satisfies readonly AlertKind[];

export interface NodeFacts {
  readonly nodeId: string;
  readonly health: Health;
  /** The least it reported in the last `limits.loadAlertOverMs`; null while that were few beats. */
  readonly load: number | null;
  /** Store's clock minus node's, milliseconds; null before a first beat. */
  readonly skewMs: number | null;
  /** How much faster its clock goes than the store's, as it says; null before it has measured that. */
  readonly driftPpm: number | null;
  /** Whether these alerts are open now. */
  readonly skewOpen: boolean;
  readonly loadOpen: boolean;
}

type Wanted = Omit<Alert, "clusterId">;

const silence: Partial<Record<Health, { readonly kind: AlertKind; readonly detail: string }>> = {
  stale: { kind: "node-stale", detail: `no beat for more than ${limits.staleAfterMs / 1_000} s` },
  offline: {
    kind: "node-offline",
    detail: `no beat for more than ${limits.offlineAfterMs / 1_000} s: is the host up, and its way to control?`,
  },
  missing: {
    kind: "node-missing",
    detail: `no beat for more than ${limits.missingAfterMs / 3_600_000} h, or never one: bring it back, or revoke it (weft node revoke)`,
  },
};

/** To one digit: a value that trembles does not write a row with every look. */
function roughly(ms: number): string {
  const seconds = Number((Math.abs(ms) / 1_000).toPrecision(1));
  return seconds < 100_000 ? `${seconds} s` : "more than a day";
}

/** How fast a clock goes, where that is worth a word. */
function speed(driftPpm: number): string {
  if (Math.abs(driftPpm) < (limits.clockDriftAlertShare * 1e6) / 10) return "";
  const ppm = Number(Math.abs(driftPpm).toPrecision(1));
  return ` and goes ${ppm} ppm too ${driftPpm > 0 ? "fast" : "slow"}`;
}

/** The alerts that should be open about one node. At most one of them is about silence, and then it is the only one. */
export function alertsOfNode(facts: NodeFacts): readonly Wanted[] {
  const object = `node/${facts.nodeId}`;
  const silent = silence[facts.health];
  // What a silent node said last says nothing about now.
  if (silent !== undefined) return [{ object, ...silent }];
  const alerts: Wanted[] = [];
  const skewMs = facts.skewMs ?? 0;
  const driftPpm = facts.driftPpm ?? 0;
  const isOpen = facts.skewOpen ? 0.5 : 1;
  const isOff = Math.abs(skewMs) > limits.clockSkewAlertMs * isOpen;
  if (isOff || Math.abs(driftPpm) > limits.clockDriftAlertShare * 1e6 * isOpen) {
    const where = `is ${roughly(skewMs)} ${skewMs > 0 ? "behind" : "ahead of"} control's`;
    const detail = `its clock ${where}${speed(driftPpm)}: look at its time service`;
    alerts.push({ kind: "node-clock-skew", object, detail });
  }
  if ((facts.load ?? 0) >= (facts.loadOpen ? limits.loadAlertEndShare : limits.loadAlertShare)) {
    const detail = `its host has had a load of ${limits.loadAlertShare * 100} % or more for ${limits.loadAlertOverMs / 1_000} s`;
    alerts.push({ kind: "node-overloaded", object, detail });
  }
  return alerts;
}
