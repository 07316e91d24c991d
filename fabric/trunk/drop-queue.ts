/**
 * What waits on a droppable channel: whole messages, never bytes. When the far end, the lane or the path does not keep up,
 * the oldest go, before they have a sequence number; the writer never waits. A message leaves in one piece, so what the far
 * end gets is still messages, each behind its length, none twice and none out of order.
 */

import { limits } from "../../lib/limits.ts";
import { MESSAGE_HEAD_BYTES, MessageDeframer, writeMessageHead } from "./message-frames.ts";
import { Ring } from "./ring.ts";

export class DropQueue {
  readonly #messages = new Ring<Buffer>();
  readonly #deframer = new MessageDeframer(limits.droppableMessageMaxBytes, (message) => this.#add(message));
  /** Of whole messages, with their lengths. */
  bytes = 0;
  /** Dropped here or, later, out of the replay. */
  droppedCount = 0;
  /** A message was longer than a droppable one may be; nothing is taken any more. */
  tooLarge = false;

  /** A message has begun and is not whole: the stream may not end here. */
  get partial(): boolean {
    return this.#deframer.partial;
  }

  /** Size of the message that goes next; 0 when there is none. */
  get headBytes(): number {
    return this.#messages.peek()?.length ?? 0;
  }

  /** Takes the next bytes of the stream; keeps copies. */
  copy(chunk: Buffer): void {
    if (!this.tooLarge && !this.#deframer.push(chunk)) this.tooLarge = true;
  }

  give(chunk: Buffer): void {
    this.copy(chunk);
  }

  /** Removes and returns the oldest message, whole, however little was asked for. */
  take(_maxBytes: number): Buffer | undefined {
    const message = this.#messages.shift();
    if (message !== undefined) this.bytes -= message.length;
    return message;
  }

  clear(): void {
    this.#messages.clear();
    this.#deframer.stop();
    this.bytes = 0;
  }

  #add(message: Buffer): void {
    const framed = Buffer.allocUnsafe(MESSAGE_HEAD_BYTES + message.length);
    framed.set(message, writeMessageHead(framed, 0, message.length));
    this.#messages.push(framed);
    this.bytes += framed.length;
    while (this.bytes > limits.droppableQueueBytes) {
      this.take(0);
      this.droppedCount += 1;
    }
  }
}
