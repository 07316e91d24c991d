/**
 * The public port of a node. First bytes decide, before TLS, which of a few doors a connection goes through (LAW-R3):
 * a live leg token, a reverse link, the own link name, the clients' name. Everything else is closed unheard.
 *
 * LI1. A stranger that knows no name and holds no token costs one bounded, timed look.
 * LI2. A reverse link shows the link name too, behind its preamble: five known bytes open no door.
 */

import { once } from "node:events";
import { type AddressInfo, createServer, isIP, type Server, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { hasRole } from "../fabric/members.ts";
import { parseServerName } from "../fabric/server-names.ts";
import { NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import { messageOf } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import type { LegTable } from "../relay/legs.ts";
import { type Opening, Peeker } from "../relay/peek.ts";
import type { Caller } from "../rpc/caller.ts";
import { Doors } from "./doors.ts";
import type { LegDesk } from "./leg-desk.ts";
import type { LegAction } from "./next-leg.ts";
import { PeerJudge } from "./peer-judge.ts";
import type { DataPlanePorts } from "./plane-ports.ts";
import type { Admitted } from "./tls-door.ts";

export interface Bind {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

export interface NodeListener {
  readonly address: Bind;
  /** Stops accepting and drops what was not handed on; connections that were live on. */
  close(): Promise<void>;
}

export interface ListenerDeps {
  readonly ports: DataPlanePorts;
  readonly bind: Bind;
  readonly doors: Doors;
  readonly legs: LegTable<LegAction>;
  readonly desk: LegDesk;
  /** A judged neighbour that calls. */
  readonly onLink: (admitted: Admitted) => void;
  /** A judged neighbour that wants to be called. */
  readonly onReverseLink: (admitted: Admitted) => void;
  /** A judged client, on entries. */
  readonly onClient?: (admitted: Admitted) => void;
}

/** Listens on the public port. Rejects when it cannot be bound. */
export async function startListener(deps: ListenerDeps): Promise<NodeListener> {
  const { counters, clock } = deps.ports;
  const refuse = (): void => {
    counters.peeksRefused += 1;
  };
  const peeker = new Peeker({ clock, onRefused: refuse });
  const sorter = new Sorter(deps, peeker);
  const server = createServer(
    { allowHalfOpen: true, noDelay: true, highWaterMark: limits.spliceHighWaterBytes },
    (socket) => peeker.look(socket, (opening) => sorter.sort(socket, opening)),
  );
  server.maxConnections = limits.publicSocketsMaxCount;
  server.on("drop", refuse);
  return await listening(server, deps.bind, () => peeker.stop());
}

export interface OperatorListenerDeps {
  readonly ports: DataPlanePorts;
  readonly bind: Bind;
  /** A judged operator. */
  readonly accept: (tls: TLSSocket, raw: Socket, caller: Caller) => void;
}

/** Listens on the operator port: TLS for operators by any name or address. Rejects when it cannot be bound. */
export async function startOperatorListener(deps: OperatorListenerDeps): Promise<NodeListener> {
  const { counters, clock } = deps.ports;
  const refuse = (): void => {
    counters.peeksRefused += 1;
  };
  const doors = new Doors({ ports: deps.ports, judge: new PeerJudge(deps.ports) });
  const onAdmitted = ({ tls, raw, caller }: Admitted): void => deps.accept(tls, raw, caller);
  const peeker = new Peeker({ clock, onRefused: refuse });
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
    peeker.look(socket, (opening) => {
      if (opening.kind !== "hello") {
        refuse();
        return void socket.destroy();
      }
      contained(deps.ports, socket, () => {
        doors.operator.enter(socket, { guest: { kind: "operator" }, invited: false, onAdmitted });
      });
    }),
  );
  server.maxConnections = limits.peekSocketsMaxCount;
  return await listening(server, deps.bind, () => {
    peeker.stop();
    doors.close();
  });
}

class Sorter {
  readonly #deps: ListenerDeps;
  readonly #peeker: Peeker;

  constructor(deps: ListenerDeps, peeker: Peeker) {
    this.#deps = deps;
    this.#peeker = peeker;
  }

  /** Hands a connection on, or closes it. */
  sort(socket: Socket, opening: Opening): void {
    // Whoever takes it adds its own; between two owners an error must find one.
    socket.on("error", () => {});
    contained(this.#deps.ports, socket, () => this.#decide(socket, opening));
  }

  #decide(socket: Socket, opening: Opening): void {
    switch (opening.kind) {
      case "leg":
        return void this.#leg(socket, opening.token);
      case "reverse":
        return void this.#peeker.look(socket, (inner) =>
          contained(this.#deps.ports, socket, () => this.#reverse(socket, inner)),
        );
      case "hello":
        return void this.#hello(socket, opening.serverName);
    }
  }

  #leg(socket: Socket, token: Uint8Array): void {
    const action = this.#deps.legs.take(token);
    if (action !== undefined) return void this.#deps.desk.arrive(socket, action);
    this.#deps.ports.counters.tokensRefused += 1;
    resetSocket(socket);
  }

  #reverse(socket: Socket, opening: Opening): void {
    if (opening.kind !== "hello" || !this.#isOwnLinkName(opening.serverName)) return void this.#close(socket);
    const onAdmitted = this.#deps.onReverseLink;
    this.#deps.doors.link.enter(socket, { guest: { kind: "node" }, invited: true, onAdmitted });
  }

  #hello(socket: Socket, serverName: string | undefined): void {
    if (this.#isOwnLinkName(serverName)) {
      const onAdmitted = this.#deps.onLink;
      return void this.#deps.doors.link.enter(socket, { guest: { kind: "node" }, invited: true, onAdmitted });
    }
    const { onClient } = this.#deps;
    if (onClient === undefined || !this.#isClientName(serverName) || !this.#isEntry()) return void this.#close(socket);
    this.#deps.doors.client.enter(socket, { guest: { kind: "client" }, invited: false, onAdmitted: onClient });
  }

  #isOwnLinkName(serverName: string | undefined): boolean {
    const name = serverName === undefined ? undefined : parseServerName(serverName);
    if (name?.kind !== "link") return false;
    const label = this.#deps.ports.snapshot.current()?.self?.linkLabel ?? "";
    return label !== "" && name.label === label && name.slug === this.#deps.ports.identity.current().clusterSlug;
  }

  /** The clients' name of this cluster, or no name at all as stock clients send for addresses. */
  #isClientName(serverName: string | undefined): boolean {
    if (serverName === undefined || serverName === "localhost" || isIP(serverName) !== 0) return true;
    const name = parseServerName(serverName);
    return name?.kind === "client" && name.slug === this.#deps.ports.identity.current().clusterSlug;
  }

  #isEntry(): boolean {
    return hasRole(this.#deps.ports.snapshot.current()?.self?.roles ?? [], NodeRole.ENTRY, undefined);
  }

  #close(socket: Socket): void {
    this.#deps.ports.counters.peeksRefused += 1;
    resetSocket(socket);
  }
}

/** What one connection meets (a root missing in the bundle, a bug) must not end the others. */
function contained({ log }: DataPlanePorts, socket: Socket, handle: () => void): void {
  try {
    handle();
  } catch (error) {
    log.error("connection not sorted", { error: messageOf(error) });
    resetSocket(socket);
  }
}

async function listening(server: Server, bind: Bind, onClose: () => void): Promise<NodeListener> {
  server.listen(bind.port, bind.host);
  await once(server, "listening");
  const { address, port } = server.address() as AddressInfo;
  return {
    address: { host: address, port },
    close: () =>
      new Promise((resolve) => {
        onClose();
        // Connections handed on live on: `close` would wait for them.
        server.close();
        resolve();
      }),
  };
}
