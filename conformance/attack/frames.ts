/**
 * HTTP/2 frames as an attacker writes them (RFC 9113, 6; RFC 7541): every field is free, nothing is checked. Libraries refuse
 * to make most of what a server must survive.
 */

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;

export const FLAG = { endStream: 0x1, endHeaders: 0x4 } as const;

export const SETTING = { headerTable: 1, enablePush: 2, streams: 3, window: 4, frameSize: 5, headerList: 6 } as const;

const HEADER_BYTES = 9;
/** Window and stream numbers have 31 bits. */
export const MAX_31 = 0x7fff_ffff;

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** One frame. `announcedBytes`: what its header says, when that is to be a lie. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
  announcedBytes: number = payload.length,
): Buffer {
  const out = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  out.writeUIntBE(announcedBytes, 0, 3);
  out[3] = type;
  out[4] = flags;
  out.writeUInt32BE(stream >>> 0, 5);
  out.set(payload, HEADER_BYTES);
  return out;
}

export function settings(...pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 6);
  pairs.forEach(([id, value], at) => {
    payload.writeUInt16BE(id, at * 6);
    payload.writeUInt32BE(value, at * 6 + 2);
  });
  return frame(FRAME.settings, 0, 0, payload);
}

export function number32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value >>> 0);
  return out;
}

export function reset(stream: number, code = 8): Buffer {
  return frame(FRAME.reset, 0, stream, number32(code));
}

export function windowUpdate(stream: number, increment: number): Buffer {
  return frame(FRAME.window, 0, stream, number32(increment));
}

export function ping(): Buffer {
  return frame(FRAME.ping, 0, 0, Buffer.alloc(8, 7));
}

/** What a client says first: the preface and its settings. */
export function hello(...pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  return Buffer.concat([preface, settings(...pairs)]);
}

/** An HPACK integer with an n-bit prefix; `first` holds the bits before it. */
function prefixed(first: number, bits: number, value: number): number[] {
  const most = 2 ** bits - 1;
  if (value < most) return [first | value];
  const out = [first | most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128);
  return [...out, rest];
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  return Buffer.concat([Buffer.from(prefixed(0, 7, bytes.length)), bytes]);
}

/** A header that stays out of the dynamic table; never Huffman coded. */
export function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0x00]), text(name), text(value)]);
}

/** A header that enters the dynamic table. */
export function indexing(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0x40]), text(name), text(value)]);
}

/** A reference to entry `index` of the tables; 62 is the newest of the dynamic one. */
export function indexed(index: number): Buffer {
  return Buffer.from(prefixed(0x80, 7, index));
}

/** The header block of a gRPC call, as far as every caller sends it. */
export function grpcCall(path: string, ...more: readonly Buffer[]): Buffer {
  return Buffer.concat([
    indexed(3), // :method POST
    indexed(7), // :scheme https
    literal(":path", path),
    literal(":authority", "weft.internal"),
    literal("content-type", "application/grpc"),
    literal("te", "trailers"),
    ...more,
  ]);
}

export function headers(stream: number, block: Uint8Array, flags: number = FLAG.endHeaders): Buffer {
  return frame(FRAME.headers, flags, stream, block);
}

export interface HeardFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Cuts what a server says into frames. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** The frames that are complete with `chunk`. */
  read(chunk: Buffer): HeardFrame[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const out: HeardFrame[] = [];
    let at = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const end = at + HEADER_BYTES + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      out.push({
        type: bytes[at + 3] ?? 0,
        flags: bytes[at + 4] ?? 0,
        stream: bytes.readUInt32BE(at + 5) & MAX_31,
        payload: bytes.subarray(at + HEADER_BYTES, end),
      });
      at = end;
    }
    this.#rest = bytes.subarray(at);
    return out;
  }
}
