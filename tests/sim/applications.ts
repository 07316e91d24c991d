/**
 * The applications at both ends of every channel: they write a pattern, scribble over what they wrote, stop reading for a
 * while, and compare every byte that arrives.
 */

import type { EdgeChannel } from "../../edge/channel.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";

const PERIOD = 8_192;

/** The pattern of a channel and direction, twice as long as what repeats: any run of a period is a slice of it. */
function patternOf(channelId: number, fromInitiator: boolean): Buffer {
  const out = Buffer.alloc(2 * PERIOD);
  for (let i = 0; i < PERIOD; i += 1) {
    out[i] = (channelId * 31 + (fromInitiator ? 7 : 101) + i + (i >> 8) * 13) & 0xff;
  }
  out.copyWithin(PERIOD, 0, PERIOD);
  return out;
}

/** One end of a channel, and who uses it. */
export class Application {
  readonly stream: EdgeChannel;
  readonly initiator: boolean;
  writtenBytes = 0;
  arrivedBytes = 0;
  /** The far end sends no more. */
  ended = false;
  closed = false;
  error: WeftError | undefined;
  /** What is wrong with what arrived. */
  wrong = "";
  readonly #sends: Buffer;
  readonly #expects: Buffer;

  constructor(stream: EdgeChannel, initiator: boolean) {
    this.stream = stream;
    this.initiator = initiator;
    this.#sends = patternOf(stream.channelId, initiator);
    this.#expects = patternOf(stream.channelId, !initiator);
    stream.on("data", (bytes: Buffer) => this.#data(bytes));
    stream.once("end", () => {
      this.ended = true;
    });
    stream.once("close", () => {
      this.closed = true;
    });
    stream.on("error", (error) => {
      if (error instanceof WeftError) this.error = error;
      else this.wrong = `a channel ended with ${String(error)}`;
    });
  }

  /** Writes one piece unless the stream asks to wait. */
  write(sizeBytes: number): void {
    const { stream } = this;
    if (stream.destroyed || stream.writableEnded || stream.writableNeedDrain) return;
    const at = this.writtenBytes % PERIOD;
    const chunk = Buffer.from(this.#sends.subarray(at, at + Math.min(sizeBytes, PERIOD)));
    this.writtenBytes += chunk.length;
    stream.write(chunk, () => chunk.fill(0xee));
  }

  end(): void {
    if (!this.stream.destroyed && !this.stream.writableEnded) this.stream.end();
  }

  #data(bytes: Buffer): void {
    if (this.ended) this.wrong = "bytes after the end";
    for (let done = 0; done < bytes.length; ) {
      const at = this.arrivedBytes % PERIOD;
      const count = Math.min(PERIOD, bytes.length - done);
      if (Buffer.compare(bytes.subarray(done, done + count), this.#expects.subarray(at, at + count)) !== 0) {
        this.wrong = `wrong bytes on channel ${this.stream.channelId} at ${this.arrivedBytes}`;
      }
      done += count;
      this.arrivedBytes += count;
    }
    if (!this.initiator) this.stream.noteWritten(bytes.length);
  }

  /** How much the application wrote and the stream still holds, at most. */
  static readonly heldMaxBytes = limits.channelWriteQueueMaxBytes;
}
