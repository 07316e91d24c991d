/**
 * A payload told as what it has in common with another one: how most of a snapshot need not be sent again.
 *
 * DE1. A delta carries no trust: its parts are put together to a payload, and that payload is verified like any other.
 * DE2. What does not fit (another base, bytes that are not there, another result) is a gap, and nothing of it is taken.
 */

import { createHash } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type SnapshotDelta,
  type SnapshotDeltaPartSchema,
  type SnapshotEnvelope,
  SnapshotEnvelopeSchema,
} from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Section } from "./encode.ts";

export type DeltaPart = MessageInitShape<typeof SnapshotDeltaPartSchema>;

/** An encoded payload: its sections, each in the place it has in every other payload, and its hash. */
export interface EncodedPayload {
  readonly sections: readonly Section[];
  readonly payloadHash: Uint8Array;
}

type Copy = { offset: number; length: number };

/** Parts as they are found: neighbours that can be one are one. */
class Parts {
  readonly #parts: (Copy | Uint8Array[])[] = [];
  literalBytes = 0;

  copy(offset: number, length: number): void {
    if (length === 0) return;
    const last = this.#parts.at(-1);
    if (last !== undefined && !Array.isArray(last) && last.offset + last.length === offset) last.length += length;
    else this.#parts.push({ offset, length });
  }

  literal(piece: Uint8Array): void {
    this.literalBytes += piece.length;
    const last = this.#parts.at(-1);
    if (Array.isArray(last)) last.push(piece);
    else this.#parts.push([piece]);
  }

  finish(): DeltaPart[] {
    return this.#parts.map((part) =>
      Array.isArray(part)
        ? { part: { case: "literal", value: Uint8Array.from(Buffer.concat(part)) } }
        : { part: { case: "copy", value: part } },
    );
  }
}

/** How a payload is put together from another one; undefined when it is mostly new, so that all of it is best sent. */
export function partsOf(base: readonly Section[], now: readonly Section[]): DeltaPart[] | undefined {
  const parts = new Parts();
  let offset = 0;
  let sizeBytes = 0;
  for (const [at, section] of now.entries()) {
    const before = base[at];
    sizeBytes += section.sizeBytes;
    if (before === section) parts.copy(offset, section.sizeBytes);
    else comparePieces(parts, before, offset, section);
    offset += before?.sizeBytes ?? 0;
  }
  return parts.literalBytes * 2 > sizeBytes ? undefined : parts.finish();
}

/** What two sections share are pieces: the same objects, wherever they are in them. */
function comparePieces(parts: Parts, before: Section | undefined, start: number, now: Section): void {
  const offsets = new Map<Uint8Array, number>();
  let offset = start;
  for (const piece of before?.pieces ?? []) {
    offsets.set(piece, offset);
    offset += piece.length;
  }
  for (const piece of now.pieces) {
    const known = offsets.get(piece);
    if (known === undefined) parts.literal(piece);
    else parts.copy(known, piece.length);
  }
}

/**
 * The envelope a delta stands for, not verified, put together from the payload the node holds. Throws `failed_precondition`
 * (SNAPSHOT_GAP) when it does not fit.
 */
export function applyDelta(held: Uint8Array | undefined, delta: SnapshotDelta): SnapshotEnvelope {
  if (held === undefined || !isHashOf(delta.baseHash, held)) throw gap();
  const payload = putTogether(held, delta);
  if (!isHashOf(delta.payloadHash, payload)) throw gap();
  const { keyId, signature, signingKey } = delta;
  return create(SnapshotEnvelopeSchema, {
    payload,
    keyId,
    signature,
    ...(signingKey === undefined ? {} : { signingKey }),
  });
}

function putTogether(held: Uint8Array, { parts }: SnapshotDelta): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  for (const { part } of parts) {
    const piece = part.case === "literal" ? part.value : part.case === "copy" ? slice(held, part.value) : undefined;
    if (piece === undefined) throw gap();
    sizeBytes += piece.length;
    // However small a delta is, copies could make anything of it.
    if (sizeBytes > limits.snapshotMaxBytes) throw gap();
    pieces.push(piece);
  }
  return Uint8Array.from(Buffer.concat(pieces, sizeBytes));
}

function slice(held: Uint8Array, { offset, length }: Copy): Uint8Array | undefined {
  return offset + length <= held.length ? held.subarray(offset, offset + length) : undefined;
}

/** SHA-256 of a payload. */
export function payloadHashOf(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(createHash("sha256").update(payload).digest());
}

function isHashOf(hash: Uint8Array, payload: Uint8Array): boolean {
  return Buffer.compare(hash, payloadHashOf(payload)) === 0;
}

function gap(): WeftError {
  const message = "a delta of a snapshot does not fit what is held; the whole is asked for";
  return new WeftError("failed_precondition", message, { detail: "SNAPSHOT_GAP", retry: "now" });
}
