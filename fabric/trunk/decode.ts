/**
 * Bytes to messages. Total: any input gives a message or a `Malformed`, nothing throws, nothing is allocated beyond one
 * small object per frame and a copy of a contract where an open has one, and the number of frames is bounded before they are
 * kept. Payloads are views of the input.
 * Fields of later versions are stepped over; a field that appears twice counts as malformed where Protobuf would merge.
 */

import { isUtf8 } from "node:buffer";
import type { ChannelEnd, ChannelStage, NoticeKind } from "../../gen/weft/channel/v1/channel_pb.ts";
import { Lane } from "../../gen/weft/channel/v1/channel_pb.ts";
import type { ChannelClass, OriginAssurance } from "../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../lib/limits.ts";
import type { Attach, ChannelOpen, ChannelOrigin, ChannelReset, Frame, Malformed, Message } from "./messages.ts";
import { malformed } from "./messages.ts";
import { WIRE_BYTES, WIRE_VARINT, WireReader } from "./wire.ts";

const empty = Buffer.alloc(0);

function text(reader: WireReader): string {
  const bytes = reader.view();
  if (!isUtf8(bytes)) reader.fail("a string is not UTF-8");
  return bytes.toString("utf8");
}

function small(reader: WireReader): number {
  const value = reader.varint();
  return value <= 0xffff_ffff ? value : reader.fail("a 32-bit number is too big");
}

/**
 * Calls `field(number)` for every field whose wire type is the one it has in the contract; `varints` and `bytes` are bit
 * sets of field numbers. Everything else is stepped over.
 */
function eachField(reader: WireReader, varints: number, bytes: number, field: (number: number) => void): void {
  while (reader.more()) {
    const tag = reader.varint();
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (number === 0) return void reader.fail("a field has number 0");
    const known = number < 31 ? 1 << number : 0;
    if ((wireType === WIRE_VARINT && (varints & known) !== 0) || (wireType === WIRE_BYTES && (bytes & known) !== 0)) {
      field(number);
    } else if (((varints | bytes) & known) !== 0) return void reader.fail("a field has the wrong wire type");
    else reader.skip(wireType);
  }
}

/** Runs `inside` with the reader narrowed to an embedded message. */
function embedded<T>(reader: WireReader, inside: (reader: WireReader) => T): T {
  const length = reader.length();
  const outerEnd = reader.end;
  reader.end = reader.at + length;
  const value = inside(reader);
  reader.at = reader.end;
  reader.end = outerEnd;
  return value;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function attachOf(reader: WireReader): Attach {
  const out: Mutable<Attach> = {
    trunkId: empty,
    lane: Lane.UNSPECIFIED,
    generation: 0,
    nextExpectedSeq: 0,
    proof: empty,
    ask: empty,
    askSignature: empty,
  };
  eachField(reader, 0b0001_1100, 0b1110_0010, (field) => {
    if (field === 1) out.trunkId = reader.view();
    else if (field === 2) out.lane = small(reader) as Lane;
    else if (field === 3) out.generation = reader.varint();
    else if (field === 4) out.nextExpectedSeq = reader.varint();
    else if (field === 5) out.proof = reader.view();
    else if (field === 6) out.ask = reader.view();
    else out.askSignature = reader.view();
  });
  return out;
}

function originOf(reader: WireReader): ChannelOrigin {
  const out: Mutable<ChannelOrigin> = {
    assurance: 0,
    clientId: "",
    organizationId: "",
    entryNodeId: "",
    listenerId: "",
    sourceAddress: "",
  };
  eachField(reader, 0b10, 0b111_1100, (field) => {
    if (field === 1) out.assurance = small(reader) as OriginAssurance;
    else if (field === 2) out.clientId = text(reader);
    else if (field === 3) out.organizationId = text(reader);
    else if (field === 4) out.entryNodeId = text(reader);
    else if (field === 5) out.listenerId = text(reader);
    else out.sourceAddress = text(reader);
  });
  return out;
}

/** A copy, once its length is right: a view would keep its batch alive for as long as the channel lives. */
function contractOf(reader: WireReader): Uint8Array {
  const bytes = reader.view();
  if (bytes.length > limits.contractMaxBytes) reader.fail("a contract is too long");
  return reader.bad === "" ? new Uint8Array(bytes) : empty;
}

function openOf(reader: WireReader): ChannelOpen {
  const out: Mutable<ChannelOpen> = { resource: "", class: 0, origin: undefined, correlationId: "" };
  eachField(reader, 0b100, 0b1111_1010, (field) => {
    if (field === 1) out.resource = text(reader);
    else if (field === 2) out.class = small(reader) as ChannelClass;
    else if (field === 4) out.correlationId = text(reader);
    else if (field === 5) out.contract = contractOf(reader);
    else if (field === 6) out.flowIsolationId = text(reader);
    else if (field === 7) out.traceparent = text(reader);
    else if (out.origin !== undefined) reader.fail("a channel has two origins");
    else out.origin = embedded(reader, originOf);
  });
  return out;
}

function resetOf(reader: WireReader): ChannelReset {
  const out: Mutable<ChannelReset> = { end: 0, stage: 0, writtenToTarget: 0, correlationId: "" };
  eachField(reader, 0b1110, 0b1_0000, (field) => {
    if (field === 1) out.end = small(reader) as ChannelEnd;
    else if (field === 2) out.stage = small(reader) as ChannelStage;
    else if (field === 3) out.writtenToTarget = reader.varint();
    else out.correlationId = text(reader);
  });
  return out;
}

/** A message that has nothing but varints, as [field 1, field 2, field 3, field 4]. */
function numbersOf(reader: WireReader): [number, number, number, number] {
  const numbers: [number, number, number, number] = [0, 0, 0, 0];
  eachField(reader, 0b1_1110, 0, (field) => {
    numbers[field - 1] = reader.varint();
  });
  return numbers;
}

function noticeOf(reader: WireReader): Message {
  let notice: NoticeKind = 0;
  let detail = "";
  eachField(reader, 0b10, 0b100, (field) => {
    if (field === 1) notice = small(reader) as NoticeKind;
    else detail = text(reader);
  });
  return { kind: "notice", notice, detail };
}

function bodyOf(reader: WireReader, field: number, channelId: number): Frame {
  switch (field) {
    case 3:
      return { kind: "open", channelId, open: embedded(reader, openOf) };
    case 5:
      return { kind: "half_close", channelId, totalBytes: embedded(reader, numbersOf)[0] };
    case 6:
      return { kind: "reset", channelId, reset: embedded(reader, resetOf) };
    case 7: {
      const [limitBytes, writtenToTarget, returnsSeen, ownLimitBytes] = embedded(reader, numbersOf);
      return { kind: "credit", channelId, limitBytes, writtenToTarget, returnsSeen, ownLimitBytes };
    }
    case 8:
      return { kind: "tombstone", channelId, bytes: embedded(reader, numbersOf)[0] };
    default:
      embedded(reader, numbersOf);
      return { kind: "opened", channelId };
  }
}

/** Written out instead of `eachField`: this is the one that runs per frame. */
function frameOf(reader: WireReader): Frame {
  let channelId = 0;
  let frame: Frame | undefined;
  while (reader.more()) {
    const tag = reader.varint();
    if (tag === 0x08) channelId = small(reader);
    else if (tag === 0x12 || (tag >= 0x1a && tag <= 0x42 && (tag & 7) === WIRE_BYTES)) {
      if (frame !== undefined) reader.fail("a frame has two bodies");
      else if (tag === 0x12) frame = { kind: "data", channelId, data: reader.view() };
      else frame = bodyOf(reader, tag >> 3, channelId);
    } else if (tag < 0x48) reader.fail("a field has the wrong wire type");
    else reader.skip(tag % 8);
  }
  if (frame === undefined) return { kind: "unknown", channelId };
  // Field order is free on the wire: the id may have come after the body.
  return frame.channelId === channelId ? frame : { ...frame, channelId };
}

function batchOf(reader: WireReader): Message {
  let seq = 0;
  const frames: Frame[] = [];
  eachField(reader, 0b10, 0b100, (field) => {
    if (field === 1) seq = reader.varint();
    else if (frames.length >= limits.framesPerBatchMaxCount) reader.fail("a batch has too many frames");
    else frames.push(embedded(reader, frameOf));
  });
  return { kind: "batch", seq, frames };
}

function messageBody(reader: WireReader, field: number): Message {
  switch (field) {
    case 1:
      return { kind: "attach", attach: embedded(reader, attachOf) };
    case 2:
      return embedded(reader, batchOf);
    case 3:
      return { kind: "ack", nextExpectedSeq: embedded(reader, numbersOf)[0] };
    case 4: {
      const [id, owing] = embedded(reader, numbersOf);
      return { kind: "ping", id, owing: owing !== 0 };
    }
    case 5:
      return { kind: "pong", id: embedded(reader, numbersOf)[0] };
    case 6:
      return embedded(reader, noticeOf);
    default:
      return { kind: "move", generation: embedded(reader, numbersOf)[0] };
  }
}

/** Decodes one message (without its gRPC prefix). Never throws; payloads are views of `bytes`. */
export function decodeMessage(bytes: Buffer): Message | Malformed {
  if (bytes.length > limits.batchMaxBytes) return malformed("a message is too long");
  const reader = new WireReader(bytes, 0, bytes.length);
  let message: Message | undefined;
  eachField(reader, 0, 0b1111_1110, (field) => {
    if (message !== undefined) reader.fail("a message has two bodies");
    else message = messageBody(reader, field);
  });
  if (reader.bad !== "") return malformed(reader.bad);
  return message ?? { kind: "unknown" };
}
