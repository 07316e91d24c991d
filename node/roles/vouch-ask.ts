/**
 * The far edge's check of what a client shows in its Attach. An entry's offer carries only the hash of the client's ask; here
 * both meet, on a connection whose peer proved to be that client.
 *
 * VA1. On a client's path every Attach shows the ask whose hash its offer carried: an entry can neither open a path the
 *      client did not ask for, nor use its ask for another trunk, pool or resource.
 * VA2. The signature is checked once per path, while the ask is fresh; further lanes of the path show the same bytes.
 * VA3. A client's trunk is for the resource of its ask. Between nodes nothing is shown.
 */

import { sameBytes } from "../../certs/keys.ts";
import { askHash, verifyAsk } from "../../fabric/path/ask.ts";
import type { Attach } from "../../fabric/trunk/messages.ts";
import { FarEdge } from "../../gen/weft/relay/v1/relay_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { PacedLog } from "../../lib/paced-log.ts";
import type { PathEnd } from "../path-end.ts";
import type { DataPlanePorts } from "../plane-ports.ts";

export class AskVoucher {
  readonly #ports: DataPlanePorts;
  readonly #resources = new WeakMap<PathEnd, string>();

  readonly #paced: PacedLog;

  constructor(ports: DataPlanePorts) {
    this.#ports = ports;
    this.#paced = new PacedLog(ports.clock, ports.log);
  }

  /** The resource a client's path was asked for; undefined between nodes, and before the ask was seen. */
  resourceOf(end: PathEnd): string | undefined {
    return this.#resources.get(end);
  }

  /** Whether this Attach may come by this path (VA1). */
  vouches(end: PathEnd, shown: Pick<Attach, "ask" | "askSignature">): boolean {
    const { offer } = end;
    if (offer.farEdge !== FarEdge.POOL) return shown.ask.length === 0 && shown.askSignature.length === 0;
    const signed = { ask: shown.ask, signature: shown.askSignature };
    if (!sameBytes(askHash(signed), offer.askHash)) return this.#refused("ASK_HASH");
    if (this.#resources.has(end)) return true;
    const { spkiDer, id } = end.caller;
    if (spkiDer === undefined || id?.kind !== "client") return this.#refused("CALLER_KIND");
    try {
      const { clusterId } = this.#ports.identity.current();
      const nowMs = this.#ports.clock.nowMs();
      const ask = verifyAsk(signed, { clientSpki: spkiDer, clusterId, clientId: id.id, nowMs });
      if (!sameBytes(ask.trunkId, offer.trunkId)) return this.#refused("ASK_TRUNK");
      if (!this.#serves(ask.resource, end)) return this.#refused("ASK_RESOURCE");
      this.#resources.set(end, ask.resource);
      return true;
    } catch (thrown) {
      return this.#refused(thrown instanceof WeftError ? thrown.detail : "INTERNAL");
    }
  }

  #serves(resource: string, { offer }: PathEnd): boolean {
    const targets = this.#ports.snapshot.current()?.resourceTargets ?? [];
    return targets.some(
      ({ name, organizationId, poolId }) =>
        name === resource && organizationId === offer.organizationId && poolId === offer.poolId,
    );
  }

  #refused(detail: string): false {
    this.#paced.info("attach refused", { detail });
    return false;
  }
}
