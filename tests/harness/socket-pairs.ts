/** Connected TCP sockets on loopback, both ends in this process. */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { limits } from "../../lib/limits.ts";

export interface SocketPair {
  readonly dialled: Socket;
  readonly accepted: Socket;
}

/** Makes pairs until closed; both ends allow half-open and have the product's high-water mark. */
export class SocketPairs {
  readonly #server: Server;
  readonly #all: Socket[] = [];
  #last: Promise<unknown> = Promise.resolve();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(): Promise<SocketPairs> {
    const server = createServer({ allowHalfOpen: true, noDelay: true, highWaterMark: limits.spliceHighWaterBytes });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new SocketPairs(server);
  }

  /** One pair; one at a time, or an accepted end would be taken for another's. */
  make(): Promise<SocketPair> {
    const pair = this.#last.then(() => this.#make());
    this.#last = pair;
    return pair;
  }

  async #make(): Promise<SocketPair> {
    const { port } = this.#server.address() as AddressInfo;
    const arrival = once(this.#server, "connection") as Promise<[Socket]>;
    const options = {
      port,
      host: "127.0.0.1",
      allowHalfOpen: true,
      noDelay: true,
      highWaterMark: limits.spliceHighWaterBytes,
    };
    const dialled = connect(options);
    const [accepted] = await arrival;
    // Only a connected socket is spliced as relays splice.
    if (dialled.connecting) await once(dialled, "connect");
    for (const socket of [dialled, accepted]) socket.on("error", () => {});
    this.#all.push(dialled, accepted);
    return { dialled, accepted };
  }

  /** Sockets not destroyed. */
  get open(): number {
    return this.#all.filter((socket) => !socket.destroyed).length;
  }

  close(): void {
    for (const socket of this.#all) socket.destroy();
    this.#server.close();
  }
}

/** Resolves when the socket is closed, however it came to that. */
export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) return resolve();
    socket.once("close", () => resolve());
  });
}
