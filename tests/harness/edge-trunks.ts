/** A pool and an acceptor joined over loopback, closed and checked for leaks after each test of the file that imports this. */

import { once } from "node:events";
import { afterEach, beforeAll, expect } from "vitest";
import type { EdgeChannel } from "../../edge/channel.ts";
import type { EdgePath } from "../../edge/edge-path.ts";
import { TrunkAcceptor } from "../../edge/trunk-acceptor.ts";
import { TrunkPool } from "../../edge/trunk-pool.ts";
import type { ChannelOpen } from "../../fabric/trunk/messages.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { Closers } from "../../lib/closers.ts";
import { WeftError } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { type Random, systemRandom } from "../../lib/random.ts";
import type { EdgeListener, Identities } from "./edge-paths.ts";
import { dialPath, listenForPaths, makeIdentities } from "./edge-paths.ts";
import { eventually } from "./eventually.ts";

export const far = { farEdge: "egress", organizationId: "org" };
export const openOf = (resource: string, channelClass: ChannelClass = ChannelClass.BULK): ChannelOpen => ({
  resource,
  class: channelClass,
  origin: undefined,
  correlationId: `c-${resource}`,
});

export let identities: Identities;
beforeAll(async () => {
  identities = await makeIdentities();
});

export interface EdgesOptions {
  /** How long trunks without a path are kept at either end. */
  readonly holdMs?: number;
  readonly random?: Random;
}

export interface Edges {
  /** While false, no path can be opened. */
  reachable: boolean;
  readonly pool: TrunkPool;
  readonly acceptor: TrunkAcceptor<string>;
  readonly listener: EdgeListener;
  readonly paths: EdgePath[];
  closedPaths: number;
}

export const closers = new Closers();
afterEach(async () => {
  await closers.close();
});

/** Two edges; `serve` gets every channel at the far one. */
export async function edges(
  serve: (channel: EdgeChannel) => void,
  accept: () => boolean = () => true,
  options: EdgesOptions = {},
): Promise<Edges> {
  const acceptor = new TrunkAcceptor<string>({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    accept,
    ...options,
    onChannel: (channel) => {
      channel.on("error", () => {});
      serve(channel);
    },
  });
  const listener = await listenForPaths(identities, (path) => acceptor.add(path));
  const made: Edges = {
    acceptor,
    listener,
    paths: [],
    closedPaths: 0,
    reachable: true,
    pool: new TrunkPool({
      clock: systemClock,
      random: systemRandom,
      ...options,
      log: silentLog,
      openPath: async () => {
        const unreachable = (): WeftError => new WeftError("unavailable", "out of reach");
        if (!made.reachable) throw unreachable();
        const dialled = await dialPath(identities, listener.port, () => {
          made.closedPaths += 1;
        });
        // Out of reach since: what was on its way does not arrive.
        if (!made.reachable) {
          dialled.raw.resetAndDestroy();
          throw unreachable();
        }
        // As if every path went over a relay of its own.
        const path = { ...dialled, hops: ["entry", `relay-${made.paths.length + 1}`, "egress"] };
        made.paths.push(path);
        return path;
      },
    }),
  };
  closers.add("listener", () => listener.close());
  closers.add("acceptor", () => acceptor.close());
  closers.add("pool", async () => {
    await made.pool.close();
    // Nothing is left behind, on either side.
    expect(made.paths.every((path) => path.raw.destroyed && path.tls.destroyed)).toBe(true);
    expect(made.closedPaths).toBe(made.paths.length);
    await eventually(() => listener.sockets.size === 0, { what: "the listener's sockets to close" });
    expect(made.pool.trunks()).toEqual([]);
    expect(acceptor.trunks()).toEqual([]);
  });
  return made;
}

export const echo = (channel: EdgeChannel): void => {
  channel.accept();
  channel.copiesWrites = false;
  channel.pipe(channel);
};

/** Everything the far end sends until its half-close. */
export async function textOf(channel: EdgeChannel): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of channel) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

export async function errorOf(channel: EdgeChannel): Promise<WeftError> {
  const [error] = await once(channel, "error");
  return error as WeftError;
}
