/**
 * Connections as a stranger makes them: any certificate or none, any version of TLS, an old session, any path. Nothing about
 * the server is verified here; what is looked at is what the server lets happen.
 */

import { connect as connectHttp2 } from "node:http2";
import type { Socket } from "node:net";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { hostPort } from "../../cli/arguments.ts";

export interface Shown {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface RawOptions {
  readonly shown?: Shown;
  readonly serverName?: string;
  readonly session?: Buffer;
  readonly maxVersion?: "TLSv1.2" | "TLSv1.3";
  readonly withinMs?: number;
  /** A connection that leads there, when it is not to be dialled. */
  readonly socket?: Socket;
}

const defaultWithinMs = 5_000;

function optionsOf(address: string, { shown, serverName, session, maxVersion, socket }: RawOptions): ConnectionOptions {
  return {
    ...(socket === undefined ? hostPort(address) : { socket }),
    ALPNProtocols: ["h2"],
    rejectUnauthorized: false,
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(shown === undefined ? {} : { cert: shown.certificatePem, key: shown.keyPem }),
    ...(session === undefined ? {} : { session }),
    ...(maxVersion === undefined ? {} : { minVersion: "TLSv1.2" as const, maxVersion }),
  };
}

/**
 * Posts an empty gRPC message. Resolves with `grpc <status>`, with `http <status>` where there was no gRPC answer, or with
 * how the connection ended.
 */
export function rawCall(address: string, path: string, options: RawOptions = {}): Promise<string> {
  return new Promise((resolve) => {
    const session = connectHttp2(`https://${address}`, {
      createConnection: () => connect(optionsOf(address, options)),
    });
    const timer = setTimeout(() => done("no answer"), options.withinMs ?? defaultWithinMs);
    let status = "";
    const done = (answer: string): void => {
      clearTimeout(timer);
      resolve(answer);
      session.destroy();
    };
    session.once("error", (thrown: NodeJS.ErrnoException) => done(`closed ${thrown.code ?? thrown.message}`));
    session.once("close", () => done("closed"));
    const call = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
    });
    const onHeaders = (headers: Record<string, unknown>): void => {
      const grpc = headers["grpc-status"];
      if (grpc !== undefined) status = `grpc ${String(grpc)}`;
      else if (status === "") status = `http ${String(headers[":status"])}`;
    };
    call.once("response", onHeaders).once("trailers", onHeaders);
    call.once("error", (thrown: NodeJS.ErrnoException) => done(status || `reset ${thrown.code ?? thrown.message}`));
    call.once("close", () => done(status || "closed"));
    call.resume();
    call.end(Buffer.alloc(5));
  });
}

export interface Handshake {
  readonly accepted: boolean;
  readonly protocol: string;
  readonly reused: boolean;
  /** Tickets the server handed out. */
  readonly sessions: readonly Buffer[];
}

/** Shakes hands and waits for what the server says first, or for its end. */
export function shakeHands(address: string, options: RawOptions = {}): Promise<Handshake> {
  return new Promise((resolve) => {
    const sessions: Buffer[] = [];
    let shaken: Pick<Handshake, "protocol" | "reused"> | undefined;
    const socket: TLSSocket = connect(optionsOf(address, options));
    const timer = setTimeout(() => socket.destroy(), options.withinMs ?? defaultWithinMs);
    let heard = false;
    socket.on("session", (session: Buffer) => sessions.push(session));
    socket.on("error", () => {});
    socket.once("secureConnect", () => {
      shaken = { protocol: socket.getProtocol() ?? "", reused: socket.isSessionReused() };
      // The client's preface and SETTINGS: a server that accepts answers with its own.
      socket.write(Buffer.from("505249202a20485454502f322e300d0a0d0a534d0d0a0d0a000000040000000000", "hex"));
    });
    socket.once("data", () => {
      heard = true;
      setImmediate(() => socket.destroy());
    });
    // A peer that refuses once its handshake is over ends; a socket that was given to TLS does not close for that.
    socket.once("end", () => setImmediate(() => socket.destroy()));
    socket.once("close", () => {
      clearTimeout(timer);
      resolve({ accepted: heard, protocol: "", reused: false, ...shaken, sessions });
    });
  });
}
