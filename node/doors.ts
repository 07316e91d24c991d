/** The TLS doors of a node's data plane, one per kind of peer, all rotated together when the node's identity changes. */

import type { ServerKind, ServerMaterial } from "../certs/tls-options.ts";
import { WeftError } from "../lib/errors.ts";
import type { ArrivedBy } from "../rpc/caller.ts";
import { FailedHandshakes } from "../rpc/failed-handshakes.ts";
import { HandshakeGate } from "./handshake-gate.ts";
import { cachedRoots, type PeerJudge } from "./peer-judge.ts";
import type { DataPlanePorts } from "./plane-ports.ts";
import type { NodeIdentity, Unsubscribe } from "./ports.ts";
import { TlsDoor } from "./tls-door.ts";

export interface DoorsDeps {
  readonly ports: DataPlanePorts;
  readonly judge: PeerJudge;
}

export class Doors {
  readonly #deps: DoorsDeps;
  readonly #gate = new HandshakeGate();
  readonly #failures: FailedHandshakes;
  /** By name; each knows how to take up a new identity, or that it has none for it any more. */
  readonly #rotations = new Map<string, (identity: NodeIdentity) => void>();
  readonly #pools = new Map<string, TlsDoor<"path-end-client">>();
  readonly #stop: Unsubscribe;
  #link: TlsDoor<"node-link"> | undefined;
  #pathEnd: TlsDoor<"path-end-node"> | undefined;
  #client: TlsDoor<"client-entry"> | undefined;
  #operator: TlsDoor<"operator"> | undefined;

  constructor(deps: DoorsDeps) {
    this.#deps = deps;
    this.#failures = new FailedHandshakes(deps.ports.clock);
    this.#stop = deps.ports.identity.onChange((identity) => {
      for (const rotate of [...this.#rotations.values()]) rotate(identity);
    });
  }

  /** Handshakes running now. */
  get handshakesInFlight(): number {
    return this.#gate.inFlight;
  }

  get link(): TlsDoor<"node-link"> {
    this.#link ??= this.#open("node-link", "link", nodeMaterial);
    return this.#link;
  }

  get pathEndNode(): TlsDoor<"path-end-node"> {
    this.#pathEnd ??= this.#open("path-end-node", "path", nodeMaterial);
    return this.#pathEnd;
  }

  get client(): TlsDoor<"client-entry"> {
    this.#client ??= this.#open("client-entry", "client-name", (identity) => ({
      identity: identity.leaf,
      trust: cachedRoots(identity.bundle, "client"),
    }));
    return this.#client;
  }

  get operator(): TlsDoor<"operator"> {
    this.#operator ??= this.#open("operator", "operator-port", (identity) => ({
      identity: identity.leaf,
      trust: cachedRoots(identity.bundle, "operator"),
    }));
    return this.#operator;
  }

  /** The end of clients' paths to a pool; undefined when this node holds no certificate of that pool. */
  pool(poolId: string): TlsDoor<"path-end-client"> | undefined {
    const { identity } = this.#deps.ports;
    if (!identity.current().poolLeaves.has(poolId)) return undefined;
    const known = this.#pools.get(poolId);
    if (known !== undefined) return known;
    const material = (current: NodeIdentity): ServerMaterial<"path-end-client"> => {
      const leaf = current.poolLeaves.get(poolId);
      if (leaf === undefined) throw new WeftError("failed_precondition", "not in that pool", { detail: "POOL_LEAF" });
      return { identity: leaf, trust: cachedRoots(current.bundle, "client") };
    };
    const door = this.#open("path-end-client", "path", material, poolId);
    this.#pools.set(poolId, door);
    return door;
  }

  close(): void {
    this.#stop();
    this.#rotations.clear();
  }

  #open<K extends ServerKind>(
    kind: K,
    arrivedBy: ArrivedBy,
    material: (identity: NodeIdentity) => ServerMaterial<K>,
    poolId = "",
  ): TlsDoor<K> {
    const { ports, judge } = this.#deps;
    const { counters, log } = ports;
    const current = material(ports.identity.current());
    const bounds = { gate: this.#gate, failures: this.#failures };
    const door = new TlsDoor({ kind, arrivedBy, material: current, judge, ...bounds, counters, log });
    this.#rotations.set(`${kind} ${poolId}`, (identity) => {
      try {
        door.rotate(material(identity));
      } catch {
        // Only a pool's certificate can be missing: the door is not found any more, see `pool`.
        this.#pools.delete(poolId);
        this.#rotations.delete(`${kind} ${poolId}`);
        log.warn("door closed", { state: kind, detail: "NO_CERTIFICATE" });
      }
    });
    return door;
  }
}

function nodeMaterial(identity: NodeIdentity): ServerMaterial<"node-link"> & ServerMaterial<"path-end-node"> {
  return { identity: identity.leaf, trust: cachedRoots(identity.bundle, "node") };
}
