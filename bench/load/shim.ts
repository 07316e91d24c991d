/**
 * A long, thin wire in user space: a TCP proxy that holds every byte back by half the round trip, and lets both ways pass at
 * most a rate, one queue each way for all its connections. What does not fit waits at its sender.
 */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { sharedMs } from "./message.ts";
import { serveWorker } from "./worker.ts";

export interface Wire {
  readonly targetPort: number;
  /** Each way. */
  readonly delayMs: number;
  readonly bytesPerSecond: number;
}

/** How much may wait for its turn on the wire before nothing more is read. */
const queueMaxMs = 10;

interface Parcel {
  readonly dueMs: number;
  readonly to: Socket;
  /** Undefined: the end. */
  readonly chunk: Buffer | undefined;
}

/** One way of the wire. */
class Way {
  readonly #delayMs: number;
  readonly #bytesPerMs: number;
  readonly #sources = new Set<Socket>();
  #parcels: Parcel[] = [];
  #freeAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #paused = false;

  constructor({ delayMs, bytesPerSecond }: Wire) {
    this.#delayMs = delayMs;
    this.#bytesPerMs = bytesPerSecond / 1_000;
  }

  carry(from: Socket, to: Socket): void {
    this.#sources.add(from);
    if (this.#paused) from.pause();
    from.on("data", (chunk: Buffer) => this.#put(to, chunk));
    from.on("end", () => this.#put(to, undefined));
    from.on("close", () => this.#sources.delete(from));
  }

  #put(to: Socket, chunk: Buffer | undefined): void {
    const nowMs = sharedMs();
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs) + (chunk?.length ?? 0) / this.#bytesPerMs;
    this.#parcels.push({ dueMs: this.#freeAtMs + this.#delayMs, to, chunk });
    if (!this.#paused && this.#freeAtMs - nowMs > queueMaxMs) {
      this.#paused = true;
      for (const source of this.#sources) source.pause();
    }
    this.#timer ??= setTimeout(() => this.#deliver(), 1);
  }

  #deliver(): void {
    this.#timer = undefined;
    const nowMs = sharedMs();
    let count = 0;
    for (const { dueMs, to, chunk } of this.#parcels) {
      if (dueMs > nowMs) break;
      count += 1;
      if (to.destroyed) continue;
      if (chunk === undefined) to.end();
      else to.write(chunk);
    }
    this.#parcels = this.#parcels.slice(count);
    if (this.#paused && this.#freeAtMs - nowMs < queueMaxMs / 2) {
      this.#paused = false;
      for (const source of this.#sources) source.resume();
    }
    if (this.#parcels.length > 0 || this.#paused) this.#timer = setTimeout(() => this.#deliver(), 1);
  }
}

export type Shim = typeof handlers;

const handlers = serveWorker({
  /** Lays one wire to a port of loopback; resolves with the port of its near end. */
  async lay(wire: Wire): Promise<number> {
    const there = new Way(wire);
    const back = new Way(wire);
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      const far = connect({ host: "127.0.0.1", port: wire.targetPort, allowHalfOpen: true, noDelay: true });
      for (const socket of [near, far]) {
        socket.on("error", () => {
          near.destroy();
          far.destroy();
        });
      }
      there.carry(near, far);
      back.carry(far, near);
    });
    server.listen({ host: "127.0.0.1", port: 0 });
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  },
});
