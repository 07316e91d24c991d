/**
 * A strict DER reader (X.690, section 10) for certificates and certificate requests from strangers, and the writer of the few
 * elements that are made here.
 *
 * D1. Only definite, minimal lengths; single-byte tags; no byte before, between or after the elements.
 * D2. Work is linear in the input, depth is bounded, nothing is recursive beyond `DEPTH_MAX`.
 * D3. Every function returns undefined instead of throwing on bad input.
 */

/** One element: its tag byte, its whole encoding, its content, and its elements when constructed. */
export interface Der {
  readonly tag: number;
  /** The exact bytes, header included. Views into the input: do not modify. */
  readonly raw: Uint8Array;
  readonly content: Uint8Array;
  /** Empty for a primitive element. */
  readonly children: readonly Der[];
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

const DEPTH_MAX = 16;
const CONSTRUCTED = 0x20;

/** Reads exactly one element that fills `bytes`, or undefined. */
export function readDer(bytes: Uint8Array): Der | undefined {
  const element = readAt(bytes, 0, bytes.length, 0);
  return element !== undefined && element.raw.length === bytes.length ? element : undefined;
}

function readAt(bytes: Uint8Array, start: number, end: number, depth: number): Der | undefined {
  if (depth > DEPTH_MAX || end - start < 2) return undefined;
  const tag = bytes[start] ?? 0;
  if ((tag & 0x1f) === 0x1f) return undefined;
  const header = readLength(bytes, start + 1, end);
  if (header === undefined || header.contentStart + header.length > end) return undefined;
  const contentEnd = header.contentStart + header.length;
  const children: Der[] = [];
  if ((tag & CONSTRUCTED) !== 0) {
    for (let at = header.contentStart; at < contentEnd; ) {
      const child = readAt(bytes, at, contentEnd, depth + 1);
      if (child === undefined) return undefined;
      children.push(child);
      at += child.raw.length;
    }
  }
  return {
    tag,
    raw: bytes.subarray(start, contentEnd),
    content: bytes.subarray(header.contentStart, contentEnd),
    children,
  };
}

function readLength(bytes: Uint8Array, at: number, end: number): { length: number; contentStart: number } | undefined {
  const first = bytes[at] ?? 0x80;
  if (first < 0x80) return { length: first, contentStart: at + 1 };
  const count = first & 0x7f;
  // 0x80 is the indefinite form; more than three length bytes exceed anything accepted here.
  if (count === 0 || count > 3 || at + 1 + count > end) return undefined;
  let length = 0;
  for (let i = 0; i < count; i++) length = length * 256 + (bytes[at + 1 + i] ?? 0);
  const minimal = length >= 0x80 && length >= 256 ** (count - 1);
  return minimal ? { length, contentStart: at + 1 + count } : undefined;
}

/** The lower-case hex of the magnitude of a positive, non-zero INTEGER of at most `maxBytes` bytes, or undefined. */
export function readPositiveIntegerHex(element: Der | undefined, maxBytes: number): string | undefined {
  if (element?.tag !== TAG.integer) return undefined;
  const bytes = element.content;
  const first = bytes[0];
  if (first === undefined || first >= 0x80 || bytes.length > maxBytes) return undefined;
  if (first === 0 && (bytes[1] ?? 0) < 0x80) return undefined;
  return Buffer.from(first === 0 ? bytes.subarray(1) : bytes).toString("hex");
}

/** The instant of a UTCTime or GeneralizedTime in the only form RFC 5280 allows (seconds, Z), as milliseconds. */
export function readTimeMs(element: Der | undefined): number | undefined {
  if (element === undefined) return undefined;
  const text = Buffer.from(element.content).toString("latin1");
  let digits: string;
  if (element.tag === TAG.utcTime && /^[0-9]{12}Z$/.test(text)) {
    digits = (Number(text.slice(0, 2)) < 50 ? "20" : "19") + text.slice(0, 12);
  } else if (element.tag === TAG.generalizedTime && /^[0-9]{14}Z$/.test(text)) {
    digits = text.slice(0, 14);
  } else {
    return undefined;
  }
  const [, year, month, day, hour, minute, second] = /^(.{4})(..)(..)(..)(..)(..)$/.exec(digits) ?? [];
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const atMs = Date.parse(iso);
  return Number.isNaN(atMs) || new Date(atMs).toISOString() !== iso ? undefined : atMs;
}

/** Whether the bytes of `element` are exactly `hex`. */
export function isExactly(element: Der | undefined, hex: string): boolean {
  return element !== undefined && Buffer.from(element.raw).toString("hex") === hex;
}

/** One element: its tag, the length of its content in the shortest form, its content. */
export function writeDer(tag: number, content: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  const digits: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  const header = length < 0x80 ? [tag, length] : [tag, 0x80 + digits.length, ...digits];
  return new Uint8Array(Buffer.concat([Buffer.from(header), ...content]));
}
