/**
 * Splits a byte stream into gRPC messages. A message that arrived in one piece is a view of that piece; one that spans
 * several is copied once into a buffer of its exact size. The length is judged before anything is allocated for it, so a
 * deframer never holds more than one message of the stated limit.
 */

import { GRPC_PREFIX_BYTES } from "./encode.ts";

export class GrpcDeframer {
  readonly #maxBytes: number;
  readonly #onMessage: (message: Buffer) => void;
  readonly #prefix = Buffer.alloc(GRPC_PREFIX_BYTES);
  #prefixHave = 0;
  #body: Buffer | undefined;
  #bodyHave = 0;
  #error = "";

  /** `maxBytes` bounds one message, without its prefix. */
  constructor(maxBytes: number, onMessage: (message: Buffer) => void) {
    this.#maxBytes = maxBytes;
    this.#onMessage = onMessage;
  }

  /** True in the middle of a message: the stream may not end here. */
  get partial(): boolean {
    return this.#prefixHave > 0 || this.#body !== undefined;
  }

  /** Stops delivering; what was being assembled is dropped. */
  stop(): void {
    this.#error = "the deframer was stopped";
    this.#body = undefined;
  }

  /** Takes the next bytes. Returns an empty string, or what is wrong (a constant string); after that it takes nothing. */
  push(chunk: Buffer): string {
    let at = 0;
    while (at < chunk.length && this.#error === "") {
      at = this.#body === undefined ? this.#takeHead(chunk, at) : this.#takeBody(chunk, at, this.#body);
    }
    return this.#error;
  }

  #takeHead(chunk: Buffer, start: number): number {
    let at = start;
    let length: number;
    if (this.#prefixHave === 0 && chunk.length - at >= GRPC_PREFIX_BYTES) {
      if (chunk[at] !== 0) return this.#fail("a message is compressed", at);
      length = chunk.readUInt32BE(at + 1);
      at += GRPC_PREFIX_BYTES;
    } else {
      const take = Math.min(GRPC_PREFIX_BYTES - this.#prefixHave, chunk.length - at);
      chunk.copy(this.#prefix, this.#prefixHave, at, at + take);
      this.#prefixHave += take;
      at += take;
      if (this.#prefix[0] !== 0) return this.#fail("a message is compressed", at);
      if (this.#prefixHave < GRPC_PREFIX_BYTES) return at;
      this.#prefixHave = 0;
      length = this.#prefix.readUInt32BE(1);
    }
    if (length > this.#maxBytes) return this.#fail("a message is too long", at);
    if (chunk.length - at >= length) {
      this.#onMessage(chunk.subarray(at, at + length));
      return at + length;
    }
    this.#body = Buffer.allocUnsafeSlow(length);
    this.#bodyHave = 0;
    return at;
  }

  #takeBody(chunk: Buffer, at: number, body: Buffer): number {
    const take = Math.min(body.length - this.#bodyHave, chunk.length - at);
    chunk.copy(body, this.#bodyHave, at, at + take);
    this.#bodyHave += take;
    if (this.#bodyHave === body.length) {
      this.#body = undefined;
      this.#onMessage(body);
    }
    return at + take;
  }

  #fail(why: string, at: number): number {
    if (this.#error === "") this.#error = why;
    return at;
  }
}
