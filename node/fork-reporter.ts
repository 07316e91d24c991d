/**
 * Shows control the snapshots this node refused for contradicting the one it holds: those of this run at once, those on disk
 * from earlier runs when it starts. Shown again until control has taken them in; control may be away, or be the liar.
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { ControlService } from "../gen/weft/control/v1/control_pb.ts";
import { type SnapshotEnvelope, SnapshotEnvelopeSchema } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { Backoff, linkBackoff } from "../lib/backoff.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { readFileIfAny } from "../lib/files.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import { forkEvidence } from "./evidence.ts";
import type { NodeEvents } from "./ports.ts";

export interface ForkReporterDeps {
  readonly stateDir: string;
  readonly events: NodeEvents;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly control: () => Client<typeof ControlService>;
}

interface Fork {
  readonly refused: SnapshotEnvelope;
  readonly heldPayloadHash: Uint8Array;
}

/** Evidence on disk, beside what is held now. */
function forksIn({ stateDir, log }: ForkReporterDeps): readonly Fork[] {
  try {
    const stored = readFileIfAny(join(stateDir, "snapshot.bin"));
    if (stored === undefined) return [];
    const heldPayloadHash = hashOf(fromBinary(SnapshotEnvelopeSchema, stored).payload);
    const kept = forkEvidence(stateDir, "snapshot", SnapshotEnvelopeSchema, log);
    return kept.map((refused) => ({ refused, heldPayloadHash }));
  } catch (thrown) {
    log.warn("evidence of contradicting snapshots cannot be read", { error: messageOf(thrown) });
    return [];
  }
}

function hashOf(payload: Uint8Array): Uint8Array {
  return createHash("sha256").update(payload).digest();
}

/** Whether control has said its last word about it. */
function isFinal(thrown: unknown): boolean {
  return (
    thrown instanceof WeftError && ["invalid_argument", "unauthenticated", "permission_denied"].includes(thrown.reason)
  );
}

/** Shows them until `signal` aborts. Never rejects. */
export async function runForkReporter(deps: ForkReporterDeps, signal: AbortSignal): Promise<void> {
  const { clock, random, log, events } = deps;
  const told = new Set<string>();
  const backoff = new Backoff(linkBackoff, random);
  let news = true;
  let wake: () => void = () => {};
  const unsubscribe = events.subscribe(({ kind }) => {
    if (kind !== "snapshot_refused") return;
    news = true;
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort, { once: true });
  while (!signal.aborted) {
    if (!news) {
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (signal.aborted || news) resolve();
      });
      continue;
    }
    news = false;
    for (const fork of forksIn(deps)) {
      const name = Buffer.from(hashOf(fork.refused.payload)).toString("hex");
      if (told.has(name)) continue;
      try {
        await deps.control().reportSnapshotFork(fork, { signal, timeoutMs: limits.beatEveryMs });
        told.add(name);
      } catch (thrown) {
        if (signal.aborted) break;
        if (isFinal(thrown)) told.add(name);
        else news = true;
        log.warn("control has not taken in a contradiction", { error: messageOf(thrown) });
      }
    }
    if (news) await sleep(clock, backoff.nextMs(), signal);
  }
  unsubscribe();
  signal.removeEventListener("abort", onAbort);
}
