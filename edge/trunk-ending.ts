/** Ending trunks in order: drain, then cut, then wait until their sockets are gone. */

import type { Clock } from "../lib/clock.ts";
import { sleep } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { PathConnection } from "./path-connection.ts";
import type { TrunkRunner } from "./trunk-runner.ts";

/** Waits until `promise` settles, at most `withinMs`. */
async function within(clock: Clock, withinMs: number, promise: Promise<unknown>): Promise<void> {
  const done = new AbortController();
  await Promise.race([promise.finally(() => done.abort()), sleep(clock, withinMs, done.signal)]);
  done.abort();
}

const closedOf = (connection: PathConnection): Promise<void> =>
  new Promise((resolve) => connection.onClosed(() => resolve()));

/** Lets draining trunks finish within the grace, cuts the others, and resolves when every connection is closed. */
export async function endTrunks(
  runners: readonly TrunkRunner[],
  connections: readonly PathConnection[],
  clock: Clock,
): Promise<void> {
  await within(clock, limits.drainGraceMs, Promise.all(runners.map((runner) => runner.ended)));
  for (const runner of runners) runner.abort("closing");
  for (const connection of connections) connection.close();
  await Promise.all(connections.map(closedOf));
}
