/** The hand-written codec against the generated one, both directions, and against hostile bytes. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeMessage } from "../../../fabric/trunk/decode.ts";
import { encodeMessage, frameSize, GRPC_PREFIX_BYTES } from "../../../fabric/trunk/encode.ts";
import type { Frame, Message } from "../../../fabric/trunk/messages.ts";
import { varintSize, WireReader, writeVarint } from "../../../fabric/trunk/wire.ts";
import type { OpenRequest } from "../../../gen/weft/channel/v1/channel_pb.ts";
import { OpenRequestSchema, OpenResponseSchema } from "../../../gen/weft/channel/v1/channel_pb.ts";
import { limits } from "../../../lib/limits.ts";
import { runs } from "../../harness/counts.ts";

const uint64 = fc.oneof(fc.constantFrom(0, 1, 127, 128, 2 ** 32, Number.MAX_SAFE_INTEGER), fc.maxSafeNat());
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const small = fc.nat({ max: 15 });
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const text = fc.string({ maxLength: 40, unit: "grapheme" });

const origin = fc.record({
  assurance: fc.nat({ max: 3 }),
  clientId: text,
  organizationId: text,
  entryNodeId: text,
  listenerId: text,
  sourceAddress: text,
});
const openFields = {
  resource: text,
  class: fc.nat({ max: 3 }),
  origin: fc.option(origin, { nil: undefined }),
  correlationId: text,
};
const open = fc.oneof(
  fc.record(openFields),
  fc.record({
    ...openFields,
    contract: fc.uint8Array({ minLength: 1, maxLength: limits.contractMaxBytes }),
    flowIsolationId: fc.stringMatching(/^[a-z0-9-]{1,63}$/),
  }),
  fc.record({ ...openFields, traceparent: fc.string({ minLength: 1, maxLength: 60, unit: "grapheme" }) }),
);
const reset = fc.record({ end: small, stage: fc.nat({ max: 4 }), writtenToTarget: uint64, correlationId: text });
const channelId = uint32;
const frame = fc.oneof(
  fc.record({ kind: fc.constant("data" as const), channelId, data: bytes }),
  fc.record({ kind: fc.constant("open" as const), channelId, open }),
  fc.record({ kind: fc.constant("opened" as const), channelId }),
  fc.record({ kind: fc.constant("half_close" as const), channelId, totalBytes: uint64 }),
  fc.record({ kind: fc.constant("reset" as const), channelId, reset }),
  fc.record({
    kind: fc.constant("credit" as const),
    channelId,
    limitBytes: uint64,
    writtenToTarget: uint64,
    returnsSeen: uint64,
    ownLimitBytes: uint64,
  }),
  fc.record({ kind: fc.constant("tombstone" as const), channelId, bytes: uint64 }),
) as fc.Arbitrary<Frame>;
const attach = fc.record({
  trunkId: bytes,
  lane: fc.nat({ max: 2 }),
  generation: uint64,
  nextExpectedSeq: uint64,
  proof: bytes,
  ask: bytes,
  askSignature: bytes,
});
const message = fc.oneof(
  fc.record({ kind: fc.constant("attach" as const), attach }),
  fc.record({ kind: fc.constant("batch" as const), seq: uint64, frames: fc.array(frame, { maxLength: 12 }) }),
  fc.record({ kind: fc.constant("ack" as const), nextExpectedSeq: uint64 }),
  fc.record({ kind: fc.constant("ping" as const), id: uint64, owing: fc.boolean() }),
  fc.record({ kind: fc.constant("pong" as const), id: uint64 }),
  fc.record({ kind: fc.constant("notice" as const), notice: fc.nat({ max: 5 }), detail: text }),
  fc.record({ kind: fc.constant("move" as const), generation: uint64 }),
) as fc.Arbitrary<Message>;

const body = (encoded: Buffer): Buffer => encoded.subarray(GRPC_PREFIX_BYTES);
const big = (value: number): bigint => BigInt(value);

/** The same message as the generated code wants it. */
function generatedFrame(f: Frame) {
  switch (f.kind) {
    case "data":
      return { channelId: f.channelId, body: { case: "data" as const, value: f.data } };
    case "open":
      return {
        channelId: f.channelId,
        body: { case: "open" as const, value: { ...f.open, origin: f.open.origin } as never },
      };
    case "opened":
      return { channelId: f.channelId, body: { case: "opened" as const, value: {} } };
    case "half_close":
      return { channelId: f.channelId, body: { case: "halfClose" as const, value: { totalBytes: big(f.totalBytes) } } };
    case "reset":
      return {
        channelId: f.channelId,
        body: { case: "reset" as const, value: { ...f.reset, writtenToTarget: big(f.reset.writtenToTarget) } },
      };
    case "credit":
      return {
        channelId: f.channelId,
        body: {
          case: "credit" as const,
          value: {
            limitBytes: big(f.limitBytes),
            writtenToTarget: big(f.writtenToTarget),
            returnsSeen: big(f.returnsSeen),
            ownLimitBytes: big(f.ownLimitBytes),
          },
        },
      };
    case "tombstone":
      return { channelId: f.channelId, body: { case: "tombstone" as const, value: { bytes: big(f.bytes) } } };
    case "unknown":
      return { channelId: f.channelId };
  }
}

function generatedValue(m: Message): unknown {
  switch (m.kind) {
    case "attach":
      return { ...m.attach, generation: big(m.attach.generation), nextExpectedSeq: big(m.attach.nextExpectedSeq) };
    case "batch":
      return { seq: big(m.seq), frames: m.frames.map(generatedFrame) };
    case "ack":
      return { nextExpectedSeq: big(m.nextExpectedSeq) };
    case "ping":
      return { id: big(m.id), owing: m.owing };
    case "pong":
      return { id: big(m.id) };
    case "notice":
      return { kind: m.notice, detail: m.detail };
    case "move":
      return { generation: big(m.generation) };
    case "unknown":
      return undefined;
  }
}

function generated(m: Message): OpenRequest {
  return create(OpenRequestSchema, { message: { case: m.kind, value: generatedValue(m) } as never });
}

describe("the codec", () => {
  it("writes what the generated encoder writes, byte for byte", () => {
    fc.assert(
      fc.property(message, (m) => {
        const encoded = encodeMessage(m);
        expect(encoded[0]).toBe(0);
        expect(encoded.readUInt32BE(1)).toBe(encoded.length - GRPC_PREFIX_BYTES);
        expect(body(encoded).equals(Buffer.from(toBinary(OpenRequestSchema, generated(m))))).toBe(true);
      }),
      { numRuns: runs(400, 20_000) },
    );
  });

  it("writes requests that are responses too", () => {
    fc.assert(
      fc.property(message, (m) => {
        const response = fromBinary(OpenResponseSchema, body(encodeMessage(m)));
        expect(Buffer.from(toBinary(OpenResponseSchema, response)).equals(body(encodeMessage(m)))).toBe(true);
      }),
      { numRuns: runs(100, 5_000) },
    );
  });

  it("reads what the generated encoder wrote", () => {
    fc.assert(
      fc.property(message, (m) => {
        expect(decodeMessage(Buffer.from(toBinary(OpenRequestSchema, generated(m))))).toEqual(m);
      }),
      { numRuns: runs(400, 20_000) },
    );
  });

  it("hands out payloads as views of the input", () => {
    const encoded = body(
      encodeMessage({ kind: "batch", seq: 1, frames: [{ kind: "data", channelId: 1, data: Buffer.from("abc") }] }),
    );
    const decoded = decodeMessage(encoded);
    if (decoded.kind !== "batch" || decoded.frames[0]?.kind !== "data") throw new Error("not a data frame");
    expect(decoded.frames[0].data.buffer).toBe(encoded.buffer);
  });

  it("knows a frame's size before writing it", () => {
    fc.assert(
      fc.property(frame, (f) => {
        const one = encodeMessage({ kind: "batch", seq: 0, frames: [f] });
        const two = encodeMessage({ kind: "batch", seq: 0, frames: [f, f] });
        const growth = varintSize(frameSize(f) * 2) - varintSize(frameSize(f));
        expect(two.length - one.length).toBe(frameSize(f) + growth);
      }),
      { numRuns: runs(100, 5_000) },
    );
  });

  it("steps over fields of a later version", () => {
    const later = Buffer.concat([
      Buffer.from([0x7a, 0x02, 1, 2]),
      body(encodeMessage({ kind: "ack", nextExpectedSeq: 7 })),
    ]);
    expect(decodeMessage(later)).toEqual({ kind: "ack", nextExpectedSeq: 7 });
    expect(decodeMessage(Buffer.from([0x7a, 0x02, 1, 2]))).toEqual({ kind: "unknown" });
    expect(decodeMessage(Buffer.alloc(0))).toEqual({ kind: "unknown" });
  });

  it.each([
    ["a number above 2^53", Buffer.from([0x1a, 0x0a, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])],
    [
      "two bodies",
      Buffer.concat([body(encodeMessage({ kind: "pong", id: 1 })), body(encodeMessage({ kind: "pong", id: 1 }))]),
    ],
    ["a length past the end", Buffer.from([0x1a, 0x7f])],
    ["field number zero", Buffer.from([0x02, 0x00])],
    ["a group", Buffer.from([0x7b])],
    ["a string that is not UTF-8", Buffer.from([0x32, 0x03, 0x12, 0x01, 0xff])],
    ["an attach as a number", Buffer.from([0x08, 0x01])],
  ])("refuses %s", (_name, input) => {
    expect(decodeMessage(input).kind).toBe("malformed");
  });

  it("bounds frames and length before keeping anything", () => {
    const count = limits.framesPerBatchMaxCount + 1;
    const frames: Frame[] = Array.from({ length: count }, () => ({ kind: "opened", channelId: 1 }));
    const encoded = body(encodeMessage({ kind: "batch", seq: 1, frames }));
    expect(decodeMessage(encoded)).toEqual({ kind: "malformed", detail: "a batch has too many frames" });
    expect(decodeMessage(Buffer.alloc(limits.batchMaxBytes + 1)).kind).toBe("malformed");
  });

  it("is total on random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (input) => {
        expect(typeof decodeMessage(Buffer.from(input)).kind).toBe("string");
      }),
      { numRuns: runs(2_000, 100_000) },
    );
  });
});

describe("varints", () => {
  it("come back as they went, in the size that was foretold", () => {
    fc.assert(
      fc.property(uint64, (value) => {
        const out = Buffer.alloc(10);
        const end = writeVarint(out, 0, value);
        expect(end).toBe(varintSize(value));
        expect(new WireReader(out, 0, end).varint()).toBe(value);
      }),
      { numRuns: runs(300, 10_000) },
    );
  });
});
