/**
 * The messages of the open-loop load: a header of 32 bytes (little-endian) and a payload that looks random.
 *
 *   0 magic  4 size  8 channel  12 sequence in the channel  16 when it was meant to be sent (f64)  24 window  28 zero
 *
 * Times are milliseconds of CLOCK_MONOTONIC, which all processes of one host share.
 */

const magic = 0x57464c31;
export const headerBytes = 32;

/** Not random enough to keep anything secret: only different from channel to channel and from message to message. */
const ringBytes = 65_536;
const ring = Buffer.alloc(2 * ringBytes);
for (let at = 0, state = 0x9e3779b9; at < ring.length; at += 4) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  ring.writeInt32LE(state | 0, at);
}

export interface Message {
  readonly channel: number;
  readonly seq: number;
  readonly sizeBytes: number;
  readonly intendedMs: number;
  /** The measuring window it belongs to. */
  readonly window: number;
}

/** Milliseconds of the clock all processes of this host share. */
export function sharedMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1e6;
}

/** Writes `message` at `at`; `into` must have room for its size. */
export function writeMessage(into: Buffer, at: number, message: Message): void {
  const { channel, seq, sizeBytes } = message;
  into.writeUInt32LE(magic, at);
  into.writeUInt32LE(sizeBytes, at + 4);
  into.writeUInt32LE(channel, at + 8);
  into.writeUInt32LE(seq, at + 12);
  into.writeDoubleLE(message.intendedMs, at + 16);
  into.writeUInt32LE(message.window, at + 24);
  into.writeUInt32LE(0, at + 28);
  const from = (channel * 7_919 + seq * 104_729) % ringBytes;
  ring.copy(into, at + headerBytes, from, from + sizeBytes - headerBytes);
}

/** The header at `at`, or undefined when no message begins there. */
export function readHeader(from: Buffer, at: number): Message | undefined {
  const sizeBytes = from.readUInt32LE(at + 4);
  if (from.readUInt32LE(at) !== magic || sizeBytes < headerBytes || sizeBytes > ringBytes) return undefined;
  return {
    channel: from.readUInt32LE(at + 8),
    seq: from.readUInt32LE(at + 12),
    sizeBytes,
    intendedMs: from.readDoubleLE(at + 16),
    window: from.readUInt32LE(at + 24),
  };
}
