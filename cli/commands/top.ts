/** `weft top`: every node of a cluster, link, trunk and rate, from the nodes themselves. */

import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { messageOf } from "../../lib/errors.ts";
import { durationMs } from "../arguments.ts";
import { type NodePort, openNodePort } from "../node-port.ts";
import { plain } from "../output.ts";
import { action, type GlobalOptions, namer, type Session, withSession } from "../session.ts";
import { type NodeLine, type NodeLook, nodeLine, topText } from "../top-view.ts";

interface TopOptions extends GlobalOptions {
  readonly once?: boolean;
  readonly interval?: number;
}

const intervalDefaultMs = 1_000;
const intervalMinMs = 200;
/** How long a node may take to answer before it counts as silent. */
const answerWithinMs = 2_000;
/** How often control is asked which nodes there are. */
const nodesEveryMs = 10_000;

interface Watched {
  readonly id: string;
  readonly name: string;
  readonly address: string;
  readonly port: NodePort | undefined;
}

/** The nodes of the cluster with their operator ports, kept open from look to look. */
class Watch {
  readonly #session: Session;
  readonly #clusterId: string;
  #nodes: readonly Watched[] = [];
  #listedMs = Number.NEGATIVE_INFINITY;

  constructor(session: Session, clusterId: string) {
    this.#session = session;
    this.#clusterId = clusterId;
  }

  /** Every node's answer, side by side. Control that is away keeps the nodes that are known. */
  async look(): Promise<NodeLook[]> {
    if (performance.now() - this.#listedMs >= nodesEveryMs) {
      await this.#list().catch((thrown: unknown) => {
        if (this.#nodes.length === 0) throw thrown;
      });
      this.#listedMs = performance.now();
    }
    return await Promise.all(this.#nodes.map((node) => this.#ask(node)));
  }

  nameOf(): (id: string) => string {
    return namer(this.#nodes);
  }

  close(): void {
    for (const { port } of this.#nodes) port?.close();
  }

  async #list(): Promise<void> {
    const { nodes } = await this.#session.client(NodeAdminService).listNodes({ clusterId: this.#clusterId });
    const kept = this.#nodes;
    this.#nodes = await Promise.all(
      nodes
        .filter(({ identityStatus }) => identityStatus !== "revoked")
        .map(async ({ id, name, operatorAddress: address }) => {
          const known = kept.find((node) => node.id === id && node.address === address);
          if (known !== undefined) return known;
          if (address === "") return { id, name, address, port: undefined };
          return {
            id,
            name,
            address,
            port: await openNodePort(this.#session, { id, clusterId: this.#clusterId, address }),
          };
        }),
    );
    for (const node of kept) if (!this.#nodes.includes(node)) node.port?.close();
  }

  async #ask({ id, name, port }: Watched): Promise<NodeLook> {
    const silent = (error: string): NodeLook => ({ id, name, atMs: performance.now(), trunks: [], error });
    if (port === undefined) return silent("it has not reported an operator port");
    try {
      const [status, { trunks }] = await Promise.all([
        port.client.getStatus({}, { timeoutMs: answerWithinMs }),
        port.client.listTrunks({}, { timeoutMs: answerWithinMs }),
      ]);
      return { id, name, atMs: performance.now(), status, trunks };
    } catch (thrown) {
      return silent(messageOf(thrown));
    }
  }
}

function show(options: TopOptions, lines: readonly NodeLine[]): void {
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify(plain({ at_ms: Date.now(), nodes: lines }))}\n`);
    return;
  }
  const live = options.once !== true && process.stdout.isTTY;
  const head = live ? "\x1b[H\x1b[2J" : "";
  const foot = live ? "\n\nCtrl-C ends this.\n" : "\n";
  process.stdout.write(`${head}${topText(lines)}${foot}`);
}

/** Resolves at the first SIGINT or SIGTERM. */
function interrupted(): AbortSignal {
  const controller = new AbortController();
  const onSignal = (): void => controller.abort();
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  return controller.signal;
}

async function top(options: TopOptions): Promise<void> {
  const intervalMs = Math.max(intervalMinMs, options.interval ?? intervalDefaultMs);
  const stop = interrupted();
  await withSession(options, async (session) => {
    const watch = new Watch(session, await session.clusterId());
    try {
      let before = await watch.look();
      while (!stop.aborted) {
        // Rates need two looks.
        await delay(intervalMs, undefined, { signal: stop }).catch(() => {});
        if (stop.aborted) return;
        const now = await watch.look();
        const nameOf = watch.nameOf();
        show(
          options,
          now.map((look) =>
            nodeLine(
              look,
              before.find(({ id }) => id === look.id),
              nameOf,
            ),
          ),
        );
        if (options.once === true) return;
        before = now;
      }
    } finally {
      watch.close();
    }
  });
}

export function addTopCommand(program: Command): void {
  program
    .command("top")
    .description("every node's links, trunks, channels, rates, round trips, loss and replay depth, again and again")
    .option("--once", "look once (over one interval) and end; with --json one object")
    .option("--interval <duration>", "from look to look (default: 1s, at least 200ms)", durationMs)
    .addHelpText("after", "\nExamples:\n  weft top\n  weft top --once --json\n  weft top --interval 5s")
    .action(action(top));
}
