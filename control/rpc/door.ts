/**
 * One TLS server of control without a port of its own: one kind of peer, one root. It is handed sockets whose server name
 * chose it, and hands judged connections to its surface.
 *
 * D1. HTTP/2 sees a byte only after the judge accepted the peer, or, while the allowlist cannot be asked, its certificate.
 * D2. The handshake has a deadline from the moment the door gets the socket.
 * D3. A socket is not half-open here: a killed peer must be noticed.
 * D4. A source whose handshakes come to nothing is turned away before the next one (rpc/failed-handshakes.ts).
 */

import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { applyRotation, type ServerKind, type ServerMaterial, tlsOptions } from "../../certs/tls-options.ts";
import type { Clock } from "../../lib/clock.ts";
import { messageOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import { isRefusal, type Verdict } from "../../rpc/caller.ts";
import type { FailedHandshakes } from "../../rpc/failed-handshakes.ts";
import type { Surface } from "../../rpc/surface.ts";
import type { HandshakeQueue, Leave } from "./handshake-queue.ts";

export interface DoorOptions<K extends ServerKind> {
  readonly kind: K;
  readonly material: ServerMaterial<K>;
  /** Who is there, or why not. */
  readonly judge: (socket: TLSSocket) => Promise<Verdict>;
  readonly surface: Surface;
  readonly queue: HandshakeQueue;
  readonly failures: FailedHandshakes;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a listener needs to know of a door. */
export interface AnyDoor {
  enter(raw: Socket): void;
}

export class Door<K extends ServerKind> implements AnyDoor {
  readonly #options: DoorOptions<K>;
  readonly #server: Server;
  /** By the connection's addresses: what a raw socket and its TLS socket publicly share. */
  readonly #shaking = new Map<string, Leave>();

  constructor(options: DoorOptions<K>) {
    this.#options = options;
    this.#server = createServer(tlsOptions(options.kind, options.material));
    this.#server.on("secureConnection", (socket) => void this.#onSecure(socket));
    this.#server.on("tlsClientError", (error, socket) => {
      this.#options.log.debug("handshake failed", { state: this.#options.kind, error: messageOf(error) });
      socket.destroy();
    });
  }

  /** Replaces certificate and trust of every later handshake. */
  rotate(material: ServerMaterial<K>): void {
    applyRotation(this.#server, this.#options.kind, material);
  }

  enter(raw: Socket): void {
    raw.allowHalfOpen = false; // D3
    raw.on("error", () => {});
    const { failures } = this.#options;
    if (!failures.mayTry(raw.remoteAddress)) return void raw.destroy(); // D4
    const deadline = this.#options.clock.afterReading(limits.handshakeDeadlineMs, () => raw.destroy()); // D2
    const key = keyOf(raw);
    const leaveLine = this.#options.queue.enter(raw.remoteAddress ?? "", (leave) => {
      if (raw.destroyed || key === undefined) return leave();
      this.#shaking.set(key, () => {
        deadline.cancel();
        this.#shaking.delete(key);
        leave();
      });
      raw.once("close", () => {
        const shaking = this.#shaking.get(key);
        if (shaking === undefined) return;
        failures.failed(raw.remoteAddress, raw.bytesRead);
        shaking();
      });
      this.#server.emit("connection", raw);
    });
    if (leaveLine !== undefined) return void raw.once("close", leaveLine);
    deadline.cancel();
    raw.destroy();
  }

  async #onSecure(socket: TLSSocket): Promise<void> {
    const { kind, judge, surface, log } = this.#options;
    socket.on("error", () => {});
    const key = keyOf(socket);
    if (key !== undefined) this.#shaking.get(key)?.();
    let verdict: Verdict = { refused: "ALPN" };
    try {
      if (socket.alpnProtocol === "h2") verdict = await judge(socket);
    } catch (error) {
      // Nobody is let in, or turned away for good, because the allowlist could not be asked.
      log.warn("a peer could not be judged", { state: kind, error: messageOf(error) });
      socket.destroy();
      return;
    }
    if (socket.destroyed) return;
    if (isRefusal(verdict)) {
      log.info("connection refused", { state: kind, detail: verdict.refused });
      socket.destroy();
    } else {
      surface.accept(socket, verdict); // D1
    }
  }
}

function keyOf(socket: Socket): string | undefined {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  if (remotePort === undefined || localPort === undefined) return undefined;
  return `${localAddress}|${localPort}|${remoteAddress}|${remotePort}`;
}
