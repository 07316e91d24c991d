/**
 * The Protobuf wire primitives that the trunk's codec is built from. Writing is unchecked (the caller sized the buffer);
 * reading is total: a malformed input sets `bad` and reads as zero, it never throws and never reads past its bound.
 */

/** Bytes of `value` (a safe, non-negative integer) as a varint. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  if (value < 0x1000_0000) return 4;
  let size = 5;
  for (let rest = Math.floor(value / 0x8_0000_0000); rest > 0; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
}

/** Writes `value` at `at` and returns the offset behind it. */
export function writeVarint(out: Uint8Array, at: number, value: number): number {
  let rest = value;
  while (rest >= 0x1000_0000) {
    out[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  while (rest >= 0x80) {
    out[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[at++] = rest;
  return at;
}

export const WIRE_VARINT = 0;
export const WIRE_FIXED64 = 1;
export const WIRE_BYTES = 2;
export const WIRE_FIXED32 = 5;

/** Walks one message; `end` is narrowed while inside an embedded message. */
export class WireReader {
  readonly bytes: Buffer;
  at: number;
  end: number;
  /** What is wrong with the input; empty while nothing is. */
  bad = "";

  constructor(bytes: Buffer, at: number, end: number) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  /** True while there are bytes left and nothing was wrong. */
  more(): boolean {
    return this.at < this.end && this.bad === "";
  }

  fail(why: string): number {
    if (this.bad === "") this.bad = why;
    return 0;
  }

  /** A varint below 2^53. */
  varint(): number {
    const { bytes, end } = this;
    let at = this.at;
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 10; count += 1) {
      if (at >= end) return this.fail("a varint is cut off");
      const byte = bytes[at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.at = at;
        return value <= Number.MAX_SAFE_INTEGER ? value : this.fail("a number is too big");
      }
      scale *= 0x80;
    }
    return this.fail("a varint is too long");
  }

  /** The length of an embedded message or bytes field, checked against what is left. */
  length(): number {
    const length = this.varint();
    if (length > this.end - this.at) return this.fail("a length points past the end");
    return length;
  }

  /** A view of a bytes field. */
  view(): Buffer {
    const length = this.length();
    const from = this.at;
    this.at = from + length;
    return this.bytes.subarray(from, from + length);
  }

  /** Steps over a field this code does not know. */
  skip(wireType: number): void {
    if (wireType === WIRE_VARINT) {
      for (let count = 0; count < 10; count += 1) {
        if (this.at >= this.end) return void this.fail("a varint is cut off");
        if ((this.bytes[this.at++] as number) < 0x80) return;
      }
      this.fail("a varint is too long");
    } else if (wireType === WIRE_BYTES) {
      // Two steps: `this.at += this.length()` would add to where it was before the length was read.
      const length = this.length();
      this.at += length;
    } else if (wireType === WIRE_FIXED64 || wireType === WIRE_FIXED32) {
      const size = wireType === WIRE_FIXED64 ? 8 : 4;
      if (this.end - this.at < size) this.fail("a fixed field is cut off");
      else this.at += size;
    } else this.fail("a wire type is not known");
  }
}
