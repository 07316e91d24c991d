/**
 * One `ChannelService/Open` stream. It writes what the trunk hands out, one write per batch, and asks for the next batch in
 * the write's callback, so that what is sent is decided as late as possible. `'end'` is a path failure unless the trunk is
 * over: there is no other clean way for a stream to stop.
 */

import type { Http2Stream } from "node:http2";
import { constants } from "node:http2";
import { GrpcDeframer } from "../fabric/trunk/grpc-frames.ts";
import { atEndOfTurn } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";

/**
 * How a stream is given up. Not CANCEL: Node (26.10) delays a reset with that code until what is queued has been packed, and
 * packing the trailers of a stream that is destroyed by then aborts the whole process.
 */
const GIVEN_UP = constants.NGHTTP2_INTERNAL_ERROR;

/** Whoever decides what this stream carries. */
export interface AttachmentOwner {
  /** Unsequenced messages to write now. */
  pullControl(): Buffer | undefined;
  /** The next batch to write now. */
  pullBatch(): Buffer | undefined;
  batchWritten(): void;
  message(bytes: Buffer): void;
  /** The stream is over. `violation` says how the far end broke the protocol, empty when the path failed. */
  lost(violation: string): void;
}

export class AttachmentStream {
  readonly #stream: Http2Stream;
  readonly #deframer: GrpcDeframer;
  #owner: AttachmentOwner;
  #scheduled = false;
  #controlInFlight = false;
  #over = false;
  #ending = false;

  constructor(stream: Http2Stream, owner: AttachmentOwner) {
    this.#stream = stream;
    this.#owner = owner;
    this.#deframer = new GrpcDeframer(limits.batchMaxBytes, (message) => this.#owner.message(message));
    stream.on("data", (chunk: Buffer) => this.#received(chunk));
    // Even inside a message: the death of a process on the way may look like a clean end.
    stream.once("end", () => this.#lost(""));
    // A refusal because of how we write is ours to end, not a reason to try the same bytes on another path.
    stream.once("error", () => this.#lost(this.#calmed() ? "http2: the far end asked for calm" : ""));
    stream.once("close", () => this.#lost(this.#calmed() ? "http2: the far end asked for calm" : ""));
    stream.once("response", (headers) => {
      if (headers[":status"] !== 200) this.#lost("");
    });
  }

  /** Hands the stream to another owner: the acceptor reads the first message itself. */
  set owner(owner: AttachmentOwner) {
    this.#owner = owner;
  }

  /** There is something to pull. Several calls in one turn of the loop are one: whatever its sockets brought shares a batch. */
  wake(): void {
    if (this.#scheduled || this.#over) return;
    this.#scheduled = true;
    atEndOfTurn(this.#pump);
  }

  /** Writes what is left to pull, then ends this direction. */
  end(): void {
    if (this.#over || this.#ending) return;
    this.#ending = true;
    this.wake();
  }

  /** Drops the stream now. */
  destroy(): void {
    this.#over = true;
    this.#deframer.stop();
    if (!this.#stream.destroyed) this.#stream.close(GIVEN_UP);
  }

  readonly #pump = (): void => {
    this.#scheduled = false;
    if (this.#over) return;
    const stream = this.#stream;
    const control = this.#controlInFlight ? undefined : this.#owner.pullControl();
    if (control !== undefined) {
      this.#controlInFlight = true;
      // Joined with the batch that follows, if one does.
      stream.cork();
      stream.write(control, this.#controlWritten);
    }
    let batch = this.#owner.pullBatch();
    if (batch !== undefined) stream.write(batch, this.#batchWritten);
    if (control !== undefined) stream.uncork();
    while (batch !== undefined) {
      batch = this.#owner.pullBatch();
      if (batch !== undefined) stream.write(batch, this.#batchWritten);
    }
    if (this.#ending && !this.#controlInFlight) this.#finish();
  };

  #finish(): void {
    this.#over = true;
    this.#stream.resume();
    this.#stream.end();
  }

  readonly #controlWritten = (error?: Error | null): void => {
    this.#controlInFlight = false;
    if (error === undefined || error === null) this.#pump();
  };

  readonly #batchWritten = (error?: Error | null): void => {
    this.#owner.batchWritten();
    if (error === undefined || error === null) this.#pump();
  };

  #received(chunk: Buffer): void {
    if (this.#over) return;
    const wrong = this.#deframer.push(chunk);
    if (wrong !== "" && !this.#over) this.#lost(`frames: ${wrong}`);
  }

  #calmed(): boolean {
    return this.#stream.rstCode === constants.NGHTTP2_ENHANCE_YOUR_CALM;
  }

  #lost(violation: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#deframer.stop();
    this.#owner.lost(violation);
    if (!this.#stream.destroyed) this.#stream.close(GIVEN_UP);
  }
}
