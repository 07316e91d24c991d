/**
 * HTTP/2 on a path. The windows are set once, so wide that they are never the limit. The raw socket is kept: giving a path up
 * means resetting it, because `session.destroy()` leaves a frozen socket open and `session.close()` goes on sending into it.
 */

import type {
  ClientHttp2Session,
  Http2Session,
  Http2Stream,
  IncomingHttpHeaders,
  ServerHttp2Session,
} from "node:http2";
import http2 from "node:http2";
import { EXPORTER_BYTES, EXPORTER_LABEL } from "../fabric/trunk/attach-proof.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { limits, MiB } from "../lib/limits.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import type { EdgePath } from "./edge-path.ts";

export const OPEN_PATH = "/weft.channel.v1.ChannelService/Open";
const GRPC_UNIMPLEMENTED = "12";

const settings = {
  enablePush: false,
  initialWindowSize: limits.pathStreamWindowBytes,
  maxConcurrentStreams: limits.attachmentsPerPathMaxCount,
};
const sessionMemoryMegabytes = limits.pathSessionMemoryMaxBytes / MiB;

let lastConnectionId = 0;

export class PathConnection {
  /** Unique in this process. */
  readonly id: number;
  readonly path: EdgePath;
  /** What both ends of this TLS connection know and nobody else does. */
  readonly exporter: Buffer;
  readonly #session: Http2Session;
  readonly #clock: Clock;
  readonly #onClosed: (() => void)[] = [];
  #closed = false;
  #gone = false;
  #grace: Timer | undefined;

  private constructor(path: EdgePath, session: Http2Session, exporter: Buffer, clock: Clock) {
    lastConnectionId += 1;
    this.id = lastConnectionId;
    this.path = path;
    this.exporter = exporter;
    this.#session = session;
    this.#clock = clock;
    // What went wrong shows in the streams; here it only has to be heard.
    session.on("error", () => {});
    path.tls.on("error", () => {});
    path.raw.on("error", () => {});
    session.once("close", () => this.#endSockets());
    path.raw.once("close", () => this.#released());
    if (path.raw.closed) this.#released();
    // The far end will open or answer nothing more: it is gone or going.
    session.once("goaway", () => this.#closeSoon());
  }

  /** The initiator's end. */
  static client(path: EdgePath, clock: Clock): PathConnection {
    const exporter = exporterOf(path);
    const session = http2.connect("https://path-end", {
      createConnection: () => path.tls,
      settings,
      maxSessionMemory: sessionMemoryMegabytes,
    });
    session.once("connect", () => widen(session));
    return new PathConnection(path, session, exporter, clock);
  }

  /** The acceptor's end: serves `ChannelService/Open` and nothing else. */
  static server(path: EdgePath, clock: Clock, onStream: (stream: Http2Stream) => void): PathConnection {
    const exporter = exporterOf(path);
    const session = http2.performServerHandshake(path.tls, {
      settings,
      maxSessionMemory: sessionMemoryMegabytes,
    });
    widen(session);
    session.on("stream", (stream, headers) => {
      if (isOpen(headers)) {
        stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
        stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        onStream(stream);
      } else {
        stream.on("error", () => {});
        stream.respond(
          { ":status": 200, "content-type": "application/grpc", "grpc-status": GRPC_UNIMPLEMENTED },
          { endStream: true },
        );
      }
    });
    return new PathConnection(path, session, exporter, clock);
  }

  /** True as soon as nothing should be sent here any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Client only: a new `Open` stream. */
  openStream(): Http2Stream {
    const session = this.#session as ClientHttp2Session;
    return session.request({
      ":method": "POST",
      ":path": OPEN_PATH,
      "content-type": "application/grpc",
      te: "trailers",
    });
  }

  /** Called once, when the socket is closed; at once when it is already. */
  onClosed(listener: () => void): void {
    if (this.#gone) listener();
    else this.#onClosed.push(listener);
  }

  /**
   * Gives the path up now: resets the socket whatever state it is in. The session and the TLS layer are taken down only when
   * the socket is closed: destroying them between the reset and its close writes into a handle that is gone, and crashes
   * the process (Node 26.10).
   */
  destroy(): void {
    if (this.#closed) return;
    this.#closed = true;
    resetSocket(this.path.raw, this.path.tls);
  }

  /** Lets what was written leave, at most for a second, then gives the path up. */
  close(): void {
    if (this.#closed) return;
    this.#session.close();
    this.#closeSoon();
  }

  #closeSoon(): void {
    this.#grace ??= this.#clock.after(limits.trunkCloseGraceMs, () => this.destroy());
  }

  /** The session is over in an orderly way: what it wrote may still leave. */
  #endSockets(): void {
    this.#closed = true;
    this.path.tls.destroy();
    this.path.raw.destroy();
  }

  #released(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#closed = true;
    this.#grace?.cancel();
    this.#session.destroy();
    this.path.tls.destroy();
    this.path.close?.();
    for (const listener of this.#onClosed.splice(0)) listener();
  }
}

function exporterOf(path: EdgePath): Buffer {
  return path.tls.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.alloc(0));
}

function widen(session: ClientHttp2Session | ServerHttp2Session): void {
  // The client's `connect` may come after the session was given up.
  if (!session.destroyed) session.setLocalWindowSize(limits.pathConnectionWindowBytes);
}

function isOpen(headers: IncomingHttpHeaders): boolean {
  const type = headers["content-type"];
  return (
    headers[":method"] === "POST" && headers[":path"] === OPEN_PATH && type?.startsWith("application/grpc") === true
  );
}
