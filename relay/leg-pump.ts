/**
 * One direction of a splice through one buffer of its own: read into it, write it, read again when it is gone. Node's own
 * reading allocates a buffer for every 64 KiB and copies what was shorter; this costs about half of `pipe` per byte.
 *
 * LP1. The buffer is never read into before the kernel has taken all that was in it, so a direction holds `spliceBufferBytes`
 *      at most, whatever its ends do.
 * LP2. Bulk is gathered: after `spliceBulkReadsCount` reads in a row of `spliceBulkReadBytes` or more, the next one waits
 *      `spliceGatherMs`. Most of what a byte costs here is not copying it but being told of it, and a busy wire tells every
 *      50 KB. Whatever is smaller, or comes alone, is passed on at once.
 * LP3. Node offers reading into a given buffer (`onread`) for sockets that dial, not for accepted ones: the handle moves
 *      into a socket made for it. Handles are undocumented, so what is not as expected is left to `pipe`.
 */

import { type OnReadOpts, Socket, type SocketConstructorOpts } from "node:net";
import type { Clock } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";

interface Handle {
  useUserBuffer(buffer: Uint8Array): unknown;
}

interface Held {
  _handle?: Handle | null;
}

/** Whether the handle can be moved: connected, readable and writable, nothing on its way out. */
export function canTakeOver(socket: Socket): boolean {
  const handle = (socket as unknown as Held)._handle;
  return (
    typeof handle?.useUserBuffer === "function" &&
    !socket.destroyed &&
    !socket.connecting &&
    !socket.readableEnded &&
    !socket.writableEnded &&
    socket.writableLength === 0
  );
}

/**
 * A paused socket over the handle of `shell`, which keeps nothing but its name: destroy it when the new one is gone. Bytes
 * the shell had read stay in it.
 */
function takeOver(shell: Socket, onread: OnReadOpts): Socket {
  const held = shell as unknown as Held;
  const { _handle: handle } = held;
  held._handle = null;
  // An error of a shell says only that it has no handle.
  shell.on("error", () => {});
  const options = { handle, allowHalfOpen: true, pauseOnCreate: true, readable: true, writable: true, onread };
  return new Socket(options as SocketConstructorOpts);
}

/** Both directions between two sockets. */
export interface Pumped {
  readonly a: Socket;
  readonly b: Socket;
}

/** One direction: what `source` reads goes to `sink`. */
class LegPump {
  readonly #buffer = Buffer.allocUnsafeSlow(limits.spliceBufferBytes);
  #source: Socket | undefined;
  #sink: Socket | undefined;
  #waits = false;
  readonly #clock: Clock;
  #bulkReads = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Reading into the buffer, for the socket that becomes the source. */
  get onread(): OnReadOpts {
    return { buffer: this.#buffer, callback: (bytes) => this.#read(bytes) };
  }

  /** Starts, with the bytes that were read before. */
  start(source: Socket, sink: Socket, early: readonly Buffer[]): void {
    this.#source = source;
    this.#sink = sink;
    source.once("end", () => sink.end());
    this.#waits = true;
    for (const bytes of early) sink.write(bytes, this.#written);
    this.#goOn();
  }

  /** Returns false to stop reading until the buffer is free (LP1). */
  #read(bytes: number): boolean {
    const sink = this.#sink;
    if (sink === undefined || sink.destroyed) return false;
    sink.write(this.#buffer.subarray(0, bytes), this.#written);
    if (sink.writableLength === 0) return !this.#gathers(bytes);
    this.#waits = true;
    return false;
  }

  /** Whether the next read waits for more (LP2). */
  #gathers(bytes: number): boolean {
    this.#bulkReads = bytes >= limits.spliceBulkReadBytes ? this.#bulkReads + 1 : 0;
    if (this.#bulkReads < limits.spliceBulkReadsCount) return false;
    this.#clock.after(limits.spliceGatherMs, this.#gathered);
    return true;
  }

  readonly #gathered = (): void => {
    if (!this.#waits) this.#source?.resume();
  };

  readonly #written = (error?: Error | null): void => {
    if (this.#waits && (error === undefined || error === null)) this.#goOn();
  };

  #goOn(): void {
    if (this.#sink === undefined || this.#sink.writableLength > 0) return;
    this.#waits = false;
    this.#source?.resume();
  }
}

/** Moves both handles and starts both directions. Both must be as `canTakeOver` wants them. */
export function pumpBetween(a: Socket, b: Socket, clock: Clock, wire: (pumped: Pumped) => void): void {
  const forward = new LegPump(clock);
  const back = new LegPump(clock);
  const pumped = { a: takeOver(a, forward.onread), b: takeOver(b, back.onread) };
  wire(pumped);
  forward.start(pumped.a, pumped.b, earlyBytes(a));
  back.start(pumped.b, pumped.a, earlyBytes(b));
}

function earlyBytes(shell: Socket): Buffer[] {
  const early: Buffer[] = [];
  for (let chunk = shell.read() as Buffer | null; chunk !== null; chunk = shell.read() as Buffer | null)
    early.push(chunk);
  return early;
}
