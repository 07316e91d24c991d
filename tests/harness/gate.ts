/**
 * A TCP gate in front of a port: passes everything on, until it is closed, one way or both. A closed gate holds bytes; it ends
 * nothing and says nothing.
 */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { CutDirection } from "./namespaces.ts";

/** One connection through the gate, seen from whoever dialled it. */
interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

export class Gate {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #closed = { in: false, out: false };

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Listens on `host` and leads to `port` of loopback, or of another address. */
  static async listen(host: string, port: number, target = "127.0.0.1"): Promise<Gate> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const gate = new Gate(server);
    server.on("connection", (near) => gate.#join(near, port, target));
    server.listen({ host, port: 0 });
    await once(server, "listening");
    return gate;
  }

  get host(): string {
    return (this.#server.address() as AddressInfo).address;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** From now on no byte passes that way; `in` is towards the port behind the gate. */
  close(direction: CutDirection = "both"): void {
    this.#closed.in ||= direction !== "out";
    this.#closed.out ||= direction !== "in";
    for (const pair of this.#pairs) this.#apply(pair);
  }

  open(): void {
    this.#closed.in = false;
    this.#closed.out = false;
    for (const pair of this.#pairs) this.#apply(pair);
  }

  stop(): void {
    this.#server.close();
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far.destroy();
    }
  }

  #apply({ near, far }: Pair): void {
    if (this.#closed.in || far.writableNeedDrain) near.pause();
    else near.resume();
    if (this.#closed.out || near.writableNeedDrain) far.pause();
    else far.resume();
  }

  #join(near: Socket, port: number, target: string): void {
    const far = connect({ host: target, port, allowHalfOpen: true, noDelay: true });
    const pair = { near, far };
    this.#pairs.add(pair);
    const over = (): void => {
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on("data", (chunk: Buffer) => {
        if (!to.write(chunk)) from.pause();
      });
      to.on("drain", () => this.#apply(pair));
      from.on("end", () => to.end());
      from.on("error", over);
      from.on("close", over);
    }
    this.#apply(pair);
  }
}
