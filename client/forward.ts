/**
 * A local TCP port that leads to a resource: one channel per connection, half-closes kept. It binds loopback unless told
 * otherwise, because whoever reaches it is this client to everybody behind it.
 */

import { createServer, type Server, type Socket } from "node:net";
import type { EdgeChannel } from "../edge/channel.ts";
import { pipeToSource } from "../edge/pipe-source.ts";
import { errnoOf, WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import type { OpenOptions } from "./open-options.ts";

export interface ForwardOptions {
  readonly resource: string;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** 0: any free port. */
  readonly port: number;
  readonly class?: OpenOptions["class"];
  /** The contract to show, asked for with every connection: one that was maintained meanwhile is used at once. */
  readonly lease?: () => Uint8Array;
  /** Told about connections that could not be carried. */
  readonly onFailed?: (error: unknown) => void;
}

export interface Forward {
  /** As bound. */
  readonly host: string;
  readonly port: number;
  /** Connections carried now. */
  connections(): number;
  /** Stops listening and resets what is carried. */
  close(): Promise<void>;
}

/** As `Client.open`. */
type Opener = (resource: string, options: OpenOptions) => Promise<EdgeChannel>;

/** Binds, then resolves. Throws `failed_precondition` (FORWARD_BIND) saying what to do when the port cannot be had. */
export async function startForward(open: Opener, options: ForwardOptions): Promise<Forward> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    if (sockets.size >= limits.forwardedConnectionsMaxCount) return void resetSocket(socket);
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    void carry(open, options, socket);
  });
  await listening(server, options);
  // A failing accept (no descriptors left) is an error event too, and ends nothing.
  server.on("error", (thrown) => options.onFailed?.(thrown));
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("a TCP server has an address");
  return {
    host: bound.address,
    port: bound.port,
    connections: () => sockets.size,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) resetSocket(socket);
      }),
  };
}

/** What to do about a port that cannot be had, by errno. */
const bindProblems: Readonly<Record<string, string>> = {
  EADDRINUSE: "is in use: choose another port, or 0 for any free one",
  EACCES: "is not for this user: choose a port from 1024 up, or 0 for any free one",
  EADDRNOTAVAIL: "cannot be bound: this machine does not have that address",
};

function listening(server: Server, { host = "127.0.0.1", port }: ForwardOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (cause: unknown): void => {
      const why = errnoOf(cause) ?? "failed";
      const message = `${host}:${port} ${bindProblems[why] ?? `cannot be bound (${why})`}`;
      reject(new WeftError("failed_precondition", message, { detail: "FORWARD_BIND", cause }));
    };
    server.once("error", onError);
    server.listen({ host, port }, () => {
      server.off("error", onError);
      resolve();
    });
  });
}

async function carry(open: Opener, options: ForwardOptions, socket: Socket): Promise<void> {
  const gone = new AbortController();
  const onGone = (): void => gone.abort();
  socket.on("error", onGone);
  socket.once("close", onGone);
  try {
    // Once it is joined with the connection, a channel cannot be tried elsewhere any more.
    const channel = await open(options.resource, {
      ...(options.class === undefined ? {} : { class: options.class }),
      ...(options.lease === undefined ? {} : { lease: options.lease() }),
      signal: gone.signal,
    });
    if (gone.signal.aborted) return void channel.destroy();
    channel.once("error", (error) => options.onFailed?.(error));
    pipeToSource(channel, socket);
  } catch (thrown) {
    resetSocket(socket);
    if (!gone.signal.aborted) options.onFailed?.(thrown);
  }
}
