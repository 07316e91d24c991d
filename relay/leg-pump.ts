/**
 * One direction of a splice through one buffer of its own: read into it, write it, read again when it is gone. Node's own
 * reading allocates a buffer for every 64 KiB and copies what was shorter; this costs about half of `pipe` per byte.
 *
 * LP1. The buffer is never read into before the kernel has taken all that was in it, so a direction holds `spliceBufferBytes`
 *      at most, whatever its ends do.
 * LP2. Node offers reading into a given buffer (`onread`) for sockets that dial, not for accepted ones: the handle moves
 *      into a socket made for it. Handles are undocumented, so what is not as expected is left to `pipe`.
 */

import { type OnReadOpts, Socket, type SocketConstructorOpts } from "node:net";
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
    if (sink.writableLength === 0) return true;
    this.#waits = true;
    return false;
  }

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
export function pumpBetween(a: Socket, b: Socket, wire: (pumped: Pumped) => void): void {
  const forward = new LegPump();
  const back = new LegPump();
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
