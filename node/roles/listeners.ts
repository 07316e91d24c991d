/**
 * Plain TCP listeners of an entry: desired (snapshot within the ceiling) against running. A connection becomes one
 * channel whose origin is the listener and the source address, nothing more (ANONYMOUS).
 */

import { BlockList, createServer, isIP, type Server, type Socket } from "node:net";
import { create } from "@bufbuild/protobuf";
import { ChannelClass, OriginAssurance } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { Listener } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { type ListenerStatus, ListenerStatusSchema } from "../../gen/weft/node/v1/node_pb.ts";
import { isLoopbackHost } from "../../lib/config.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import type { CeilingJudge } from "../ceiling.ts";
import type { DataPlanePorts } from "../plane-ports.ts";
import type { EntryRole } from "./entry.ts";
import { pipeToSource } from "./pipe-source.ts";
import { carriesMessages } from "./resource-kind.ts";

interface Running {
  readonly listener: Listener;
  readonly fingerprint: string;
  readonly sockets: Set<Socket>;
  server: Server | undefined;
  boundAddress: string;
  error: string;
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

export class EntryListeners {
  readonly #ports: DataPlanePorts;
  readonly #ceiling: CeilingJudge;
  readonly #entry: EntryRole;
  readonly #running = new Map<string, Running>();
  #closed = false;

  constructor(ports: DataPlanePorts, ceiling: CeilingJudge, entry: EntryRole) {
    this.#ports = ports;
    this.#ceiling = ceiling;
    this.#entry = entry;
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
    return [...this.#running.values()].map(({ listener, boundAddress, error }) =>
      create(ListenerStatusSchema, {
        listenerId: listener.listenerId,
        name: listener.name,
        resourceName: listener.resourceName,
        boundAddress,
        error,
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
    const anySource = listener.allowedSources.length === 0;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const address = socket.remoteAddress ?? "";
      const plain = address.replace(/^::ffff:(?=\d+\.)/, "");
      const allowed = anySource || sources.check(plain, isIP(plain) === 6 ? "ipv6" : "ipv4");
      if (!allowed || this.#ports.drain.draining()) {
        socket.resetAndDestroy();
        return;
      }
      running.sockets.add(socket);
      socket.once("close", () => running.sockets.delete(socket));
      void this.#serve(listener, socket);
    });
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
    for (const socket of running.sockets) socket.resetAndDestroy();
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
      const channel = await this.#entry.open({
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
      if (gone.signal.aborted) channel.destroy();
      else pipeToSource(channel, socket, this.#carriesMessages(listener));
    } catch (thrown) {
      if (!gone.signal.aborted)
        this.#ports.log.info("connection not carried", {
          reason: thrown instanceof WeftError ? thrown.detail : messageOf(thrown),
        });
      socket.resetAndDestroy();
    }
  }
}
