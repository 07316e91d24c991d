/** The ports every part of the data plane is given: what this node is, what it may hold for true, time and chance. */

import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { Tracer } from "../lib/tracer.ts";
import type { CallObserver } from "../rpc/interceptors.ts";
import type { DrainState, FeedStore, IdentityHolder, NodeCounters, NodeEvents, SnapshotHolder } from "./ports.ts";

export interface DataPlanePorts {
  readonly identity: IdentityHolder;
  readonly snapshot: SnapshotHolder;
  readonly feed: FeedStore;
  readonly events: NodeEvents;
  readonly counters: NodeCounters;
  readonly drain: DrainState;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Told of every RPC this node served, where metrics are shown. */
  readonly onCall?: CallObserver | undefined;
  /** Where traces are recorded. */
  readonly tracer?: Tracer | undefined;
}
