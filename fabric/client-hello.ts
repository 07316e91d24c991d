/**
 * The server name of a TLS ClientHello (RFC 8446, 4.1.2; RFC 6066, 3), read from the first bytes of a connection, before
 * TLS sees them. A hello may span several records and segments (an ML-KEM key share alone is 1 184 bytes).
 *
 * CH1. Total: any bytes give a verdict, nothing throws, and no more than `limits.peekMaxBytes` are ever looked at.
 * CH2. The verdict on a prefix never changes with more bytes, except from `more`.
 */

import { limits } from "../lib/limits.ts";

export type HelloVerdict =
  | { readonly kind: "more" }
  | { readonly kind: "hello"; readonly serverName?: string }
  | { readonly kind: "garbage" };

const MORE: HelloVerdict = { kind: "more" };
const GARBAGE: HelloVerdict = { kind: "garbage" };
const RECORD_HEADER_BYTES = 5;
const RECORD_MAX_BYTES = 16_384;
const HANDSHAKE_HEADER_BYTES = 4;
const CLIENT_HELLO = 1;
/** Far more than any client makes; bounds what reading the same prefix again and again can cost. */
const RECORDS_MAX_COUNT = 16;
const HOST_NAME = /^[A-Za-z0-9._-]{1,253}$/;

/** Judges everything received so far on a connection that began like a TLS handshake. */
export function parseClientHello(bytes: Uint8Array): HelloVerdict {
  const seen = collectHandshake(bytes.subarray(0, limits.peekMaxBytes));
  if (seen === undefined) return GARBAGE;
  if (seen !== "cut") return parseBody(new Reader(seen));
  // What the peek may hold is full and the hello is still not complete (CH1).
  return bytes.length >= limits.peekMaxBytes ? GARBAGE : MORE;
}

/**
 * The body of the ClientHello in these records, "cut" while it is not complete, undefined when it cannot become one.
 * Bytes behind the hello are the handshake's next step, whatever they are: they are not looked at (CH2).
 */
function collectHandshake(bytes: Uint8Array): Uint8Array | "cut" | undefined {
  const parts: Uint8Array[] = [];
  const header: number[] = [];
  let haveBytes = 0;
  for (let at = 0; at < bytes.length; ) {
    if (!isRecordStart(bytes, at) || parts.length === RECORDS_MAX_COUNT) return undefined;
    if (bytes.length - at < RECORD_HEADER_BYTES) return "cut";
    const sizeBytes = u16(bytes, at + 3);
    if (sizeBytes === 0 || sizeBytes > RECORD_MAX_BYTES) return undefined;
    at += RECORD_HEADER_BYTES;
    const part = bytes.subarray(at, at + sizeBytes);
    at += sizeBytes;
    parts.push(part);
    haveBytes += part.length;
    for (let i = 0; i < part.length && header.length < HANDSHAKE_HEADER_BYTES; i++) header.push(u8(part, i));
    if (header.length > 0 && header[0] !== CLIENT_HELLO) return undefined;
    if (header.length < HANDSHAKE_HEADER_BYTES) continue;
    const endBytes = HANDSHAKE_HEADER_BYTES + (((header[1] ?? 0) << 16) | ((header[2] ?? 0) << 8) | (header[3] ?? 0));
    if (endBytes > limits.peekMaxBytes - RECORD_HEADER_BYTES) return undefined;
    if (haveBytes >= endBytes) return Buffer.concat(parts).subarray(HANDSHAKE_HEADER_BYTES, endBytes);
  }
  return "cut";
}

function isRecordStart(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0x16 && (at + 1 >= bytes.length || bytes[at + 1] === 0x03);
}

function parseBody(body: Reader): HelloVerdict {
  const version = body.u16();
  const random = body.take(32);
  const session = body.block8();
  const suites = body.block16();
  const compressions = body.block8();
  if (version === undefined || version >> 8 !== 3 || random === undefined) return GARBAGE;
  if (session === undefined || session.length > 32) return GARBAGE;
  if (suites === undefined || suites.length < 2 || suites.length % 2 !== 0) return GARBAGE;
  if (compressions === undefined || compressions.length < 1) return GARBAGE;
  if (body.done()) return { kind: "hello" };
  const extensions = body.block16();
  if (extensions === undefined || !body.done()) return GARBAGE;
  return parseExtensions(new Reader(extensions));
}

function parseExtensions(extensions: Reader): HelloVerdict {
  let serverName: string | undefined;
  while (!extensions.done()) {
    const type = extensions.u16();
    const data = extensions.block16();
    if (type === undefined || data === undefined) return GARBAGE;
    if (type !== 0) continue;
    const name = parseServerNameList(new Reader(data));
    if (name === undefined || serverName !== undefined) return GARBAGE;
    serverName = name;
  }
  return serverName === undefined ? { kind: "hello" } : { kind: "hello", serverName };
}

/** The one host name of a server_name extension, or undefined when there is not exactly one plausible. */
function parseServerNameList(data: Reader): string | undefined {
  const list = data.block16();
  if (list === undefined || !data.done()) return undefined;
  const entry = new Reader(list);
  const type = entry.u8();
  const name = entry.block16();
  if (type !== 0 || name === undefined || !entry.done()) return undefined;
  const text = Buffer.from(name).toString("latin1");
  return HOST_NAME.test(text) ? text : undefined;
}

function u8(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}

function u16(bytes: Uint8Array, at: number): number {
  return (u8(bytes, at) << 8) | u8(bytes, at + 1);
}

/** Reads forward; every read beyond the end gives undefined and leaves the position alone. */
class Reader {
  #at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  done(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(count: number): Uint8Array | undefined {
    if (this.#bytes.length - this.#at < count) return undefined;
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  u8(): number | undefined {
    return this.take(1)?.[0];
  }

  u16(): number | undefined {
    const two = this.take(2);
    return two === undefined ? undefined : u16(two, 0);
  }

  block8(): Uint8Array | undefined {
    const size = this.u8();
    return size === undefined ? undefined : this.take(size);
  }

  block16(): Uint8Array | undefined {
    const size = this.u16();
    return size === undefined ? undefined : this.take(size);
  }
}
