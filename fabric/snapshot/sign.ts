/** Sealing a snapshot for one node (control's side). */

import type { KeyObject } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { signDomain } from "../../certs/signed.ts";
import {
  type SignedSigningKey,
  type Snapshot,
  type SnapshotEnvelope,
  SnapshotEnvelopeSchema,
  SnapshotSchema,
} from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";

/** Part of the domain string, so that an envelope cannot be mistaken for another statement. */
export const SNAPSHOT_DOMAIN = "weft/snapshot/v1\0";

/** A key that signs online, and the installation key's word for it. */
export interface OnlineSigner {
  readonly keyId: string;
  readonly privateKey: KeyObject;
  readonly statement: SignedSigningKey;
}

/** What an envelope's signature covers after the domain string: cluster, NUL, node, NUL, payload. */
export function snapshotCover(clusterId: string, nodeId: string, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${clusterId}\0${nodeId}\0`, "utf8"), payload]);
}

/** Encodes and signs a snapshot for the node it names. Throws `resource_exhausted` (SNAPSHOT_SIZE). */
export function signSnapshot(signer: OnlineSigner, snapshot: Snapshot): SnapshotEnvelope {
  const payload = toBinary(SnapshotSchema, snapshot);
  if (payload.length > limits.snapshotMaxBytes) {
    throw new WeftError("resource_exhausted", "the snapshot is too large", { detail: "SNAPSHOT_SIZE", retry: "never" });
  }
  return signSnapshotPayload(signer, snapshot, payload);
}

/** Signs an already encoded snapshot: the bytes kept for a version are the ones every replica sends. */
export function signSnapshotPayload(
  signer: OnlineSigner,
  { clusterId, nodeId }: Pick<Snapshot, "clusterId" | "nodeId">,
  payload: Uint8Array,
): SnapshotEnvelope {
  const cover = snapshotCover(clusterId, nodeId, payload);
  return create(SnapshotEnvelopeSchema, {
    payload,
    keyId: signer.keyId,
    signature: signDomain(signer.privateKey, SNAPSHOT_DOMAIN, cover),
    signingKey: signer.statement,
  });
}
