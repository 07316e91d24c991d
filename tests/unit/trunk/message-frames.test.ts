/** Messages behind their lengths: whatever cuts the bytes, the same messages come out, and a bad length is told at once. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  MESSAGE_HEAD_BYTES,
  MessageDeframer,
  MessageGuard,
  messageTooLarge,
  writeMessageHead,
} from "../../../fabric/trunk/message-frames.ts";

const MAX_BYTES = 300;

function framed(message: Uint8Array): Buffer {
  const out = Buffer.alloc(MESSAGE_HEAD_BYTES + message.length);
  out.set(message, writeMessageHead(out, 0, message.length));
  return out;
}

/** Cuts at arbitrary places; every piece is a buffer of its own. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set([0, ...places.map((place) => place % (bytes.length + 1)), bytes.length])].sort(
    (a, b) => a - b,
  );
  return at.slice(1).map((to, index) => Buffer.from(bytes.subarray(at[index], to)));
}

const messages = fc.array(fc.uint8Array({ maxLength: MAX_BYTES }), { maxLength: 12 });
const places = fc.array(fc.nat(), { maxLength: 40 });

describe("LAW-T1 messages behind their lengths", () => {
  it("come out as they went in, however the bytes are cut", () => {
    fc.assert(
      fc.property(messages, places, (sent, where) => {
        const got: Buffer[] = [];
        const deframer = new MessageDeframer(MAX_BYTES, (message) => got.push(Buffer.from(message)));
        const guard = new MessageGuard(MAX_BYTES);
        for (const piece of cut(Buffer.concat(sent.map(framed)), where)) {
          expect(deframer.push(piece)).toBe(true);
          expect(guard.accepts(piece)).toBe(true);
        }
        expect(got.map((message) => [...message])).toEqual(sent.map((message) => [...message]));
        expect([deframer.partial, guard.partial]).toEqual([false, false]);
      }),
    );
  });

  it("are unfinished at every cut that is not between two of them", () => {
    fc.assert(
      fc.property(messages, fc.nat(), (sent, place) => {
        const bytes = Buffer.concat(sent.map(framed));
        const to = place % (bytes.length + 1);
        let end = 0;
        const ends = new Set([0, ...sent.map((message) => (end += MESSAGE_HEAD_BYTES + message.length))]);
        const deframer = new MessageDeframer(MAX_BYTES, () => {});
        const guard = new MessageGuard(MAX_BYTES);
        deframer.push(bytes.subarray(0, to));
        guard.accepts(bytes.subarray(0, to));
        expect([deframer.partial, guard.partial]).toEqual([!ends.has(to), !ends.has(to)]);
      }),
    );
  });

  it("arrive one byte at a time", () => {
    const got: string[] = [];
    const deframer = new MessageDeframer(MAX_BYTES, (message) => got.push(message.toString()));
    const guard = new MessageGuard(MAX_BYTES);
    for (const byte of Buffer.concat(["one", "", "three"].map((text) => framed(Buffer.from(text))))) {
      deframer.push(Buffer.of(byte));
      guard.accepts(Buffer.of(byte));
    }
    expect(got).toEqual(["one", "", "three"]);
  });
});

describe("a message that is too long", () => {
  it.each([MAX_BYTES + 1, 0x8000_0000, 0xffff_ffff])("of %i bytes is refused by its length alone", (length) => {
    const head = Buffer.alloc(MESSAGE_HEAD_BYTES);
    writeMessageHead(head, 0, length);
    expect(head.readUInt32BE(0)).toBe(length);
    const bytes = Buffer.concat([framed(Buffer.from("good")), head]);
    for (const pieces of [[bytes], [...bytes].map((byte) => Buffer.of(byte))]) {
      const got: string[] = [];
      const deframer = new MessageDeframer(MAX_BYTES, (message) => got.push(message.toString()));
      const guard = new MessageGuard(MAX_BYTES);
      expect(pieces.map((piece) => deframer.push(piece)).at(-1)).toBe(false);
      expect(pieces.map((piece) => guard.accepts(piece)).at(-1)).toBe(false);
      // What came before it was delivered; nothing after it is.
      deframer.push(framed(Buffer.from("late")));
      expect(got).toEqual(["good"]);
    }
  });

  it("of exactly the bound passes", () => {
    const guard = new MessageGuard(MAX_BYTES);
    expect(guard.accepts(framed(Buffer.alloc(MAX_BYTES)))).toBe(true);
    expect(guard.partial).toBe(false);
  });

  it("has an error that names the bound", () => {
    expect(messageTooLarge(7)).toMatchObject({
      reason: "resource_exhausted",
      detail: "MESSAGE_TOO_LARGE",
      retry: "never",
    });
  });
});
