/**
 * Plain TCP listeners of an entry: desired (snapshot within the ceiling) against running. A connection becomes one
 * channel whose origin is the listener and the source address, nothing more (ANONYMOUS). Connections are bounded per
 * listener and per process: one more is reset and counted.
 */

import { BlockList, createServer, isIP, type Server, type Socket } from "node:net";
import { create } from "@bufbuild/protobuf";
import { pipeToSource } from "../../edge/pipe-source.ts";
import { ChannelClass, OriginAssurance } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { Listener } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { type ListenerStatus, ListenerStatusSchema } from "../../gen/weft/node/v1/node_pb.ts";
import { isLoopbackHost } from "../../lib/config.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { PacedLog } from "../../lib/paced-log.ts";
import { resetSocket } from "../../lib/reset-socket.ts";
import type { CeilingJudge } from "../ceiling.ts";
import type { DataPlanePorts } from "../plane-ports.ts";
import type { EntryRole } from "./entry.ts";
import { openInTime } from "./open-in-time.ts";
import { carriesMessages } from "./resource-kind.ts";

interface Running {
  readonly listener: Listener;
  readonly fingerprint: string;
  readonly sockets: Set<Socket>;
  server: Server | undefined;
  boundAddress: string;
  error: string;
  /** Connections refused for want of room, or for their source. */
  refused: number;
}

/** What about a listener, when changed, needs it to be bound anew. */
function fingerprintOf(listener: Listener): string {
  return JSON.stringify([
    listener.bindHost,
    listener.bindPort,
    listener.resourceName,
    listener.organizationId,
    listener.allowedSources,
  ]);
}

function sourceList(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [network = "", prefix = ""] = cidr.split("/");
    const version = isIP(network);
    if (version !== 0)
      list.addSubnet(network, Number(prefix || (version === 4 ? 32 : 128)), version === 4 ? "ipv4" : "ipv6");
  }
  return list;
}

/** How many connections there may be; tests make it small. */
export interface ConnectionBounds {
  readonly perListenerMaxCount: number;
  readonly perProcessMaxCount: number;
}

export class EntryListeners {
  readonly #ports: DataPlanePorts;
  readonly #ceiling: CeilingJudge;
  readonly #entry: Pick<EntryRole, "open">;
  readonly #bounds: ConnectionBounds;
  readonly #paced: PacedLog;
  readonly #running = new Map<string, Running>();
  #connections = 0;
  #closed = false;

  constructor(
    ports: DataPlanePorts,
    ceiling: CeilingJudge,
    entry: Pick<EntryRole, "open">,
    bounds: ConnectionBounds = {
      perListenerMaxCount: limits.listenerConnectionsMaxCount,
      perProcessMaxCount: limits.entryConnectionsMaxCount,
    },
  ) {
    this.#ports = ports;
    this.#ceiling = ceiling;
    this.#entry = entry;
    this.#bounds = bounds;
    this.#paced = new PacedLog(ports.clock, ports.log);
  }

  /** Starts what is wanted and not running, stops what runs and is not wanted. */
  reconcile(wanted: readonly Listener[]): void {
    if (this.#closed) return;
    const byId = new Map(wanted.map((listener) => [listener.listenerId, listener]));
    for (const [id, running] of this.#running) {
      const listener = byId.get(id);
      // An address that was taken may be free by now.
      const failed = running.error !== "" && running.server !== undefined;
      if (listener === undefined || failed || fingerprintOf(listener) !== running.fingerprint) this.#stop(id, running);
    }
    for (const [id, listener] of byId) if (!this.#running.has(id)) this.#start(listener);
  }

  status(): ListenerStatus[] {
    return [...this.#running.values()].map(({ listener, boundAddress, error, sockets, refused }) =>
      create(ListenerStatusSchema, {
        listenerId: listener.listenerId,
        name: listener.name,
        resourceName: listener.resourceName,
        boundAddress,
        error,
        connections: sockets.size,
        refused: BigInt(refused),
      }),
    );
  }

  close(): void {
    this.#closed = true;
    for (const [id, running] of this.#running) this.#stop(id, running);
  }

  #start(listener: Listener): void {
    const running: Running = {
      listener,
      fingerprint: fingerprintOf(listener),
      sockets: new Set(),
      server: undefined,
      boundAddress: "",
      error: "",
      refused: 0,
    };
    this.#running.set(listener.listenerId, running);
    const refusal = this.#refusal(listener);
    if (refusal !== undefined) {
      this.#fail(running, refusal);
      return;
    }
    let sources: BlockList;
    try {
      sources = sourceList(listener.allowedSources);
    } catch {
      this.#fail(running, "allowed sources are no list of networks");
      return;
    }
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      this.#take(running, sources, socket),
    );
    this.#listen(running, server);
  }

  #listen(running: Running, server: Server): void {
    const { listener } = running;
    running.server = server;
    // Stays for good: a failing accept (no descriptors left) is an error event too.
    server.on("error", (thrown) => {
      if (server.listening) this.#ports.log.warn("listener cannot accept", { error: messageOf(thrown) });
      else this.#fail(running, messageOf(thrown));
    });
    server.listen({ host: listener.bindHost, port: listener.bindPort }, () => {
      const bound = server.address();
      if (bound === null || typeof bound === "string") return;
      running.boundAddress =
        bound.family === "IPv6" ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
      this.#ports.events.emit("listener_up", { listener: listener.name, address: running.boundAddress });
    });
  }

  #take(running: Running, sources: BlockList, socket: Socket): void {
    const reason = this.#notTaken(running, sources, socket);
    if (reason !== undefined) {
      running.refused += 1;
      this.#ports.counters.connectionsRefused += 1;
      this.#paced.info("connection refused", { reason });
      resetSocket(socket);
      return;
    }
    running.sockets.add(socket);
    this.#connections += 1;
    socket.once("close", () => {
      running.sockets.delete(socket);
      this.#connections -= 1;
    });
    void this.#serve(running.listener, socket);
  }

  /** Why a connection is not taken, or undefined. */
  #notTaken({ listener, sockets }: Running, sources: BlockList, socket: Socket): string | undefined {
    const plain = (socket.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/, "");
    const anySource = listener.allowedSources.length === 0;
    if (!anySource && !sources.check(plain, isIP(plain) === 6 ? "ipv6" : "ipv4")) return "source not allowed";
    if (this.#ports.drain.draining()) return "draining";
    if (sockets.size >= this.#bounds.perListenerMaxCount) return "too many connections at this listener";
    if (this.#connections >= this.#bounds.perProcessMaxCount) return "too many connections at this entry";
    return undefined;
  }

  #refusal(listener: Listener): string | undefined {
    if (!this.#ceiling.allowsListenerHost(listener.bindHost)) return "bind address beyond this host's ceiling";
    if (!isLoopbackHost(listener.bindHost) && listener.allowedSources.length === 0)
      return "a listener beyond loopback needs allowed sources";
    return undefined;
  }

  #fail(running: Running, error: string): void {
    running.error = error;
    running.boundAddress = "";
    this.#ports.events.emit("listener_failed", { listener: running.listener.name, reason: error });
    this.#ports.log.warn("listener failed", { error });
  }

  #stop(id: string, running: Running): void {
    this.#running.delete(id);
    running.server?.close();
    for (const socket of running.sockets) resetSocket(socket);
  }

  #carriesMessages({ resourceName, organizationId }: Listener): boolean {
    return carriesMessages(this.#ports.snapshot.current(), resourceName, organizationId);
  }

  async #serve(listener: Listener, socket: Socket): Promise<void> {
    const gone = new AbortController();
    const onGone = (): void => gone.abort();
    socket.on("error", onGone);
    socket.once("close", onGone);
    try {
      const channel = await openInTime(this.#entry, this.#ports.clock, {
        resource: listener.resourceName,
        organizationId: listener.organizationId,
        class: ChannelClass.UNSPECIFIED,
        origin: {
          assurance: OriginAssurance.ANONYMOUS,
          clientId: "",
          organizationId: listener.organizationId,
          entryNodeId: this.#ports.identity.current().nodeId,
          listenerId: listener.listenerId,
          sourceAddress: `${socket.remoteAddress ?? ""}:${socket.remotePort ?? 0}`,
        },
        signal: gone.signal,
      });
      if (gone.signal.aborted) return void channel.destroy();
      pipeToSource(channel, socket, this.#carriesMessages(listener));
      // Aborting makes an error with its stack: not for every connection that ends as it should.
      socket.off("error", onGone).off("close", onGone);
    } catch (thrown) {
      if (!gone.signal.aborted)
        this.#paced.info("connection not carried", {
          reason: thrown instanceof WeftError ? thrown.detail : messageOf(thrown),
        });
      resetSocket(socket);
    }
  }
}
