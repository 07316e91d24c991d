/** A TCP port of control: accepts, looks at the first bytes, and sends each connection through the door its name asks for. */

import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../../lib/clock.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import type { Log } from "../../lib/log.ts";
import type { AnyDoor } from "./door.ts";
import { HelloPeek } from "./hello-peek.ts";

export interface ListenerOptions {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** The door for a server name; undefined closes the connection. */
  readonly doorFor: (serverName: string | undefined) => Promise<AnyDoor | undefined>;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Listener {
  /** As bound: port 0 is resolved. */
  readonly host: string;
  readonly port: number;
  /** Accepts no more; connections already through a door are their surface's. */
  close(): void;
}

/** Binds and accepts. Throws `unavailable` (BIND_FAILED) when the address cannot be bound. */
export async function startListener(options: ListenerOptions): Promise<Listener> {
  const { name, log } = options;
  const peek = new HelloPeek(options.clock, (why) => log.debug("connection refused", { state: name, detail: why }));
  // Node ends a half-open socket itself as soon as the peer did (allowHalfOpen is false by default, and said here).
  const server = createServer({ allowHalfOpen: false, noDelay: true }, (socket) => {
    peek.look(socket, ({ serverName }) => void usher(options, socket, serverName));
  });
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  log.info("listening", { state: name, address: options.host, port });
  return {
    host: options.host,
    port,
    close() {
      server.close();
      peek.stop();
    },
  };
}

async function usher(options: ListenerOptions, socket: Socket, serverName: string | undefined): Promise<void> {
  socket.on("error", () => {});
  try {
    const door = await options.doorFor(serverName);
    if (door !== undefined && !socket.destroyed) return door.enter(socket);
  } catch (error) {
    options.log.warn("no door for a connection", { state: options.name, error: messageOf(error) });
  }
  socket.destroy();
}

async function listen(server: Server, { host, port, name }: ListenerOptions): Promise<void> {
  try {
    server.listen(port, host);
    await once(server, "listening");
  } catch (cause) {
    throw new WeftError("unavailable", `the ${name} port cannot be bound`, { detail: "BIND_FAILED", cause });
  }
}
