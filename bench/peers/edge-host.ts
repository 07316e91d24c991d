/**
 * An edge of a running fabric inside a process of the bench: the identity, the snapshot and the revocation feed of an
 * enrolled node, and the data plane every node runs. Only the session to control is left out.
 */

import type { TLSSocket } from "node:tls";
import { systemClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { openLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { type DataPlane, startDataPlane } from "../../node/data-plane.ts";
import { createDrainState, createNodeCounters, createNodeEvents } from "../../node/events.ts";
import { openFeedStore } from "../../node/feed-store.ts";
import { createIdentityHolder, loadIdentity } from "../../node/identity-store.ts";
import type { Bind } from "../../node/listener.ts";
import type { OnPathEnd } from "../../node/path-end.ts";
import { PeerJudge } from "../../node/peer-judge.ts";
import type { DataPlanePorts } from "../../node/plane-ports.ts";
import { openSnapshotHolder } from "../../node/snapshot-holder.ts";
import { eventually } from "../../tests/harness/eventually.ts";

export interface EdgeHost {
  readonly nodeId: string;
  readonly ports: DataPlanePorts;
  readonly plane: DataPlane;
  readonly judge: PeerJudge;
}

export interface EdgeHostOptions {
  readonly stateDir: string;
  /** Where a node that is dialled listens. */
  readonly bind?: Bind;
  readonly onPathEnd?: OnPathEnd;
}

function rethrow(thrown: unknown): never {
  throw thrown;
}

/** Starts the edge; resolves once it is linked to every relay of its snapshot. The node itself must not run. */
export async function openEdgeHost(options: EdgeHostOptions): Promise<EdgeHost> {
  const { stateDir } = options;
  const stored = loadIdentity(stateDir);
  if (stored === undefined) throw new Error(`${stateDir} holds no identity`);
  const clock = systemClock;
  const log = openLog({ level: "error", process: "bench" });
  const events = createNodeEvents(clock, rethrow);
  const identity = createIdentityHolder(stateDir, stored, rethrow);
  const { installationKeySpki } = stored;
  const held = { stateDir, identity, installationKeySpki, clock, log, events };
  const snapshot = openSnapshotHolder({ ...held, limit: (whole) => whole });
  const feed = openFeedStore({ ...held, snapshot });
  const ports: DataPlanePorts = {
    identity,
    snapshot,
    feed,
    events,
    clock,
    log,
    random: systemRandom,
    counters: createNodeCounters(),
    drain: createDrainState(events, rethrow),
  };
  const plane = await startDataPlane({
    ports,
    ...(options.bind === undefined ? {} : { bind: options.bind }),
    ...(options.onPathEnd === undefined ? {} : { onPathEnd: options.onPathEnd }),
  });
  await eventually(
    () => {
      const neighbours = snapshot.current()?.neighbours ?? [];
      return neighbours.length > 0 && neighbours.every(({ nodeId }) => plane.links.transportTo(nodeId) !== undefined);
    },
    { withinMs: 2 * limits.linkDialDeadlineMs, what: "all links of a bench edge" },
  );
  return { nodeId: stored.identity.nodeId, ports, plane, judge: new PeerJudge(ports) };
}

/** What an edge's TLS differs in when a peer terminates it: stock OpenSSL 3.0 has no post-quantum exchange. */
export const peerGroups = { ecdhCurve: "X25519" } as const;

/**
 * A trunk proves itself by what both ends of one TLS connection export, so it refuses any relay that terminates TLS. To
 * carry the same trunk over such a relay the bench gives both ends the same exporter.
 */
export function withoutExporter(tls: TLSSocket): TLSSocket {
  return Object.defineProperty(tls, "exportKeyingMaterial", { value: (length: number) => Buffer.alloc(length, 7) });
}
