/** TLS servers that judge, and dials that tell how they ended. */

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type ConnectionOptions, connect, createServer, type Server, type TLSSocket, type TlsOptions } from "node:tls";
import { type Expectation, judgePeer, type Verdict } from "../../certs/judge.ts";

export interface JudgingServer {
  readonly server: Server;
  readonly port: number;
  /** One entry per completed handshake: what TLS said and what the judge said. */
  readonly seen: { authorized: boolean; reused: boolean; verdict: Verdict | undefined }[];
  close(): Promise<void>;
}

/** Listens on loopback; a peer the judge accepts (any, without an expectation) is sent "yes", others are cut. */
export async function judgingServer(options: TlsOptions, expect?: Expectation): Promise<JudgingServer> {
  const seen: JudgingServer["seen"] = [];
  const sockets = new Set<TLSSocket>();
  const server = createServer(options, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    const verdict = expect === undefined ? undefined : judgePeer(socket, expect);
    seen.push({ authorized: socket.authorized, reused: socket.isSessionReused(), verdict });
    if (verdict === undefined || verdict.ok) socket.write("yes");
    else socket.destroy();
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  };
  return { server, port: (server.address() as AddressInfo).port, seen, close };
}

export interface Attempt {
  /** "accepted" when the server's "yes" arrived; otherwise what ended the connection. */
  readonly outcome: "accepted" | "refused";
  readonly why: string;
  readonly protocol: string | null;
  readonly reused: boolean;
  /** Sessions (tickets) the server handed out. */
  readonly sessions: Buffer[];
}

/** Dials loopback and waits for the server's "yes" or for the end. Never rejects. */
export function attempt(port: number, options: ConnectionOptions): Promise<Attempt> {
  return new Promise((resolve) => {
    const sessions: Buffer[] = [];
    let why = "closed";
    const socket = connect({ host: "127.0.0.1", port, ...options });
    const done = (outcome: Attempt["outcome"], protocol: string | null = null, reused = false): void => {
      resolve({ outcome, why, protocol, reused, sessions });
      socket.destroy();
    };
    socket.on("session", (session: Buffer) => sessions.push(session));
    socket.on("error", (error: Error & { detail?: string; code?: string }) => {
      why = error.detail ?? error.code ?? error.message;
    });
    socket.on("close", () => done("refused"));
    socket.once("data", () => {
      why = "";
      // Tickets travel with or just before the first data: one turn more and they have been read.
      setImmediate(() => done("accepted", socket.getProtocol(), socket.isSessionReused()));
    });
  });
}
