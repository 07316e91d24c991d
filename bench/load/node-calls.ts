/** What a thousand nodes say to control, from one process: TLS, HTTP/2 and gRPC framing without the layers of a real node. */

import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from "node:http2";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ClientTlsOptions } from "../../certs/tls-options.ts";

/** Loopback addresses of many /24s: control counts callers by where they come from. */
export function sourceAddress(index: number): string {
  return `127.${1 + Math.floor(index / 250)}.${1 + (index % 250)}.1`;
}

/** A session over a TLS connection from `from` to `address` (host:port). */
export async function openSession(address: string, tls: ClientTlsOptions, from: string): Promise<ClientHttp2Session> {
  const [host = "", port = ""] = address.split(":");
  const raw = connectTcp({ host, port: Number(port), localAddress: from, noDelay: true });
  const socket = connectTls({ ...tls, socket: raw });
  await once(socket, "secureConnect");
  const session = connectHttp2("https://control", { createConnection: () => socket });
  session.on("error", () => {});
  return session;
}

/** A message behind the five bytes of gRPC's framing. */
export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}

export function startCall(session: ClientHttp2Session, method: string, message: Uint8Array): ClientHttp2Stream {
  const stream = session.request({
    ":method": "POST",
    ":path": `/${method}`,
    "content-type": "application/grpc+proto",
    te: "trailers",
  });
  stream.end(framed(message));
  return stream;
}

/** One unary call; the bytes of the answer. Rejects with the status when it is not OK. */
export function unary(session: ClientHttp2Session, method: string, message: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const stream = startCall(session, method, message);
    const parts: Buffer[] = [];
    let status: unknown;
    let text: unknown;
    const look = (headers: Readonly<Record<string, unknown>>): void => {
      status = headers["grpc-status"] ?? status;
      text = headers["grpc-message"] ?? text;
    };
    stream.on("response", look);
    stream.on("trailers", look);
    stream.on("data", (part: Buffer) => parts.push(part));
    stream.on("error", reject);
    stream.on("close", () => {
      if (status === "0") resolve(Buffer.concat(parts).subarray(5));
      else reject(new Error(`${method}: status ${String(status)} ${decodeURIComponent(String(text ?? ""))}`));
    });
  });
}

/** Calls `onMessage` with every message of a server stream. */
export function readMessages(stream: ClientHttp2Stream, onMessage: (message: Buffer) => void): void {
  let held: Buffer = Buffer.alloc(0);
  stream.on("error", () => {});
  stream.on("data", (part: Buffer) => {
    held = held.length === 0 ? part : Buffer.concat([held, part]);
    while (held.length >= 5) {
      const end = 5 + held.readUInt32BE(1);
      if (held.length < end) return;
      onMessage(held.subarray(5, end));
      held = held.subarray(end);
    }
  });
}
