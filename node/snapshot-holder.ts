/**
 * The snapshot this node acts on: verified, persisted, and never older than what it once held, across restarts and a
 * restored disk as far as the disk can tell. An equal version with other content is kept as evidence and refused.
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { admitSnapshot, verifySnapshot } from "../fabric/snapshot/verify.ts";
import { type Snapshot, type SnapshotEnvelope, SnapshotEnvelopeSchema } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { messageOf } from "../lib/errors.ts";
import { readFileIfAny, replaceFile } from "../lib/files.ts";
import type { Log } from "../lib/log.ts";
import { Listeners } from "./events.ts";
import type { IdentityHolder, NodeEvents, SnapshotHolder } from "./ports.ts";

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
  /** Raises the floor under the wall clock: another verified statement carried a newer date. */
  sawSignedMs(ms: number): void;
}

interface Held {
  readonly snapshot: Snapshot;
  readonly payloadHash: string;
}

function hashOf(payload: Uint8Array): string {
  return createHash("sha256").update(payload).digest("hex");
}

function verify(deps: SnapshotHolderDeps, envelope: SnapshotEnvelope, newestSignedMs: number): Snapshot {
  const identity = deps.identity.current();
  return verifySnapshot(envelope, {
    installationSpki: deps.installationKeySpki,
    clusterId: identity.clusterId,
    nodeId: identity.nodeId,
    nowMs: Math.max(deps.clock.nowMs(), newestSignedMs),
  });
}

/** Opens the holder with what the state folder keeps; a damaged file is left as it is and nothing is held. */
export function openSnapshotHolder(deps: SnapshotHolderDeps): OwnSnapshotHolder {
  const path = join(deps.stateDir, "snapshot.bin");
  const listeners = new Listeners<Snapshot>((thrown) =>
    deps.log.error("snapshot listener failed", { error: messageOf(thrown) }),
  );
  let held: Held | undefined;
  let newestSignedMs = 0;

  function refuse(reason: string): "refused" {
    deps.log.warn("snapshot refused", { reason });
    deps.events.emit("snapshot_refused", { reason });
    return "refused";
  }

  function keep(snapshot: Snapshot, payloadHash: string): void {
    held = { snapshot: deps.limit(snapshot), payloadHash };
    newestSignedMs = Math.max(newestSignedMs, Number(snapshot.issuedAtMs));
  }

  const stored = readFileIfAny(path);
  if (stored !== undefined) {
    try {
      const envelope = fromBinary(SnapshotEnvelopeSchema, stored);
      keep(verify(deps, envelope, newestSignedMs), hashOf(envelope.payload));
    } catch (thrown) {
      refuse(messageOf(thrown));
    }
  }

  return {
    current: () => held?.snapshot,
    newestSignedMs: () => newestSignedMs,
    onChange: (listener) => listeners.add(listener),
    sawSignedMs(ms) {
      newestSignedMs = Math.max(newestSignedMs, ms);
    },
    offer(envelope) {
      let snapshot: Snapshot;
      try {
        snapshot = verify(deps, envelope, newestSignedMs);
      } catch (thrown) {
        return refuse(messageOf(thrown));
      }
      const payloadHash = hashOf(envelope.payload);
      const before =
        held === undefined
          ? undefined
          : { epoch: held.snapshot.epoch, version: held.snapshot.version, payloadHash: held.payloadHash };
      const verdict = admitSnapshot(before, { epoch: snapshot.epoch, version: snapshot.version, payloadHash });
      if (verdict === "same") return "known";
      if (verdict === "fork") {
        replaceFile(
          join(deps.stateDir, `snapshot-fork-${payloadHash.slice(0, 8)}.bin`),
          toBinary(SnapshotEnvelopeSchema, envelope),
        );
        return refuse("an equal version with other content");
      }
      if (verdict === "older") return refuse("older than what this node holds");
      replaceFile(path, toBinary(SnapshotEnvelopeSchema, envelope));
      keep(snapshot, payloadHash);
      deps.events.emit("snapshot_applied", { epoch: String(snapshot.epoch), version: String(snapshot.version) });
      if (held !== undefined) listeners.notify(held.snapshot);
      return "applied";
    },
  };
}
