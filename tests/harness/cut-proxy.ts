/** A TCP forwarder that can go silent: it keeps its connections and moves no byte, in one direction or both. */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export type CutDirection = "both" | "in" | "out";

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

export class CutProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #cut: CutDirection | undefined;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Forwards a port of its own, on `host`, to `port` on loopback. */
  static async to(port: number, host = "127.0.0.1"): Promise<CutProxy> {
    const server = createServer((near) => proxy.#join(near, connect({ host: "127.0.0.1", port, noDelay: true })));
    const proxy = new CutProxy(server);
    server.listen(0, host);
    await once(server, "listening");
    return proxy;
  }

  /** Where it listens. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Moves nothing that way from now on; nobody is told. */
  cut(direction: CutDirection): void {
    this.#cut = direction;
    for (const pair of this.#pairs) this.#apply(pair);
  }

  heal(): void {
    this.#cut = undefined;
    for (const pair of this.#pairs) this.#apply(pair);
  }

  close(): void {
    this.#server.close();
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far.destroy();
    }
  }

  #join(near: Socket, far: Socket): void {
    const pair = { near, far };
    this.#pairs.add(pair);
    near.setNoDelay(true);
    const over = (): void => {
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on("error", over);
      from.once("close", over);
      from.on("data", (chunk: Buffer) => {
        if (!to.write(chunk)) from.pause();
      });
      to.on("drain", () => this.#apply(pair));
    }
    this.#apply(pair);
  }

  #apply({ near, far }: Pair): void {
    if (this.#cut === "both" || this.#cut === "in") near.pause();
    else near.resume();
    if (this.#cut === "both" || this.#cut === "out") far.pause();
    else far.resume();
  }
}
