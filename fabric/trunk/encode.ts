/**
 * Messages to bytes. Every message is encoded once, into one buffer that starts with gRPC's 5-byte prefix: the buffer that
 * is written is the buffer that the replay keeps. Byte for byte what any Protobuf encoder writes (fields in order of their
 * numbers, defaults absent).
 */

import type { Attach, ChannelOpen, ChannelOrigin, ChannelReset, Frame, Message } from "./messages.ts";
import { varintSize, writeVarint } from "./wire.ts";

/** Length of gRPC's prefix: one flag byte and a 4-byte big-endian length. */
export const GRPC_PREFIX_BYTES = 5;

const MESSAGE_FIELD = { attach: 1, batch: 2, ack: 3, ping: 4, pong: 5, notice: 6, move: 7 } as const;
const FRAME_FIELD = { data: 2, open: 3, opened: 4, half_close: 5, reset: 6, credit: 7, tombstone: 8 } as const;

const numberSize = (value: number): number => (value === 0 ? 0 : 1 + varintSize(value));
const bytesSize = (length: number): number => (length === 0 ? 0 : 1 + varintSize(length) + length);
const textSize = (text: string): number => (text === "" ? 0 : bytesSize(Buffer.byteLength(text)));
const embeddedSize = (length: number): number => 1 + varintSize(length) + length;

function putNumber(out: Buffer, at: number, field: number, value: number): number {
  if (value === 0) return at;
  out[at] = field << 3;
  return writeVarint(out, at + 1, value);
}

function putHead(out: Buffer, at: number, field: number, length: number): number {
  out[at] = (field << 3) | 2;
  return writeVarint(out, at + 1, length);
}

function putBytes(out: Buffer, at: number, field: number, bytes: Uint8Array): number {
  if (bytes.length === 0) return at;
  const from = putHead(out, at, field, bytes.length);
  out.set(bytes, from);
  return from + bytes.length;
}

function putText(out: Buffer, at: number, field: number, text: string): number {
  if (text === "") return at;
  const from = putHead(out, at, field, Buffer.byteLength(text));
  return from + out.write(text, from, "utf8");
}

const attachSize = (a: Attach): number =>
  bytesSize(a.trunkId.length) +
  numberSize(a.lane) +
  numberSize(a.generation) +
  numberSize(a.nextExpectedSeq) +
  bytesSize(a.proof.length) +
  bytesSize(a.ask.length) +
  bytesSize(a.askSignature.length);

function putAttach(out: Buffer, start: number, a: Attach): number {
  let at = putBytes(out, start, 1, a.trunkId);
  at = putNumber(out, at, 2, a.lane);
  at = putNumber(out, at, 3, a.generation);
  at = putNumber(out, at, 4, a.nextExpectedSeq);
  at = putBytes(out, at, 5, a.proof);
  at = putBytes(out, at, 6, a.ask);
  return putBytes(out, at, 7, a.askSignature);
}

const originSize = (o: ChannelOrigin): number =>
  numberSize(o.assurance) +
  textSize(o.clientId) +
  textSize(o.organizationId) +
  textSize(o.entryNodeId) +
  textSize(o.listenerId) +
  textSize(o.sourceAddress);

function putOrigin(out: Buffer, start: number, o: ChannelOrigin): number {
  let at = putNumber(out, start, 1, o.assurance);
  at = putText(out, at, 2, o.clientId);
  at = putText(out, at, 3, o.organizationId);
  at = putText(out, at, 4, o.entryNodeId);
  at = putText(out, at, 5, o.listenerId);
  return putText(out, at, 6, o.sourceAddress);
}

const openSize = (o: ChannelOpen): number =>
  textSize(o.resource) +
  numberSize(o.class) +
  (o.origin === undefined ? 0 : embeddedSize(originSize(o.origin))) +
  textSize(o.correlationId) +
  (o.contract === undefined ? 0 : bytesSize(o.contract.length)) +
  (o.flowIsolationId === undefined ? 0 : textSize(o.flowIsolationId)) +
  (o.traceparent === undefined ? 0 : textSize(o.traceparent));

function putOpen(out: Buffer, start: number, o: ChannelOpen): number {
  let at = putText(out, start, 1, o.resource);
  at = putNumber(out, at, 2, o.class);
  if (o.origin !== undefined) at = putOrigin(out, putHead(out, at, 3, originSize(o.origin)), o.origin);
  at = putText(out, at, 4, o.correlationId);
  if (o.contract !== undefined) at = putBytes(out, at, 5, o.contract);
  if (o.flowIsolationId !== undefined) at = putText(out, at, 6, o.flowIsolationId);
  return o.traceparent === undefined ? at : putText(out, at, 7, o.traceparent);
}

const resetSize = (r: ChannelReset): number =>
  numberSize(r.end) + numberSize(r.stage) + numberSize(r.writtenToTarget) + textSize(r.correlationId);

function putReset(out: Buffer, start: number, r: ChannelReset): number {
  let at = putNumber(out, start, 1, r.end);
  at = putNumber(out, at, 2, r.stage);
  at = putNumber(out, at, 3, r.writtenToTarget);
  return putText(out, at, 4, r.correlationId);
}

/** Size of the frame's body, without its field head. */
function bodySize(frame: Frame): number {
  switch (frame.kind) {
    case "data":
      return frame.data.length;
    case "open":
      return openSize(frame.open);
    case "half_close":
      return numberSize(frame.totalBytes);
    case "reset":
      return resetSize(frame.reset);
    case "credit":
      return (
        numberSize(frame.limitBytes) +
        numberSize(frame.writtenToTarget) +
        numberSize(frame.returnsSeen) +
        numberSize(frame.ownLimitBytes)
      );
    case "tombstone":
      return numberSize(frame.bytes);
    default:
      return 0;
  }
}

/** Encoded size of a frame inside a batch, its head included. */
export function frameSize(frame: Frame): number {
  return embeddedSize(innerFrameSize(frame));
}

const innerFrameSize = (frame: Frame): number =>
  numberSize(frame.channelId) + (frame.kind === "unknown" ? 0 : embeddedSize(bodySize(frame)));

function putFrame(out: Buffer, start: number, frame: Frame): number {
  let at = putHead(out, start, 2, innerFrameSize(frame));
  at = putNumber(out, at, 1, frame.channelId);
  if (frame.kind === "unknown") return at;
  at = putHead(out, at, FRAME_FIELD[frame.kind], bodySize(frame));
  switch (frame.kind) {
    case "data":
      out.set(frame.data, at);
      return at + frame.data.length;
    case "open":
      return putOpen(out, at, frame.open);
    case "half_close":
      return putNumber(out, at, 1, frame.totalBytes);
    case "reset":
      return putReset(out, at, frame.reset);
    case "credit":
      at = putNumber(out, putNumber(out, at, 1, frame.limitBytes), 2, frame.writtenToTarget);
      return putNumber(out, putNumber(out, at, 3, frame.returnsSeen), 4, frame.ownLimitBytes);
    case "tombstone":
      return putNumber(out, at, 1, frame.bytes);
    default:
      return at;
  }
}

function batchSize(seq: number, frames: readonly Frame[]): number {
  let size = numberSize(seq);
  for (const frame of frames) size += frameSize(frame);
  return size;
}

function innerSize(message: Message): number {
  switch (message.kind) {
    case "attach":
      return attachSize(message.attach);
    case "batch":
      return batchSize(message.seq, message.frames);
    case "ack":
      return numberSize(message.nextExpectedSeq);
    case "ping":
      return numberSize(message.id) + (message.owing ? 2 : 0);
    case "pong":
      return numberSize(message.id);
    case "notice":
      return numberSize(message.notice) + textSize(message.detail);
    case "move":
      return numberSize(message.generation);
    default:
      return 0;
  }
}

function putInner(out: Buffer, start: number, message: Message): number {
  switch (message.kind) {
    case "attach":
      return putAttach(out, start, message.attach);
    case "batch": {
      let at = putNumber(out, start, 1, message.seq);
      for (const frame of message.frames) at = putFrame(out, at, frame);
      return at;
    }
    case "ack":
      return putNumber(out, start, 1, message.nextExpectedSeq);
    case "ping":
      return putNumber(out, putNumber(out, start, 1, message.id), 2, message.owing ? 1 : 0);
    case "pong":
      return putNumber(out, start, 1, message.id);
    case "notice":
      return putText(out, putNumber(out, start, 1, message.notice), 2, message.detail);
    case "move":
      return putNumber(out, start, 1, message.generation);
    default:
      return start;
  }
}

/** One message with its gRPC prefix, in a buffer of exactly its size. */
export function encodeMessage(message: Message): Buffer {
  const inner = innerSize(message);
  const body = message.kind === "unknown" ? 0 : embeddedSize(inner);
  const out = Buffer.allocUnsafe(GRPC_PREFIX_BYTES + body);
  out[0] = 0;
  out.writeUInt32BE(body, 1);
  if (message.kind !== "unknown") {
    putInner(out, putHead(out, GRPC_PREFIX_BYTES, MESSAGE_FIELD[message.kind], inner), message);
  }
  return out;
}
