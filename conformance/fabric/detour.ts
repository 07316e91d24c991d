/** A wire that leads where it is told: what a node dials for control goes on to a port, to another one, or nowhere. */

import { connect, createServer, type Socket } from "node:net";

export interface Detour {
  readonly port: number;
  /** Cuts what runs and leads new connections to `port` of loopback; undefined: held, and nothing more passes. */
  lead(port: number | undefined): void;
  close(): Promise<void>;
}

/** Listens on loopback, and leads to `port` until told otherwise. */
export async function openDetour(port: number): Promise<Detour> {
  const sockets = new Set<Socket>();
  let to: number | undefined = port;
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => {}).once("close", () => sockets.delete(socket));
  };
  const server = createServer({ noDelay: true }, (near) => {
    keep(near);
    if (to === undefined) return;
    const far = connect({ host: "127.0.0.1", port: to, noDelay: true });
    keep(far);
    near.pipe(far);
    far.pipe(near);
    near.once("close", () => far.destroy());
    far.once("close", () => near.destroy());
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: address.port,
    lead(next) {
      to = next;
      cut();
    },
    async close() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
