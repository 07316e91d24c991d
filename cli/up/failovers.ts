/** Every move of a trunk in a standing fabric, as the edges tell of it (NodeService/WatchEvents), with names for ids. */

import { setTimeout as delay } from "node:timers/promises";
import type { WatchEventsResponse } from "../../gen/weft/node/v1/node_pb.ts";
import { EventGaps } from "../event-gaps.ts";
import { askNode, type NodePort } from "../node-port.ts";
import { safeText } from "../output.ts";
import { namer, type Session } from "../session.ts";
import type { Fabric } from "./fabric.ts";

export interface Failover {
  /** The edge that decided. */
  readonly node: string;
  readonly trunk: string;
  readonly lane: string;
  /** Node names, edge to edge. */
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly cause: string;
  readonly gapMs: number;
  readonly replayedBytes: number;
  /** Of the lane: both edges may decide the same move at once, and each tells of it. */
  readonly generation: string;
  /** How many moves this stands for. */
  readonly moves: number;
}

/** How long to wait before an edge that went silent is asked again. */
const againAfterMs = 500;

/** The move of an event's facts, or undefined where the other edge decided: that edge tells of it. */
export function failoverOf(
  node: string,
  facts: Readonly<Record<string, string>>,
  nameOf: (id: string) => string,
): Failover | undefined {
  if (facts["cause"] === "peer") return undefined;
  const names = (text: string | undefined): string[] => (text ?? "").split(" ").filter(Boolean).map(nameOf);
  return {
    node,
    trunk: facts["trunk"] ?? "",
    lane: facts["lane"] ?? "",
    from: names(facts["from"]),
    to: names(facts["to"]),
    cause: facts["cause"] ?? "",
    gapMs: Number(facts["gap_ms"] ?? 0),
    replayedBytes: Number(facts["replayed_bytes"] ?? 0),
    generation: facts["generation"] ?? "",
    moves: Number(facts["moves"] ?? 1),
  };
}

/** How many moves are remembered as told. */
const toldMaxCount = 256;

/** How long the other edge may take to tell of the same move. */
const otherEdgeMs = 150;

/** From what says most to what says least: an edge that was only hung up on knows no reason. */
const causesBySense = ["revoked", "draining", "rotation", "silent", "lost", "peer"];

function senseOf({ cause }: Failover): number {
  const at = causesBySense.indexOf(cause);
  return at < 0 ? causesBySense.length : at;
}

/** One move as both its edges tell of it: the cause that says most, the longer gap, and what both have sent again. */
export function merged(a: Failover, b: Failover): Failover {
  const teller = senseOf(b) < senseOf(a) ? b : a;
  return {
    ...teller,
    gapMs: Math.max(a.gapMs, b.gapMs),
    replayedBytes: a.replayedBytes + b.replayedBytes,
    moves: Math.max(a.moves, b.moves),
  };
}

/** Lets each move through once, with what both edges say of it within a moment. */
export function onceEach(
  tell: (failover: Failover) => void,
  withinMs: number = otherEdgeMs,
): (failover: Failover) => void {
  /** Undefined: was told. */
  const moves = new Map<string, Failover | undefined>();
  return (failover) => {
    const key = `${failover.trunk} ${failover.lane} ${failover.generation}`;
    const before = moves.get(key);
    if (before !== undefined && before.node !== failover.node) moves.set(key, merged(before, failover));
    if (moves.has(key)) return;
    moves.set(key, failover);
    const timer = setTimeout(() => {
      const move = moves.get(key);
      moves.set(key, undefined);
      for (const [oldest, pending] of moves) {
        if (moves.size <= toldMaxCount) break;
        if (pending === undefined) moves.delete(oldest);
      }
      if (move !== undefined) tell(move);
    }, withinMs);
    // Nobody waits for a line when everything stops.
    timer.unref();
  };
}

/** One line for people. */
export function failoverText({ node, lane, from, to, cause, gapMs, replayedBytes, moves }: Failover): string {
  const text = `${node} ${lane}: ${from.join(" > ")} => ${to.join(" > ")} (${cause}), gap ${gapMs.toFixed(1)} ms, ${replayedBytes} bytes replayed${moves === 1 ? "" : `, ${moves} moves`}`;
  return safeText(text);
}

/** Names of the fabric's nodes by their ids. */
export function nodeNames(fabric: Fabric): (id: string) => string {
  return namer(fabric.processes.map(({ name, facts }) => ({ id: String(facts.nodeId ?? ""), name })));
}

/** Asks one of the fabric's nodes, where its process is now. */
export async function askFabricNode<T>(
  fabric: Fabric,
  session: Session,
  name: string,
  ask: (client: NodePort["client"]) => Promise<T>,
): Promise<T> {
  const { facts } = fabric.process(name);
  const clusterId = await session.clusterId();
  return await askNode(session, { id: String(facts.nodeId), clusterId, address: String(facts.operator) }, ask);
}

async function follow(
  fabric: Fabric,
  session: Session,
  name: string,
  hear: { readonly tell: (failover: Failover) => void; readonly event: (event: WatchEventsResponse) => void },
  signal: AbortSignal,
): Promise<void> {
  await askFabricNode(fabric, session, name, async (client) => {
    for await (const event of client.watchEvents({}, { signal, timeoutMs: 0 })) {
      hear.event(event);
      const { kind, facts } = event;
      const failover = kind === "trunk_moved" ? failoverOf(name, facts, nodeNames(fabric)) : undefined;
      if (failover !== undefined) hear.tell(failover);
    }
  });
}

/**
 * Follows every edge until `signal` aborts; an edge that ends is asked again when it is back. `onLost`: so many events of an
 * edge were not heard, moves perhaps. Never rejects.
 */
export async function watchFailovers(
  fabric: Fabric,
  tell: (failover: Failover) => void,
  signal: AbortSignal,
  onLost: (name: string, events: number) => void = () => {},
): Promise<void> {
  const edges = fabric.plan.nodes.filter(({ role }) => role !== "relay");
  const watchOne = async (name: string): Promise<void> => {
    const gaps = new EventGaps();
    const event = (heard: WatchEventsResponse): void => {
      const lost = gaps.before(heard);
      if (lost > 0) onLost(name, lost);
    };
    while (!signal.aborted) {
      try {
        await fabric.withSession((session) => follow(fabric, session, name, { tell, event }, signal));
      } catch {
        // It is down, or its session ended: both are told elsewhere.
      }
      await delay(againAfterMs, undefined, { signal }).catch(() => {});
    }
  };
  await Promise.all(edges.map(({ name }) => watchOne(name)));
}
