/**
 * An endless transfer to an echo, checked byte for byte while it runs: what is sent is a key stream, so what comes back is
 * compared with the same key stream made again, and nothing has to be kept. A byte lost, repeated or altered is a
 * mismatch from there on. Both directions are hashed too.
 */

import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { resetSocket } from "../../lib/reset-socket.ts";

const chunkBytes = 16 * 1_024;
const tickMs = 20;

/** Endless pseudo-random bytes from a key (AES-128 in counter mode). */
function keyStream(key: Buffer): (sizeBytes: number) => Buffer {
  const cipher = createCipheriv("aes-128-ctr", key, Buffer.alloc(16));
  return (sizeBytes) => cipher.update(Buffer.alloc(sizeBytes));
}

export interface StreamCounts {
  readonly sentBytes: number;
  /** Came back and equal what was sent. */
  readonly verifiedBytes: number;
  /** Longest time between two arrivals since the last `mark()`, in ms; what has not ended yet counts. */
  readonly stallMs: number;
  /** Why it is over, or undefined while it runs. */
  readonly fault: string | undefined;
}

/** One connection through a listener, at `bytesPerSecond`. */
export class VerifiedStream {
  readonly #socket: Socket;
  readonly #next: (sizeBytes: number) => Buffer;
  readonly #expected: (sizeBytes: number) => Buffer;
  readonly #out = createHash("sha256");
  readonly #back = createHash("sha256");
  readonly #pacer: NodeJS.Timeout;
  readonly #over: Promise<void>;
  #sentBytes = 0;
  #verifiedBytes = 0;
  #stallMs = 0;
  #arrivedMs = performance.now();
  #fault: string | undefined;
  #isEnding = false;

  constructor(port: number, bytesPerSecond: number) {
    const key = randomBytes(16);
    this.#next = keyStream(key);
    this.#expected = keyStream(key);
    this.#socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
    this.#socket.on("data", (chunk: Buffer) => this.#arrived(chunk));
    this.#over = new Promise((resolve) => this.#socket.once("close", () => resolve()));
    this.#socket.once("error", (thrown) => this.#fail(thrown.message));
    this.#socket.once("end", () => {
      if (!this.#isEnding) this.#fail("the far end closed");
    });
    this.#socket.once("close", () => {
      if (!this.#isEnding) this.#fail("the connection closed");
      clearInterval(this.#pacer);
    });
    const startedMs = performance.now();
    this.#pacer = setInterval(() => this.#send(((performance.now() - startedMs) / 1_000) * bytesPerSecond), tickMs);
  }

  counts(): StreamCounts {
    return {
      sentBytes: this.#sentBytes,
      verifiedBytes: this.#verifiedBytes,
      stallMs: Math.max(this.#stallMs, performance.now() - this.#arrivedMs),
      fault: this.#fault,
    };
  }

  /** Begins a new longest stall. */
  mark(): void {
    this.#stallMs = 0;
    this.#arrivedMs = performance.now();
  }

  /** Ends the sending, waits for what is on its way, and says whether all of it came back equal, by hash too. */
  async finish(withinMs: number): Promise<{ readonly equal: boolean; readonly sha256: string }> {
    this.#isEnding = true;
    clearInterval(this.#pacer);
    this.#socket.end();
    const late = setTimeout(() => resetSocket(this.#socket), withinMs);
    await this.#over;
    clearTimeout(late);
    const [out, back] = [this.#out.digest("hex"), this.#back.digest("hex")];
    return { equal: this.#fault === undefined && this.#sentBytes === this.#verifiedBytes && out === back, sha256: out };
  }

  #send(dueBytes: number): void {
    while (this.#sentBytes + chunkBytes <= dueBytes && !this.#socket.writableNeedDrain && this.#socket.writable) {
      const chunk = this.#next(chunkBytes);
      this.#out.update(chunk);
      this.#sentBytes += chunk.length;
      this.#socket.write(chunk);
    }
  }

  #arrived(chunk: Buffer): void {
    const nowMs = performance.now();
    this.#stallMs = Math.max(this.#stallMs, nowMs - this.#arrivedMs);
    this.#arrivedMs = nowMs;
    if (this.#fault !== undefined) return;
    this.#back.update(chunk);
    if (chunk.equals(this.#expected(chunk.length))) this.#verifiedBytes += chunk.length;
    else this.#fail(`other bytes came back after ${this.#verifiedBytes} equal ones`);
  }

  #fail(why: string): void {
    this.#fault ??= why;
  }
}
