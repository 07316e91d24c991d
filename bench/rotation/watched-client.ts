/** A client of the SDK that says what it had when a channel took long: its trunks, their paths, and what happened to them. */

import { type Client, type ClientEvent, connect } from "../../client/connect.ts";

/** A channel that has not been answered for so long is looked at. */
const longMs = 2_000;
const eventsKeptCount = 12;

export interface Watched {
  readonly client: Client;
  /** Looks at the client if what begins now lasts; what is returned ends that, and tells what was seen. */
  watch(): () => string;
}

function told(event: ClientEvent): string {
  const trunk = event.trunk.slice(0, 6);
  if (event.kind === "opened") return `${trunk} opened`;
  if (event.kind !== "moved") return `${trunk} ${event.kind} (${event.cause})`;
  const way = `${event.fromEntry.slice(-4)} to ${event.toEntry.slice(-4)}`;
  return `${trunk} ${event.lane} moved (${event.cause}) ${way} after ${Math.round(event.gapMs)} ms`;
}

function seen(client: Client): string {
  const trunks = client.trunks().map((trunk) => {
    const paths = trunk.attachments.map(({ lane, connectionId, active, ready, hops, rttMs }) => {
      const state = active ? "active" : ready ? "ready" : "waiting";
      return `${lane} on ${connectionId} by ${(hops[1] ?? "").slice(-4)} ${state} ${Math.round(rttMs ?? -1)} ms`;
    });
    return `${trunk.trunkIdHex.slice(0, 6)} ${trunk.farEdge} ${trunk.channelCount} channels: ${paths.join(", ")}`;
  });
  return trunks.join("; ");
}

/** A client with the identity of a folder. */
export function watchedClient(folder: string, entries: readonly string[]): Watched {
  const events: string[] = [];
  const client = connect({
    identity: folder,
    entries,
    onEvent: (event) => {
      events.push(`${new Date().toISOString().slice(17, 23)} ${told(event)}`);
      if (events.length > eventsKeptCount) events.shift();
    },
  });
  return {
    client,
    watch() {
      let looked = "";
      const timer = setTimeout(() => {
        looked = `; then: ${seen(client)}; before: ${events.join(", ")}`;
      }, longMs);
      return () => {
        clearTimeout(timer);
        return looked;
      };
    },
  };
}
