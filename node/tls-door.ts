/**
 * A TLS server without a port: it is handed sockets whose first bytes were judged, and hands on TLS sockets whose peer was.
 *
 * TD1. One root per door: which door a socket goes through was decided before TLS, by a token or a name, and never by
 *      anything TLS says. What the decision knew travels with the socket, not in the server name.
 * TD2. A socket is closed for half-open before TLS sees it: otherwise a killed peer is never noticed.
 * TD3. HTTP/2 sees a byte only after the judge accepted the peer.
 * TD4. A stranger whose handshakes cost much and come to nothing is turned away before the next one (rpc/failed-handshakes.ts).
 */

import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { applyRotation, type ServerKind, type ServerMaterial, tlsOptions } from "../certs/tls-options.ts";
import { messageOf } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import type { ArrivedBy, Caller } from "../rpc/caller.ts";
import { isRefusal } from "../rpc/caller.ts";
import type { FailedHandshakes } from "../rpc/failed-handshakes.ts";
import type { HandshakeGate, Leave } from "./handshake-gate.ts";
import { type Guest, type PeerJudge, sourceOf } from "./peer-judge.ts";
import type { NodeCounters } from "./ports.ts";

export interface Admitted {
  readonly tls: TLSSocket;
  /** The socket under it: `resetSocket(raw, tls)` is what gives a connection up for good. */
  readonly raw: Socket;
  readonly caller: Caller;
}

export interface DoorVisit {
  readonly guest: Guest;
  /** Whether the socket's first bytes proved an invitation (a leg token, a link label). */
  readonly invited: boolean;
  readonly onAdmitted: (admitted: Admitted) => void;
  /** Called once when it does not come to that; the socket is gone. */
  readonly onFailed?: (why: string) => void;
}

export interface TlsDoorOptions<K extends ServerKind> {
  readonly kind: K;
  readonly arrivedBy: ArrivedBy;
  readonly material: ServerMaterial<K>;
  readonly judge: PeerJudge;
  readonly gate: HandshakeGate;
  readonly failures: FailedHandshakes;
  readonly counters: NodeCounters;
  readonly log: Log;
}

interface Shaking {
  readonly raw: Socket;
  readonly visit: DoorVisit;
  readonly leave: Leave;
}

export class TlsDoor<K extends ServerKind> {
  readonly #options: TlsDoorOptions<K>;
  readonly #server: Server;
  /** By the connection's four addresses: the only thing a raw socket and its TLS socket publicly share. */
  readonly #shaking = new Map<string, Shaking>();

  constructor(options: TlsDoorOptions<K>) {
    this.#options = options;
    this.#server = createServer(tlsOptions(options.kind, options.material));
    this.#server.on("secureConnection", (tls) => this.#onSecure(tls));
    this.#server.on("tlsClientError", (error, tls) => {
      this.#options.log.debug("handshake failed", { state: this.#options.kind, error: messageOf(error) });
      tls.destroy();
    });
  }

  /** Replaces certificate and trust of every later handshake. */
  rotate(material: ServerMaterial<K>): void {
    applyRotation(this.#server, this.#options.kind, material);
  }

  /** Handshakes running or waiting for their turn are not counted in: those are the gate's. */
  enter(raw: Socket, visit: DoorVisit): void {
    raw.allowHalfOpen = false;
    // Between here and TLS an error has nobody else to go to.
    raw.on("error", () => {});
    const { gate, failures } = this.#options;
    if (!visit.invited && !failures.mayTry(sourceOf(raw))) return void this.#refuse(raw, visit, "HANDSHAKES_FAILED");
    const start = (leave: Leave): void => this.#shake(raw, visit, leave);
    const waits = visit.invited ? gate.enterInvited(start) : gate.enterStranger(sourceOf(raw), start);
    if (!waits) this.#refuse(raw, visit, "HANDSHAKES_BUSY");
  }

  #shake(raw: Socket, visit: DoorVisit, leave: Leave): void {
    const key = addressKey(raw);
    if (key === undefined || raw.destroyed) {
      leave();
      return void this.#refuse(raw, visit, "SOCKET_GONE");
    }
    const source = sourceOf(raw);
    this.#shaking.set(key, { raw, visit, leave });
    raw.once("close", () => {
      if (this.#shaking.get(key)?.raw !== raw) return;
      this.#shaking.delete(key);
      leave();
      if (!visit.invited) this.#options.failures.failed(source, raw.bytesRead);
      this.#options.counters.handshakesRefused += 1;
      visit.onFailed?.("HANDSHAKE_FAILED");
    });
    this.#server.emit("connection", raw);
  }

  #onSecure(tls: TLSSocket): void {
    const key = addressKey(tls);
    const shaking = key === undefined ? undefined : this.#shaking.get(key);
    if (key === undefined || shaking === undefined) return void tls.destroy();
    this.#shaking.delete(key);
    const { raw, visit, leave } = shaking;
    leave();
    tls.on("error", () => {});
    const source = sourceOf(raw);
    const { judge, arrivedBy } = this.#options;
    const caller =
      tls.alpnProtocol === "h2" ? judge.admit(tls, visit.guest, { arrivedBy, source }) : { refused: "ALPN" };
    if (isRefusal(caller)) return void this.#refuse(raw, visit, caller.refused, tls);
    try {
      visit.onAdmitted({ tls, raw, caller });
    } catch (error) {
      // What one connection meets must not end the others.
      this.#options.log.error("connection not taken", { state: this.#options.kind, error: messageOf(error) });
      resetSocket(raw, tls);
    }
  }

  #refuse(raw: Socket, visit: DoorVisit, why: string, tls?: TLSSocket): void {
    this.#options.counters.handshakesRefused += 1;
    this.#options.log.info("connection refused", { state: this.#options.kind, detail: why });
    resetSocket(raw, tls);
    visit.onFailed?.(why);
  }
}

function addressKey(socket: Socket): string | undefined {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  if (remotePort === undefined || localPort === undefined) return undefined;
  return `${localAddress}|${localPort}|${remoteAddress}|${remotePort}`;
}
