/** `weft node drain` and `undrain`: everything moves off a node before it is touched. Asked of the node itself. */

import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import type { ListTrunksResponse } from "../../gen/weft/node/v1/node_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { durationMs } from "../arguments.ts";
import { type NodePort, withNodePort } from "../node-port.ts";
import { print, safeText } from "../output.ts";
import { action, type GlobalOptions, withSession } from "../session.ts";

interface DrainOptions extends GlobalOptions {
  readonly wait?: boolean;
  readonly timeout?: number;
}

/** How often the node is asked what is left. */
const lookEveryMs = 200;
const timeoutDefaultMs = 60_000;

interface Drained {
  readonly pathsAtFirst: number;
  /** That carry something, or might: all but the paths of this node's own trunks that have no channel. */
  readonly pathsLive: number;
  readonly channelsLive: number;
  readonly waitedMs: number;
}

/** Paths of trunks that end at this node and carry no channel: nobody notices when they go. */
function idlePaths(trunks: ListTrunksResponse["trunks"]): number {
  const idle = trunks.filter(({ channels }) => channels === 0);
  return idle.reduce((sum, { attachments }) => sum + new Set(attachments.map(({ hops }) => hops.join())).size, 0);
}

/** Asks what is left until nothing is, or the time is over; says on standard error whenever it became less. */
async function untilEmpty(client: NodePort["client"], name: string, timeoutMs: number): Promise<Drained> {
  const { pathsLive: first } = await client.drain({});
  const startedMs = performance.now();
  const pathsAtFirst = Number(first);
  let told = -1;
  for (;;) {
    const [{ counters }, { trunks }] = await Promise.all([client.getStatus({}), client.listTrunks({})]);
    const pathsLive = Math.max(0, Number(counters?.pathsLive ?? 0n) - idlePaths(trunks));
    const channelsLive = Number(counters?.channelsLive ?? 0n);
    const waitedMs = Math.round(performance.now() - startedMs);
    if (pathsLive === 0 || waitedMs >= timeoutMs) return { pathsAtFirst, pathsLive, channelsLive, waitedMs };
    if (pathsLive !== told) process.stderr.write(`weft: ${safeText(name)} drains; ${pathsLive} paths left\n`);
    told = pathsLive;
    await delay(Math.min(lookEveryMs, timeoutMs - waitedMs));
  }
}

async function drain(options: DrainOptions, wanted: string): Promise<void> {
  const timeoutMs = options.wait === false ? 0 : (options.timeout ?? timeoutDefaultMs);
  const { node, ...drained } = await withSession(options, (session) =>
    withNodePort(session, wanted, async (client, found) => ({
      node: found.name,
      ...(await untilEmpty(client, found.name, timeoutMs)),
    })),
  );
  const isEmpty = drained.pathsLive === 0;
  if (!isEmpty && options.wait !== false) {
    throw new WeftError(
      "aborted",
      `${node} still carries ${drained.pathsLive} paths (${drained.channelsLive} channels) after ${drained.waitedMs} ms; it goes on draining`,
      { detail: "DRAIN_UNFINISHED" },
    );
  }
  print(options, { ok: true, node, empty: isEmpty, ...drained }, () =>
    isEmpty
      ? `${node} is drained: ${drained.pathsAtFirst} paths left it within ${drained.waitedMs} ms, and it takes no new ones`
      : `${node} drains: ${drained.pathsLive} paths are left, and it takes no new ones`,
  );
}

async function undrain(options: GlobalOptions, wanted: string): Promise<void> {
  const node = await withSession(options, (session) =>
    withNodePort(session, wanted, async (client, { name }) => {
      await client.undrain({});
      return name;
    }),
  );
  print(options, { ok: true, node }, () => `${node} takes new paths and channels again`);
}

export function addDrainCommands(node: Command): void {
  node
    .command("drain <node>")
    .description("move everything off a node: it takes nothing new, and trunks leave it make before break")
    .option("--wait", "wait until no path is left on it (the default)")
    .option("--no-wait", "return at once")
    .option(
      "--timeout <duration>",
      "how long to wait (default: 60s); what is left then is told, exit code 1",
      durationMs,
    )
    .addHelpText(
      "after",
      "\nExamples:\n  weft node drain relay-1\n  weft node drain relay-1 --timeout 5s --json\n  weft node drain relay-1 --no-wait",
    )
    .action(action(drain));
  node
    .command("undrain <node>")
    .description("let a drained node take new paths and channels again")
    .addHelpText("after", "\nExample:\n  weft node undrain relay-1")
    .action(action(undrain));
}
