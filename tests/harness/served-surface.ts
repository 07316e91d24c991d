/** A surface on a real TLS port of loopback, and ways to reach it. */

import { once } from "node:events";
import http2, { type ClientHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import tls, { type TLSSocket } from "node:tls";
import { judgePeer } from "../../certs/judge.ts";
import type { LeafOf } from "../../certs/material.ts";
import { formatSpiffe, type SpiffeKind } from "../../certs/spiffe.ts";
import { tlsOptions } from "../../certs/tls-options.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { type ArrivedBy, anonymousCaller, type Caller, type CallerKind, type Verdict } from "../../rpc/caller.ts";
import { rpcHttp2 } from "../../rpc/http2-profile.ts";
import { createSurface, type Surface, type SurfaceOptions } from "../../rpc/surface.ts";
import type { TestTrust } from "./trust.ts";

const doors = {
  join: { kind: "join", peer: undefined },
  control: { kind: "control-node", peer: "node" },
  "operator-port": { kind: "operator", peer: "operator" },
  "client-name": { kind: "client-entry", peer: "client" },
  link: { kind: "node-link", peer: "node" },
  path: { kind: "path-end-node", peer: "node" },
} as const;

export interface ServedSurface extends AsyncDisposable {
  readonly surface: Surface;
  readonly port: number;
  /** Verdicts of the judge, replaceable while serving. */
  judge: (socket: TLSSocket, caller: Caller) => Verdict | Promise<Verdict>;
}

export type ServedOptions = Pick<SurfaceOptions, "arrivedBy" | "routes" | "policy"> & Partial<SurfaceOptions>;

/** Builds a surface from `options` and serves it; its judge is `judge` of what is returned. */
export async function serveSurface(trust: TestTrust, options: ServedOptions): Promise<ServedSurface> {
  const judging: Pick<ServedSurface, "judge"> = { judge: (_socket, caller) => caller };
  const surface = createSurface({
    judge: (socket, caller) => judging.judge(socket, caller),
    log: silentLog,
    clock: systemClock,
    random: systemRandom,
    http2: rpcHttp2,
    ...options,
  });
  return Object.assign(judging, await serveAt(trust, options.arrivedBy, surface, judging.judge));
}

/** Serves an existing surface behind the TLS server of its door. */
export async function serveAt(
  trust: TestTrust,
  arrivedBy: ArrivedBy,
  surface: Surface,
  judge: ServedSurface["judge"] = (_socket, caller) => caller,
): Promise<ServedSurface> {
  const tlsServer = tls.createServer(await serverTls(trust, arrivedBy));
  tlsServer.on("secureConnection", (socket) => {
    const caller = callerOf(trust, socket, arrivedBy);
    if (caller === undefined) socket.destroy();
    else surface.accept(socket, caller);
  });
  tlsServer.on("tlsClientError", () => {});
  tlsServer.listen(0, "127.0.0.1");
  await once(tlsServer, "listening");
  return {
    surface,
    judge,
    port: (tlsServer.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      tlsServer.close();
      await surface.drain(0);
    },
  };
}

async function serverTls(trust: TestTrust, arrivedBy: ArrivedBy): Promise<tls.TlsOptions> {
  const control = await trust.leaf("control", "c1");
  const node = await trust.leaf("node", "nd-server");
  switch (doors[arrivedBy].kind) {
    case "join":
      return tlsOptions("join", { identity: control });
    case "control-node":
      return tlsOptions("control-node", { identity: control, trust: trust.roots("node") });
    case "operator":
      return tlsOptions("operator", { identity: control, trust: trust.roots("operator") });
    case "client-entry":
      return tlsOptions("client-entry", { identity: node, trust: trust.roots("client") });
    case "node-link":
      return tlsOptions("node-link", { identity: node, trust: trust.roots("node") });
    case "path-end-node":
      return tlsOptions("path-end-node", { identity: node, trust: trust.roots("node") });
  }
}

function callerOf(trust: TestTrust, socket: TLSSocket, arrivedBy: ArrivedBy): Caller | undefined {
  const { peer } = doors[arrivedBy];
  const sourceAddress = socket.remoteAddress ?? "";
  if (peer === undefined) return anonymousCaller(sourceAddress, arrivedBy, trust.clusterId);
  const verdict = judgePeer(socket, trust.expect(peer));
  if (!verdict.ok) return undefined;
  return {
    kind: peer as CallerKind,
    id: verdict.id,
    spiffe: formatSpiffe(verdict.id),
    serialHex: verdict.serialHex,
    keyHashHex: verdict.keyHash,
    issuerKeyIdHex: verdict.issuerKeyId,
    sourceAddress,
    arrivedBy,
    ...(peer === "operator" ? {} : { clusterId: verdict.id.clusterId }),
  };
}

/** A plain HTTP/2 connection with a client certificate, as any stock client makes it. */
export async function dialHttp2(
  trust: TestTrust,
  port: number,
  leaf: LeafOf<SpiffeKind> | undefined,
): Promise<ClientHttp2Session> {
  const session = http2.connect(`https://localhost:${port}`, {
    ca: [trust.ca("control").root.pem, trust.ca("node").root.pem],
    ALPNProtocols: ["h2"],
    ...(leaf === undefined ? {} : { key: leaf.keyPem, cert: leaf.certificatePem }),
  });
  session.on("error", () => {});
  await once(session, "connect");
  return session;
}

export interface RawAnswer {
  readonly headers: http2.IncomingHttpHeaders;
  readonly trailers: http2.IncomingHttpHeaders;
  readonly body: Buffer;
  readonly reset: number;
  /** grpc-status from wherever it came. */
  readonly status: string | undefined;
}

/** One request with exactly this `:path`, and everything that came back. */
export function rawRequest(
  session: ClientHttp2Session,
  path: string,
  body: Uint8Array = grpcMessage(new Uint8Array()),
  headers: http2.OutgoingHttpHeaders = {},
): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    let head: http2.IncomingHttpHeaders = {};
    let trailers: http2.IncomingHttpHeaders = {};
    const chunks: Buffer[] = [];
    stream.on("response", (received) => {
      head = received;
    });
    stream.on("trailers", (received) => {
      trailers = received;
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", () => {});
    stream.on("close", () => {
      const status = trailers["grpc-status"] ?? head["grpc-status"];
      resolve({
        headers: head,
        trailers,
        body: Buffer.concat(chunks),
        reset: stream.rstCode,
        status: Array.isArray(status) ? status[0] : status,
      });
    });
    stream.end(body);
  });
}

/** One gRPC message: flag, length, bytes. */
export function grpcMessage(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}
