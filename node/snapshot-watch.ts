/** Follows control's stream of snapshots and feeds. Reconnects with jittered backoff; never rejects. */

import type { Client } from "@connectrpc/connect";
import type { ControlService } from "../gen/weft/control/v1/control_pb.ts";
import type { SignedFeed } from "../gen/weft/fabric/v1/feed_pb.ts";
import type { SnapshotDelta, SnapshotEnvelope } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { Backoff, linkBackoff } from "../lib/backoff.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import { messageOf } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { Unsubscribe } from "./ports.ts";

export interface SnapshotWatchDeps {
  readonly client: () => Client<typeof ControlService>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** What this node holds, so that control sends nothing older. */
  readonly held: () => { readonly epoch: bigint; readonly version: bigint };
  readonly onSnapshot: (envelope: SnapshotEnvelope) => void;
  /** Whether it fits what is held. Where it does not, the whole snapshot is asked for. */
  readonly onDelta: (delta: SnapshotDelta) => boolean;
  readonly onFeed: (feed: SignedFeed) => void;
  /** Called for every message: control is alive. */
  readonly onHeard: () => void;
  /** Another identity is used from now on: the stream is opened again under it, before control ends the old one. */
  readonly onIdentity: (listener: () => void) => Unsubscribe;
}

/** What a node says that it holds when it wants all of what there is. */
const nothing = { epoch: 0n, version: 0n };

/** Watches until `signal` aborts. */
export async function runSnapshotWatch(deps: SnapshotWatchDeps, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff(linkBackoff, deps.random);
  let hasGap = false;
  while (!signal.aborted) {
    const startedMs = deps.clock.monoMs();
    const renewed = new AbortController();
    const unsubscribe = deps.onIdentity(() => renewed.abort());
    const either = AbortSignal.any([signal, renewed.signal]);
    try {
      const request: { epoch: bigint; version: bigint; takesDeltas: boolean } = {
        ...(hasGap ? nothing : deps.held()),
        takesDeltas: true,
      };
      hasGap = false;
      for await (const { message } of deps.client().watchSnapshot(request, { signal: either, timeoutMs: 0 })) {
        deps.onHeard();
        if (message.case === "snapshot") deps.onSnapshot(message.value);
        else if (message.case === "feed") deps.onFeed(message.value);
        else if (message.case === "delta") hasGap = !deps.onDelta(message.value);
        if (hasGap) break;
      }
    } catch (thrown) {
      if (signal.aborted) return;
      if (!renewed.signal.aborted) deps.log.warn("snapshot watch ended", { error: messageOf(thrown) });
    } finally {
      unsubscribe();
    }
    if (renewed.signal.aborted) continue;
    backoff.wasUpForMs(deps.clock.monoMs() - startedMs);
    await sleep(deps.clock, backoff.nextMs(), signal);
  }
}
