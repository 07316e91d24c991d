/**
 * How paths are opened in the simulated mesh: the offer travels over the links and back, then the handshake does; what is
 * frozen or cut on the way holds it up, who is dead, draining or revoked refuses it, and every connection that comes of it is
 * kept on record.
 */

import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { PathRequest } from "../../node/paths.ts";
import { type ConnectionEnd, type EdgeProcesses, EndPath, type PathNews, SimConnection } from "./connection.ts";
import { EPOCH_MS } from "./loop.ts";
import type { Net } from "./net.ts";

export interface OpeningOptions {
  readonly net: Net;
  readonly processes: EdgeProcesses;
  /** The far edge takes a path over. */
  readonly accept: (path: EndPath) => void;
  /** How long the leaves on a path live, milliseconds; undefined: for ever. */
  readonly leafLifeMs: () => number | undefined;
  /** An end gives its connection up by itself. */
  readonly givesUp: (end: ConnectionEnd) => void;
}

const refused = (detail: string): WeftError => new WeftError("unavailable", "the path was not opened", { detail });

export class SimOpener {
  readonly #options: OpeningOptions;
  readonly connections: SimConnection[] = [];
  opened = 0;
  /** Offers made, whatever came of them. */
  asked = 0;
  #lastId = 0;

  constructor(options: OpeningOptions) {
    this.#options = options;
  }

  /** What `PathOpener.open` does for an entry. */
  open(request: PathRequest): Promise<EndPath> {
    const { net, processes } = this.#options;
    const { near } = processes;
    this.asked += 1;
    return new Promise((resolve, reject) => {
      let over = false;
      let connection: SimConnection | undefined;
      const finish = (settle: () => void): void => {
        if (over) return;
        over = true;
        deadline.cancel();
        net.onKill.delete(killed);
        request.signal?.removeEventListener("abort", aborted);
        net.loop.settles();
        settle();
      };
      const fail = (detail: string): void =>
        finish(() => {
          connection?.near.destroy();
          reject(refused(detail));
        });
      const aborted = (): void => fail("ABORTED");
      const killed = (id: string): void => {
        if (!request.hops.includes(id)) return;
        net.loop.at(net.loop.nowMs + 10, () => near.arrives(() => fail("HOP_LOST")));
      };
      const deadline = near.clock.after(limits.openPathDeadlineMs, () => fail("DEADLINE"), { keepAlive: true });
      net.onKill.add(killed);
      request.signal?.addEventListener("abort", aborted, { once: true });
      const back = [...request.hops].reverse();
      this.#offer(
        request.hops,
        () => over,
        fail,
        () => {
          net.travel(request.hops, () => {
            if (over) return;
            connection = this.#connect(request);
            const { far } = connection;
            processes.far.arrives(() => this.#options.accept(far.path));
            net.travel(back, () => {
              near.arrives(() => finish(() => resolve((connection as SimConnection).near.path)));
            });
          });
        },
      );
    });
  }

  /** The offer to the far edge and the answer, or the refusal of the first hop that cannot. */
  #offer(hops: readonly string[], over: () => boolean, fail: (detail: string) => void, then: () => void): void {
    const { net, processes } = this.#options;
    const at = hops.findIndex((id, i) => {
      const { dead, draining, revoked } = net.node(id);
      return i > 0 && (dead || draining || revoked);
    });
    const there = at < 0 ? hops : hops.slice(0, net.node(hops[at] as string).dead ? at : at + 1);
    net.travel(there, () => {
      if (over()) return;
      net.travel([...there].reverse(), () => {
        if (over()) return;
        if (at >= 0) processes.near.arrives(() => fail("REFUSED"));
        else then();
      });
    });
  }

  #connect({ hops, trunkId }: PathRequest): SimConnection {
    const { net, processes, leafLifeMs, givesUp } = this.#options;
    const lifeMs = leafLifeMs();
    const expiresAtMs = lifeMs === undefined ? undefined : EPOCH_MS + net.loop.nowMs + lifeMs;
    const paths = [0, 1].map(() => new EndPath(hops, Buffer.from(trunkId), expiresAtMs));
    this.#lastId += 2;
    const ids = [this.#lastId, this.#lastId + 1] as const;
    const connection = new SimConnection(net, ids, paths as [EndPath, EndPath], processes);
    connection.near.givesUp = givesUp;
    connection.far.givesUp = givesUp;
    this.connections.push(connection);
    this.opened += 1;
    return connection;
  }

  /** A node tells both edges of every path over it. */
  tell(nodeId: string, kind: PathNews["kind"]): void {
    const { net, processes } = this.#options;
    for (const { hops, near, far } of this.connections) {
      const at = hops.indexOf(nodeId);
      if (at < 1 || (near.gone && far.gone)) continue;
      const news = { kind, nodeId };
      net.travel(hops.slice(0, at + 1).reverse(), () => processes.near.arrives(() => near.path.tell(news)));
      net.travel(hops.slice(at), () => processes.far.arrives(() => far.path.tell(news)));
    }
  }
}
