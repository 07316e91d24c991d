/**
 * Messages as they travel on a channel to a message resource, and as its target and plain TCP clients speak them: each
 * behind its length in 4 bytes, big endian. The bytes of the channel are the messages, so boundaries survive whatever cuts
 * and joins bytes in between. Two readers: one lets bytes pass and only watches, the other puts whole messages together.
 * Neither allocates anything before a length was judged, and neither ever holds more than one message.
 */

import { WeftError } from "../../lib/errors.ts";

/** Bytes of the length in front of every message. */
export const MESSAGE_HEAD_BYTES = 4;

/** The error of whoever hands over a message that is too long. `limitBytes` is without the length in front. */
export function messageTooLarge(limitBytes: number): WeftError {
  return new WeftError("resource_exhausted", `a message has at most ${limitBytes} bytes`, {
    detail: "MESSAGE_TOO_LARGE",
    retry: "never",
    metadata: { limitBytes: String(limitBytes) },
  });
}

/** Watches messages pass: what a pipe needs that hands bytes on as they come. */
export class MessageGuard {
  readonly #maxBytes: number;
  #headHave = 0;
  #length = 0;
  #bodyLeft = 0;

  /** `maxBytes` bounds one message, without its length. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** True in the middle of a message: the stream may not end here. */
  get partial(): boolean {
    return this.#headHave > 0 || this.#bodyLeft > 0;
  }

  /** Looks at the next bytes. False when they announce a message that is too long; nothing may follow then. */
  accepts(chunk: Buffer): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#bodyLeft > 0) {
        const step = Math.min(this.#bodyLeft, chunk.length - at);
        this.#bodyLeft -= step;
        at += step;
      } else if (this.#headHave === 0 && chunk.length - at >= MESSAGE_HEAD_BYTES) {
        this.#bodyLeft = lengthAt(chunk, at);
        at += MESSAGE_HEAD_BYTES;
        if (this.#bodyLeft > this.#maxBytes) return false;
      } else {
        this.#length = this.#length * 256 + (chunk[at++] as number);
        this.#headHave += 1;
        if (this.#headHave < MESSAGE_HEAD_BYTES) continue;
        this.#bodyLeft = this.#length;
        this.#headHave = 0;
        this.#length = 0;
        if (this.#bodyLeft > this.#maxBytes) return false;
      }
    }
    return true;
  }
}

/** Puts whole messages together. One that arrived in one piece is a view of that piece; others are copied once. */
export class MessageDeframer {
  readonly #maxBytes: number;
  readonly #onMessage: (message: Buffer) => void;
  /** What has come of a length that came in pieces. */
  #headValue = 0;
  #headHave = 0;
  #body: Buffer | undefined;
  #bodyHave = 0;
  #stopped = false;

  /** `maxBytes` bounds one message, without its length. */
  constructor(maxBytes: number, onMessage: (message: Buffer) => void) {
    this.#maxBytes = maxBytes;
    this.#onMessage = onMessage;
  }

  /** True in the middle of a message: the stream may not end here. */
  get partial(): boolean {
    return this.#headHave > 0 || this.#body !== undefined;
  }

  /** Delivers nothing more; what was being put together is dropped. */
  stop(): void {
    this.#stopped = true;
    this.#body = undefined;
  }

  /** Takes the next bytes. False when a message is too long; after that nothing is delivered. */
  push(chunk: Buffer): boolean {
    let at = 0;
    while (at < chunk.length && !this.#stopped) {
      if (this.#body !== undefined) {
        at += this.#takeBody(chunk, at, this.#body);
        continue;
      }
      let length: number;
      if (this.#headHave === 0 && chunk.length - at >= MESSAGE_HEAD_BYTES) {
        length = lengthAt(chunk, at);
        at += MESSAGE_HEAD_BYTES;
      } else {
        this.#headValue = this.#headValue * 0x100 + (chunk[at++] as number);
        this.#headHave += 1;
        if (this.#headHave < MESSAGE_HEAD_BYTES) continue;
        length = this.#headValue;
        this.#headValue = 0;
        this.#headHave = 0;
      }
      if (length > this.#maxBytes) {
        this.stop();
        return false;
      }
      if (chunk.length - at >= length) {
        this.#onMessage(chunk.subarray(at, at + length));
        at += length;
      } else {
        this.#body = Buffer.allocUnsafeSlow(length);
        this.#bodyHave = 0;
      }
    }
    return true;
  }

  #takeBody(chunk: Buffer, at: number, body: Buffer): number {
    const take = Math.min(body.length - this.#bodyHave, chunk.length - at);
    chunk.copy(body, this.#bodyHave, at, at + take);
    this.#bodyHave += take;
    if (this.#bodyHave === body.length) {
      this.#body = undefined;
      this.#onMessage(body);
    }
    return take;
  }
}

/** Writes a message's length; returns the offset behind it. */
export function writeMessageHead(out: Uint8Array, at: number, length: number): number {
  out[at] = length >>> 24;
  out[at + 1] = length >>> 16;
  out[at + 2] = length >>> 8;
  out[at + 3] = length;
  return at + MESSAGE_HEAD_BYTES;
}

/** Faster than `readUInt32BE` here: the caller has checked the bounds. */
function lengthAt(bytes: Buffer, at: number): number {
  return (
    (bytes[at] as number) * 0x100_0000 +
    (((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number))
  );
}
