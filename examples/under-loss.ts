/**
 * Transfers of clients through an entry while the relay that carries them is killed: nobody but the edges may notice. The
 * relay stays dead: whoever wants it back starts it again.
 */

import { setTimeout as delay } from "node:timers/promises";
import type { NodePort } from "../cli/node-port.ts";
import { type BusyPath, busyPath } from "../cli/up/busy-path.ts";
import type { Fabric } from "../cli/up/fabric.ts";
import { askFabricNode, type Failover, nodeNames, onceEach, watchFailovers } from "../cli/up/failovers.ts";
import { type ExampleClient, runExample } from "./example-client.ts";

/** What `npm run examples` prints. */
export interface ExampleReport {
  readonly ok: boolean;
  /** Both ways together. */
  readonly bytes: number;
  readonly sha256_equal: boolean;
  /** In 10^6 bytes, over the time from the open channel to its end. */
  readonly mb_per_s: number;
  /** Moves of the transfer's trunk off the relay that was killed. */
  readonly failovers: number;
}

export interface TransferOptions {
  readonly fabric: Fabric;
  /** All at once; one trunk carries them. */
  readonly clients: readonly ExampleClient[];
  /** Client folder. */
  readonly identity: string;
  /** Each way. */
  readonly bytes: number;
  /** Bytes a second that are sent; as fast as it goes when absent. */
  readonly bytesPerSecond?: number;
  readonly onProgress?: (line: string) => void;
}

const entry = "entry-1";
const withinMs = 120_000;
const lookEveryMs = 20;
/** How long the edges may take to tell of a move that has happened. */
const toldWithinMs = 10_000;

interface Transferred {
  readonly bytes: number;
  readonly sha256_equal: boolean;
  readonly mb_per_s: number;
}

/** The path that carries the transfer, once there is another one for it to move to; undefined when it ended before. */
async function pathToHurt(
  node: NodePort["client"],
  fabric: Fabric,
  isOver: () => boolean,
): Promise<BusyPath | undefined> {
  while (!isOver()) {
    const { trunks } = await node.listTrunks({});
    const found = busyPath(trunks, nodeNames(fabric));
    if (found !== undefined && found.standbys > 0) return found;
    await delay(lookEveryMs);
  }
  return undefined;
}

/** Lets the clients transfer and kills the relay in use when each is on its way; which one, when it was in time. */
async function hurtUnderTransfer(
  options: TransferOptions,
): Promise<{ readonly answers: readonly Transferred[]; readonly hurt: BusyPath | undefined }> {
  const { fabric, clients, identity, bytes, bytesPerSecond = 0, onProgress = () => {} } = options;
  // The entry is asked over a connection that stands before the first byte goes.
  return await fabric.withSession((session) =>
    askFabricNode(fabric, session, entry, async (node) => {
      await node.listTrunks({});
      const address = String(fabric.process(entry).facts.public);
      // The last quarter waits until the relay was killed, should that not have happened before.
      const hold = Math.ceil(bytes * 0.75);
      const flags = { identity, entry: address, bytes, rate: bytesPerSecond, hold };
      const running = clients.map((client) => runExample<Transferred>(client, "transfer", flags, withinMs));
      let isOver = false;
      for (const { answer } of running) void answer.catch(() => {}).then(() => (isOver = true));
      await Promise.all(running.map(({ told }) => told("received")));
      const found = await pathToHurt(node, fabric, () => isOver);
      const hurt = isOver ? undefined : found;
      if (hurt !== undefined) process.kill(fabric.process(hurt.node).pid, "SIGKILL");
      onProgress(hurt === undefined ? "the transfer was over too soon" : `${hurt.node} is killed under the transfer`);
      for (const each of running) each.goOn();
      return { answers: await Promise.all(running.map(({ answer }) => answer)), hurt };
    }),
  );
}

/**
 * Every client sends `bytes` to the echo and back, and the relay in use is killed on the way. A report each; `hurt` names the
 * relay, and is empty when a client was done before.
 */
export async function transferUnderLoss(
  options: TransferOptions,
): Promise<{ readonly reports: readonly ExampleReport[]; readonly hurt: string }> {
  const { fabric, bytes } = options;
  const moves: Failover[] = [];
  const watching = new AbortController();
  const watch = watchFailovers(
    fabric,
    onceEach((move) => void moves.push(move)),
    watching.signal,
  );
  try {
    const { answers, hurt } = await hurtUnderTransfer(options);
    const off = (): Failover[] =>
      moves.filter(({ trunk, from, lane }) => trunk === hurt?.trunk && from.includes(hurt.node) && lane === "bulk");
    const untilMs = performance.now() + toldWithinMs;
    while (hurt !== undefined && off().length === 0 && performance.now() < untilMs) await delay(lookEveryMs);
    const failovers = off().reduce((sum, move) => sum + move.moves, 0);
    const reports = answers.map((answer) => ({
      ok: answer.sha256_equal && answer.bytes === 2 * bytes && failovers > 0,
      bytes: answer.bytes,
      sha256_equal: answer.sha256_equal,
      mb_per_s: Math.round(answer.mb_per_s * 10) / 10,
      failovers,
    }));
    return { reports, hurt: hurt?.node ?? "" };
  } finally {
    watching.abort();
    await watch;
  }
}
