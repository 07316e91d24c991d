/** A TCP gate between nodes and control: passes everything on, until it is closed. A closed gate holds bytes, it ends nothing. */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export class Gate {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #open = true;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Listens on `host` and leads to `port` of loopback. */
  static async listen(host: string, port: number): Promise<Gate> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const gate = new Gate(server);
    server.on("connection", (near) => gate.#join(near, port));
    server.listen({ host, port: 0 });
    await once(server, "listening");
    return gate;
  }

  get address(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `${address}:${port}`;
  }

  /** From now on no byte passes, either way. */
  close(): void {
    this.#open = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }

  open(): void {
    this.#open = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.resume();
  }

  stop(): void {
    this.#server.close();
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  #join(near: Socket, port: number): void {
    const far = connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
    const pair = [near, far] as const;
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
      from.on("data", (chunk: Buffer) => to.write(chunk));
      from.on("end", () => to.end());
      from.on("error", over);
      from.on("close", over);
      if (!this.#open) from.pause();
    }
  }
}
