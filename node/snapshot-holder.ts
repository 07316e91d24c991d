/**
 * The snapshot this node acts on: verified, persisted, and never older than what it once held, across restarts and a
 * restored disk as far as the disk can tell. An equal version with other content is kept as evidence and refused.
 *
 * SH1. (epoch, version) never goes back: the mark (node/high-water.ts) outlives the snapshot, also when what is stored
 *      cannot be used any more.
 * SH2. The time floor never goes back, and rises by dates that count only (node/time-floor.ts).
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { retiredSigningKeys } from "../certs/bundle.ts";
import { applyDelta } from "../fabric/snapshot/delta.ts";
import { admitSnapshot, verifySnapshot } from "../fabric/snapshot/verify.ts";
import {
  type Snapshot,
  type SnapshotDelta,
  type SnapshotEnvelope,
  SnapshotEnvelopeSchema,
} from "../gen/weft/fabric/v1/snapshot_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { messageOf } from "../lib/errors.ts";
import { readFileIfAny, replaceFile } from "../lib/files.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import { Listeners } from "./events.ts";
import { keepForkEvidence } from "./evidence.ts";
import { type HighWater, readHighWater, writeHighWater } from "./high-water.ts";
import type { IdentityHolder, NodeEvents, SnapshotHolder, Unsubscribe } from "./ports.ts";
import { TimeFloor } from "./time-floor.ts";

export interface SnapshotHolderDeps {
  readonly stateDir: string;
  readonly identity: IdentityHolder;
  readonly installationKeySpki: Uint8Array;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: NodeEvents;
  /** Takes away what the local ceiling does not allow before anybody sees it (LAW-C6). */
  readonly limit: (snapshot: Snapshot) => Snapshot;
}

export interface OwnSnapshotHolder extends SnapshotHolder {
  /** Verifies an envelope and applies it when it is newer. */
  offer(envelope: SnapshotEnvelope): "applied" | "known" | "refused";
  /**
   * Puts an envelope together from what is held and offers it. A delta of anything else is a gap: nothing of it is taken, and
   * the whole snapshot has to be asked for.
   */
  offerDelta(delta: SnapshotDelta): "applied" | "known" | "refused" | "gap";
  /**
   * Another verified statement carried this date: raises the floor under the wall clock. Returns false, and says so once,
   * when the date is too far ahead to count.
   */
  sawSignedMs(ms: number): boolean;
}

function hashOf(payload: Uint8Array): string {
  return createHash("sha256").update(payload).digest("hex");
}

function verify(deps: SnapshotHolderDeps, envelope: SnapshotEnvelope, nowMs: number): Snapshot {
  const identity = deps.identity.current();
  return verifySnapshot(envelope, {
    installationSpki: deps.installationKeySpki,
    clusterId: identity.clusterId,
    nodeId: identity.nodeId,
    nowMs,
    retired: retiredSigningKeys(identity.bundle),
  });
}

function storedMark(deps: SnapshotHolderDeps): HighWater | undefined {
  try {
    return readHighWater(deps.stateDir);
  } catch (thrown) {
    deps.log.error("the mark of the newest snapshot is damaged; only what is stored guards against older ones", {
      error: messageOf(thrown),
    });
    return undefined;
  }
}

/** The floor under the wall clock, said aloud when a date does not count, and written down every few minutes. */
class KeptFloor {
  readonly floor: TimeFloor;
  readonly #deps: SnapshotHolderDeps;
  #writtenMs: number;
  #isSkewed = false;

  constructor(deps: SnapshotHolderDeps, persistedMs: number) {
    this.#deps = deps;
    this.#writtenMs = persistedMs;
    this.floor = new TimeFloor(deps.clock, persistedMs);
  }

  raise(ms: number): boolean {
    const counts = this.floor.raise(ms);
    if (!counts && !this.#isSkewed) {
      const aheadMs = String(Math.round(this.floor.aheadMs(ms)));
      this.#deps.log.error("a signed date is far ahead of this host's clock and does not count");
      this.#deps.events.emit("clock_skew", { ahead_ms: aheadMs });
    }
    this.#isSkewed = !counts;
    return counts;
  }

  isStale(): boolean {
    return this.floor.newestMs() - this.#writtenMs >= limits.feedPersistEveryMs;
  }

  written(): void {
    this.#writtenMs = this.floor.newestMs();
  }
}

class DiskSnapshotHolder implements OwnSnapshotHolder {
  readonly #deps: SnapshotHolderDeps;
  readonly #path: string;
  readonly #listeners: Listeners<Snapshot>;
  readonly #time: KeptFloor;
  #held: Snapshot | undefined;
  /** The bytes of what is held, for deltas. */
  #payload: Uint8Array | undefined;
  #mark: HighWater | undefined;

  constructor(deps: SnapshotHolderDeps) {
    this.#deps = deps;
    this.#path = join(deps.stateDir, "snapshot.bin");
    this.#listeners = new Listeners((thrown) =>
      deps.log.error("snapshot listener failed", { error: messageOf(thrown) }),
    );
    this.#mark = storedMark(deps);
    this.#time = new KeptFloor(deps, this.#mark?.floorMs ?? 0);
    this.#restore();
  }

  current(): Snapshot | undefined {
    return this.#held;
  }

  newestSignedMs(): number {
    return this.#time.floor.newestMs();
  }

  onChange(listener: (snapshot: Snapshot) => void): Unsubscribe {
    return this.#listeners.add(listener);
  }

  sawSignedMs(ms: number): boolean {
    const counts = this.#time.raise(ms);
    if (!this.#time.isStale()) return counts;
    try {
      this.#keepMark(this.#mark ?? { epoch: 0n, version: 0n, payloadHash: "" });
    } catch (thrown) {
      this.#deps.log.error("the newest signed date cannot be kept on disk", { error: messageOf(thrown) });
    }
    return counts;
  }

  offer(envelope: SnapshotEnvelope): "applied" | "known" | "refused" {
    let snapshot: Snapshot;
    try {
      snapshot = verify(this.#deps, envelope, this.#time.floor.judgedMs());
    } catch (thrown) {
      return this.#refuse(messageOf(thrown));
    }
    const payloadHash = hashOf(envelope.payload);
    const { epoch, version } = snapshot;
    const verdict = admitSnapshot(this.#place(), { epoch, version, payloadHash });
    // Known by its mark only (the stored bytes could not be used at start): it is what this node may act on.
    if (verdict === "same" && this.#held !== undefined) return "known";
    if (verdict === "fork") {
      const { stateDir } = this.#deps;
      keepForkEvidence(stateDir, "snapshot", envelope.payload, toBinary(SnapshotEnvelopeSchema, envelope));
      return this.#refuse("an equal version with other content");
    }
    if (verdict === "older") return this.#refuse("older than what this node holds");
    // The snapshot before its mark: a crash between the two finds a newer snapshot than the mark, which is taken.
    replaceFile(this.#path, toBinary(SnapshotEnvelopeSchema, envelope));
    this.#payload = envelope.payload;
    this.#keep(snapshot, payloadHash);
    this.#deps.events.emit("snapshot_applied", { epoch: String(epoch), version: String(version) });
    if (this.#held !== undefined) this.#listeners.notify(this.#held);
    return "applied";
  }

  offerDelta(delta: SnapshotDelta): "applied" | "known" | "refused" | "gap" {
    let envelope: SnapshotEnvelope;
    try {
      envelope = applyDelta(this.#payload, delta);
    } catch (thrown) {
      this.#deps.log.info("snapshot delta not taken", { error: messageOf(thrown) });
      return "gap";
    }
    return this.offer(envelope);
  }

  /** What an incoming snapshot is compared with; undefined before the first. */
  #place(): HighWater | undefined {
    return this.#mark?.payloadHash === "" ? undefined : this.#mark;
  }

  #refuse(reason: string): "refused" {
    this.#deps.log.warn("snapshot refused", { reason });
    this.#deps.events.emit("snapshot_refused", { reason });
    return "refused";
  }

  #keepMark(next: Omit<HighWater, "floorMs">): void {
    this.#mark = { ...next, floorMs: this.#time.floor.newestMs() };
    writeHighWater(this.#deps.stateDir, this.#mark);
    this.#time.written();
  }

  #keep(snapshot: Snapshot, payloadHash: string): void {
    this.#held = this.#deps.limit(snapshot);
    this.#time.raise(Number(snapshot.issuedAtMs));
    const { epoch, version } = snapshot;
    this.#keepMark({ epoch, version, payloadHash });
  }

  #restore(): void {
    try {
      const stored = readFileIfAny(this.#path);
      if (stored === undefined) return;
      const envelope = fromBinary(SnapshotEnvelopeSchema, stored);
      const payloadHash = hashOf(envelope.payload);
      const snapshot = verify(this.#deps, envelope, this.#time.floor.judgedMs());
      const { epoch, version } = snapshot;
      const verdict = admitSnapshot(this.#place(), { epoch, version, payloadHash });
      if (verdict === "newer" || verdict === "same") this.#payload = envelope.payload;
      if (verdict === "newer") this.#keep(snapshot, payloadHash);
      else if (verdict === "same") this.#held = this.#deps.limit(snapshot);
      else this.#refuse("the stored snapshot is not the newest this node held");
    } catch (thrown) {
      this.#refuse(messageOf(thrown));
    }
  }
}

/** Opens the holder with what the state folder keeps; a damaged file is left as it is and nothing is held. */
export function openSnapshotHolder(deps: SnapshotHolderDeps): OwnSnapshotHolder {
  return new DiskSnapshotHolder(deps);
}
