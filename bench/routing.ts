/**
 * What planning costs in a large mesh: one entry's decisions for every pool, from nothing and after one change.
 * Prints one JSON line; what was measured is said on standard error.
 * Usage: npm run bench -- routing [--nodes 1000] [--changes 400] [--seed 1] --json
 *
 * The mesh: two fifths relays with at most 20 links, the others entries and egresses with three to five relays each; ten
 * directed links per node in all. A pool is eight egresses, one question per pool: ranked paths, primary, standby. Changes
 * are drawn at random: half of them measurements of any link, a quarter of them loads or health of nodes, a quarter of
 * them the entry's own measurements, which touch most. After every change the answers are compared, term by term, with
 * those of a computation from nothing.
 */

import { isDeepStrictEqual } from "node:util";
import { create } from "@bufbuild/protobuf";
import { openGraph, type RouteNeed } from "../fabric/routing/graph.ts";
import { chooseRoute, type RouteChoice, type RouteState } from "../fabric/routing/pick.ts";
import { RouteCache } from "../fabric/routing/route-cache.ts";
import { ChannelClass, NodeHealth, NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import { type RouteLink, RouteLinkSchema, type RouteNode, RouteNodeSchema } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { systemClock } from "../lib/clock.ts";
import { type Random, randomInt, seededRandom } from "../lib/random.ts";
import { benchOptions, numberOption, readCommandLine } from "./load/options.ts";
import { quantile, round } from "./load/statistics.ts";

const linksPerNode = 10;
const relayLinksMax = 20;
const poolSize = 8;
const poolsMax = 16;
/** Not measured: an entry that plans every second has its code compiled. Their answers are compared all the same. */
const warmUpChanges = 30;
/** What the command may take, well within the 100 s it is given. */
const budgetMs = 60_000;

interface SyntheticMesh {
  readonly nodes: RouteNode[];
  readonly links: RouteLink[];
  readonly entry: string;
  readonly egresses: readonly string[];
}

function measuredLink(fromNodeId: string, toNodeId: string, random: Random): RouteLink {
  return create(RouteLinkSchema, {
    fromNodeId,
    toNodeId,
    rttMs: 0.5 + 80 * random.float(),
    jitterMs: 3 * random.float(),
    lossShare: random.float() < 0.8 ? 0 : 0.02 * random.float(),
    reliabilityShare: 1 - 0.01 * random.float(),
    recentFailures: random.float() < 0.9 ? 0 : 2 * random.float(),
  });
}

function synthetic(nodeCount: number, random: Random): SyntheticMesh {
  const relayCount = Math.round(nodeCount * 0.4);
  const entryCount = Math.round(nodeCount * 0.3);
  const named = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
  const relays = named("re", relayCount);
  const entries = named("en", entryCount);
  const egresses = named("eg", nodeCount - relayCount - entryCount);
  const regions = ["eu", "us", "ap"];
  const node = (nodeId: string, role: NodeRole): RouteNode =>
    create(RouteNodeSchema, {
      nodeId,
      name: nodeId,
      roles: [{ role, organizationId: "" }],
      region: regions[randomInt(random, regions.length)] ?? "",
      trustLevel: 50 + randomInt(random, 51),
      load: random.float() * 0.7,
      health: NodeHealth.ONLINE,
    });
  const held = new Map<string, number>();
  const pairs = new Map<string, readonly [string, string]>();
  const wantedPairs = (nodeCount * linksPerNode) / 2;
  const link = (a: string, b: string): void => {
    const key = a < b ? `${a}|${b}` : `${b}|${a}`;
    if (a === b || pairs.has(key) || pairs.size >= wantedPairs) return;
    const isFull = [a, b].some((id) => (held.get(id) ?? 0) >= (id.startsWith("re") ? relayLinksMax : 5));
    if (isFull) return;
    pairs.set(key, [a, b]);
    for (const id of [a, b]) held.set(id, (held.get(id) ?? 0) + 1);
  };
  const anyRelay = (): string => relays[randomInt(random, relays.length)] ?? "";
  for (const [i, relay] of relays.entries()) link(relay, relays[(i + 1) % relays.length] ?? "");
  for (const edge of [...entries, ...egresses]) {
    const wanted = 3 + randomInt(random, 3);
    for (let tries = 0; (held.get(edge) ?? 0) < wanted && tries < 100; tries++) link(edge, anyRelay());
  }
  for (let tries = 0; pairs.size < wantedPairs && tries < 100 * wantedPairs; tries++) link(anyRelay(), anyRelay());
  return {
    nodes: [
      ...relays.map((id) => node(id, NodeRole.RELAY)),
      ...entries.map((id) => node(id, NodeRole.ENTRY)),
      ...egresses.map((id) => node(id, NodeRole.EGRESS)),
    ],
    links: [...pairs.values()].flatMap(([a, b]) => [measuredLink(a, b, random), measuredLink(b, a, random)]),
    entry: entries[0] ?? "",
    egresses,
  };
}

function needsOf({ entry, egresses }: SyntheticMesh): RouteNeed[] {
  const count = Math.min(poolsMax, Math.floor(egresses.length / poolSize));
  return Array.from({ length: count }, (_, i) => ({
    fromNodeId: entry,
    toNodeIds: egresses.slice(i * poolSize, (i + 1) * poolSize),
    organizationId: "org-1",
    class: i % 2 === 0 ? ChannelClass.INTERACTIVE : ChannelClass.BULK,
  }));
}

function figures(samples: readonly number[]): { p50: number; p99: number } {
  return { p50: round(quantile(samples, 0.5), 3), p99: round(quantile(samples, 0.99), 3) };
}

/** Replaces one link or node by a changed one. */
function change(mesh: SyntheticMesh, random: Random): void {
  const { nodes, links, entry } = mesh;
  const kind = random.float();
  if (kind < 0.25) {
    const at = randomInt(random, nodes.length);
    const before = nodes[at] as RouteNode;
    const health = random.float() < 0.2 ? NodeHealth.OFFLINE : NodeHealth.ONLINE;
    nodes[at] = { ...before, health, load: random.float() * 0.7 };
    return;
  }
  const own = links.flatMap((link, i) => (link.fromNodeId === entry ? [i] : []));
  const at = kind < 0.5 ? (own[randomInt(random, own.length)] ?? 0) : randomInt(random, links.length);
  const before = links[at] as RouteLink;
  links[at] = measuredLink(before.fromNodeId, before.toNodeId, random);
}

function timed<T>(work: () => T): { readonly result: T; readonly ms: number; readonly cpuMs: number } {
  const startedMs = systemClock.monoMs();
  const before = process.cpuUsage();
  const result = work();
  const ms = systemClock.monoMs() - startedMs;
  const { user, system } = process.cpuUsage(before);
  return { result, ms, cpuMs: (user + system) / 1_000 };
}

function measure(nodeCount: number, changes: number, seed: number): object {
  const random = seededRandom(seed);
  const mesh = synthetic(nodeCount, random);
  const needs = needsOf(mesh);
  const cache = new RouteCache();
  let version = 1n;
  cache.publish({ clusterId: "", epoch: 1n, version, nodes: [...mesh.nodes], links: [...mesh.links] });
  let states: RouteState[] = needs.map(() => ({}));
  const fromNothing = (): RouteChoice[] => {
    const graph = openGraph("", mesh.nodes, mesh.links);
    return needs.map((need, i) => chooseRoute(graph, need, states[i]));
  };
  const upToDate = (): RouteChoice[] => needs.map((need, i) => cache.choose(need, states[i]));
  upToDate();
  const full: number[] = [];
  const incremental: number[] = [];
  const cpu: number[] = [];
  let isEqual = true;
  const startedMs = systemClock.monoMs();
  for (let i = -warmUpChanges; i < changes && systemClock.monoMs() - startedMs < budgetMs; i++) {
    change(mesh, random);
    version += 1n;
    // Taking up what changed is part of the recomputation: the whole new graph is handed over, as a snapshot hands it.
    const published = { clusterId: "", epoch: 1n, version, nodes: [...mesh.nodes], links: [...mesh.links] };
    const kept = timed(() => {
      cache.publish(published);
      return upToDate();
    });
    const whole = timed(fromNothing);
    if (i >= 0) {
      incremental.push(kept.ms);
      cpu.push(kept.cpuMs);
    }
    if (i >= 0) full.push(whole.ms);
    isEqual &&= isDeepStrictEqual(kept.result, whole.result);
    states = whole.result.map((choice) => choice.state);
  }
  process.stderr.write(
    `routing: one entry, ${needs.length} pools of ${poolSize}, ${incremental.length} changes, seed ${seed}, node ${process.version}\n` +
      `routing: processor time of one change, ms: ${JSON.stringify(figures(cpu))}\n`,
  );
  return {
    nodes: mesh.nodes.length,
    links: mesh.links.length,
    full_ms: figures(full),
    incremental_ms: figures(incremental),
    equal_to_full: isEqual,
  };
}

const options = readCommandLine(
  "usage: npm run bench -- routing [--nodes 1000] [--changes 400] [--seed 1] [--json]",
  (args) => {
    const values = benchOptions(args, { nodes: "1000", changes: "400", seed: "1" });
    if (values === undefined) return undefined;
    const whole = (name: keyof typeof values, min: number): number =>
      numberOption(`--${name}`, values[name], { min, whole: true });
    return [whole("nodes", 20), whole("changes", 1), whole("seed", 0)] as const;
  },
);
if (options !== undefined) {
  const result = measure(...options);
  process.stdout.write(`${JSON.stringify(result)}\n`);
  if (!("equal_to_full" in result) || result.equal_to_full !== true) process.exitCode = 1;
}
