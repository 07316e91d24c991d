/**
 * Whose connections a failover bench watches: the trunk of an entry, whose relay fails, or the trunk of a client with the SDK,
 * whose entry fails.
 */

import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { EdgeWatch, type SeenEvent } from "../load/edge-watch.ts";
import type { SdkEdge } from "../load/sdk-edge.ts";
import { egressName, entryName, type Standing } from "../load/standing.ts";
import { Worker } from "../load/worker.ts";

export interface Subject {
  /** Where the load's connections go. */
  readonly port: number;
  /** Names of the nodes on the bulk lane's active path that the fault can be done to. */
  active(): Promise<readonly string[]>;
  /** Whether the bulk lane has a ready path beside the active one that shares no such node with it. */
  hasStandby(): Promise<boolean>;
  /** What the trunk's edges have told so far. */
  events(): Promise<readonly SeenEvent[]>;
  /** The nodes whose calls to control count. */
  readonly edges: readonly string[];
  stop(): Promise<void>;
}

interface Lane {
  readonly active: boolean;
  readonly ready: boolean;
  readonly over: readonly string[];
}

function disjointStandby(lanes: readonly Lane[]): boolean {
  const active = lanes.find((lane) => lane.active);
  if (active === undefined) return false;
  return lanes.some((other) => !other.active && other.ready && !other.over.some((node) => active.over.includes(node)));
}

/** The trunk between the bench's entry and egress; its relays fail. */
export function entrySubject(standing: Standing, port: number): Subject {
  const edges = [entryName, egressName];
  const watch = new EdgeWatch(edges.map((name) => standing.node(name)));
  const lanes = async (): Promise<Lane[]> =>
    ((await standing.trunk())?.attachments ?? [])
      .filter(({ lane }) => lane === "bulk")
      .map(({ active, ready, hops }) => ({ active, ready, over: hops.slice(1, -1) }));
  return {
    port,
    edges,
    active: async () => namesOf(standing, (await lanes()).find(({ active }) => active)?.over ?? []),
    hasStandby: async () => disjointStandby(await lanes()),
    events: async () => watch.events,
    stop: async () => watch.stop(),
  };
}

/** The trunk of a client with the SDK; its entries fail. */
export async function clientSubject(standing: Standing, resource: string): Promise<Subject> {
  const identity = join(standing.fabric.root, "bench-client");
  const cli = fileURLToPath(new URL("../../cli/bin.ts", import.meta.url));
  const words = ["identity", "add", "client", "bench", "--organization", "demo", "--out", identity];
  await promisify(execFile)(process.execPath, [cli, ...words], {
    env: { ...process.env, WEFT_CONTEXT: standing.fabric.contextDir },
  });
  const edge = await Worker.start<SdkEdge>("./sdk-edge.ts");
  const entries = ["entry-1", "entry-2"].map((name) => String(standing.node(name).child.facts.public));
  const port = await edge.ask("forward", { identity, entries, resource });
  const lanes = async (): Promise<Lane[]> =>
    (await edge.ask("paths")).map(({ active, ready, entryId }) => ({ active, ready, over: [entryId] }));
  return {
    port,
    edges: [egressName],
    active: async () => namesOf(standing, (await lanes()).find(({ active }) => active)?.over ?? []),
    hasStandby: async () => disjointStandby(await lanes()),
    events: async () => (await edge.ask("moves")).map((move) => ({ ...move, node: "client", kind: "trunk_moved" })),
    stop: () => edge.stop(),
  };
}

function namesOf(standing: Standing, ids: readonly string[]): string[] {
  return ids.map((id) => standing.nodeById(id)?.name ?? id);
}
