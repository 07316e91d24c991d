/** A process with the SDK in it, as on a user's own machine: a forwarded local port, and what its trunk does. */

import { type Client, connect } from "../../client/connect.ts";
import { serveWorker } from "./worker.ts";

export interface ClientMove {
  readonly atMs: number;
  readonly facts: Readonly<Record<string, string>>;
}

/** One live path of the bulk lane. */
export interface ClientPath {
  readonly active: boolean;
  readonly ready: boolean;
  readonly entryId: string;
}

let client: Client | undefined;
const moves: ClientMove[] = [];

export type SdkEdge = typeof handlers;

const handlers = serveWorker({
  /** Forwards a local port to a resource; resolves with the port. */
  async forward({
    identity,
    entries,
    resource,
  }: {
    readonly identity: string;
    readonly entries: readonly string[];
    readonly resource: string;
  }): Promise<number> {
    client = connect({
      identity,
      entries,
      onEvent: (event) => {
        if (event.kind !== "moved") return;
        const { trunk, lane, cause } = event;
        const facts = { trunk, lane, cause, from: event.fromEntry, to: event.toEntry };
        const figures = { gap_ms: String(event.gapMs), replayed_bytes: String(event.replayedBytes) };
        moves.push({ atMs: Date.now(), facts: { ...facts, ...figures, generation: String(moves.length) } });
      },
    });
    const forward = await client.forward({ resource, port: 0 });
    return forward.port;
  },
  paths: (): ClientPath[] =>
    (client?.trunks() ?? [])
      .flatMap(({ attachments }) => attachments)
      .filter(({ lane }) => lane === "bulk")
      .map(({ active, ready, hops }) => ({ active, ready, entryId: hops[1] ?? "" })),
  moves: (): readonly ClientMove[] => moves,
});
