/** Watches the events of nodes, and keeps what says that a trunk moved, ended or that a path opened. */

import type { NodeHandle } from "./standing.ts";

export interface SeenEvent {
  readonly node: string;
  /** By the shared clock of this host's wall time, milliseconds. */
  readonly atMs: number;
  readonly kind: string;
  readonly facts: Readonly<Record<string, string>>;
}

export class EdgeWatch {
  readonly events: SeenEvent[] = [];
  readonly #abort = new AbortController();
  onEvent: (event: SeenEvent) => void = () => {};

  constructor(nodes: readonly NodeHandle[]) {
    for (const node of nodes) void this.#follow(node);
  }

  /** Events of a kind since `fromIndex`. */
  since(fromIndex: number, kind: string): SeenEvent[] {
    return this.events.slice(fromIndex).filter((event) => event.kind === kind);
  }

  stop(): void {
    this.#abort.abort();
  }

  async #follow(node: NodeHandle): Promise<void> {
    try {
      for await (const event of node.client.watchEvents({}, { signal: this.#abort.signal })) {
        const seen = { node: node.name, atMs: Number(event.atMs), kind: event.kind, facts: { ...event.facts } };
        this.events.push(seen);
        this.onEvent(seen);
      }
    } catch (thrown) {
      if (!this.#abort.signal.aborted)
        this.events.push({ node: node.name, atMs: 0, kind: "watch_lost", facts: { why: String(thrown) } });
    }
  }
}

/** Moves told by both edges of a trunk, each counted once. Of a path that rotates nothing was lost: those are left out. */
export function movesOf(events: readonly SeenEvent[], options: { readonly rotations?: boolean } = {}): SeenEvent[] {
  const seen = new Map<string, SeenEvent>();
  for (const event of events) {
    if (event.kind !== "trunk_moved") continue;
    if (event.facts.cause === "rotation" && options.rotations !== true) continue;
    const key = [event.facts.trunk, event.facts.lane, event.facts.generation].join("|");
    // The follower of a move only says that its peer moved.
    if (!seen.has(key) || seen.get(key)?.facts.cause === "peer") seen.set(key, event);
  }
  return [...seen.values()];
}
