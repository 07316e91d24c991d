/**
 * Believing a snapshot (a node's side).
 *
 * SV1. The received bytes are verified, then those bytes are parsed; a field unknown at any depth is refused.
 * SV2. The signing key counts only with a statement of the pinned installation key, for snapshots, this cluster and now.
 * SV3. The signature covers cluster and node: another node's envelope is refused even from the right control.
 * SV4. (epoch, version) never goes back, and one version has one content.
 */

import { verifySigningKey } from "../../certs/installation.ts";
import { decodeSigned, verifyDomain } from "../../certs/signed.ts";
import { type Snapshot, type SnapshotEnvelope, SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { dateMs } from "../signed-bytes.ts";
import { SNAPSHOT_DOMAIN, snapshotCover } from "./sign.ts";

export interface SnapshotExpectation {
  /** The pinned installation key, SPKI DER. */
  readonly installationSpki: Uint8Array;
  readonly clusterId: string;
  readonly nodeId: string;
  /** max(wall clock, newest signed time). */
  readonly nowMs: number;
  /** Signing keys that were replaced (certs/bundle.ts). */
  readonly retired?: ReadonlyMap<string, number>;
}

/**
 * The snapshot of an envelope. Whether it has run out is not judged here: `offlineVerdict` says what that stops. Throws
 * `unauthenticated` (SNAPSHOT_UNSIGNED, SNAPSHOT_SIGNATURE, STATEMENT_*), `invalid_argument` (SNAPSHOT_SIZE,
 * SNAPSHOT_DATES, SIGNED_MALFORMED) or `permission_denied` (SNAPSHOT_NOT_OURS).
 */
export function verifySnapshot(envelope: SnapshotEnvelope, expect: SnapshotExpectation): Snapshot {
  const { payload, signingKey } = envelope;
  if (payload.length > limits.snapshotMaxBytes) throw refuse("invalid_argument", "SNAPSHOT_SIZE");
  if (signingKey === undefined) throw refuse("unauthenticated", "SNAPSHOT_UNSIGNED");
  const { clusterId } = expect;
  const signer = verifySigningKey(signingKey, { ...expect, use: "snapshot" });
  const cover = snapshotCover(clusterId, expect.nodeId, payload);
  const signed = verifyDomain(signer.publicKey, envelope.signature, SNAPSHOT_DOMAIN, cover);
  if (signer.keyId !== envelope.keyId || !signed) throw refuse("unauthenticated", "SNAPSHOT_SIGNATURE");
  const snapshot = decodeSigned(SnapshotSchema, payload);
  if (snapshot.clusterId !== clusterId || snapshot.nodeId !== expect.nodeId) {
    throw refuse("permission_denied", "SNAPSHOT_NOT_OURS");
  }
  const issuedMs = dateMs(snapshot.issuedAtMs);
  const notAfterMs = dateMs(snapshot.notAfterMs);
  const isOrdered = issuedMs !== undefined && notAfterMs !== undefined && notAfterMs > issuedMs;
  // A key signs nothing beyond its own end.
  if (!isOrdered || issuedMs >= signer.notAfterMs) {
    throw refuse("invalid_argument", "SNAPSHOT_DATES");
  }
  return snapshot;
}

function refuse(reason: "invalid_argument" | "unauthenticated" | "permission_denied", detail: string): WeftError {
  return new WeftError(reason, "the snapshot is refused", { detail });
}

/** What is compared of a snapshot: its version and a hash of its payload bytes. */
export interface SnapshotVersion {
  readonly epoch: bigint;
  readonly version: bigint;
  readonly payloadHash: string;
}

/** Where a verified snapshot stands against the one held (SV4). `fork` is evidence: keep both, alarm, apply nothing. */
export function admitSnapshot(
  held: SnapshotVersion | undefined,
  incoming: SnapshotVersion,
): "newer" | "same" | "older" | "fork" {
  if (held === undefined || incoming.epoch > held.epoch) return "newer";
  if (incoming.epoch < held.epoch || incoming.version < held.version) return "older";
  if (incoming.version > held.version) return "newer";
  return incoming.payloadHash === held.payloadHash ? "same" : "fork";
}
