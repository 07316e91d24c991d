/**
 * `weft route watch`: where entries move trunks, and which links come and go, as it happens and as the entries themselves
 * tell it: no control plane is asked once the command runs.
 */

import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import { type Node, NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { WatchEventsResponse } from "../../gen/weft/node/v1/node_pb.ts";
import { messageOf } from "../../lib/errors.ts";
import { EventGaps } from "../event-gaps.ts";
import { openNodePort } from "../node-port.ts";
import { plain, safeText, when } from "../output.ts";
import { action, findNode, type GlobalOptions, namer, type Session, withSession } from "../session.ts";

interface WatchOptions extends GlobalOptions {
  readonly from?: string;
}

/** Kinds of events that say where bytes go. */
const kinds = new Set(["trunk_opened", "trunk_moved", "trunk_ended", "link_up", "link_down", "draining", "undrained"]);
const retryMs = 1_000;

interface Line {
  readonly at_ms: number;
  readonly node: string;
  readonly kind: string;
  readonly facts: Readonly<Record<string, string>>;
}

function lineOf(node: string, event: WatchEventsResponse, nameOf: (id: string) => string): Line {
  const named = (hops: string): string => hops.split(" ").map(nameOf).join(" ");
  const { from, to, ...rest } = event.facts;
  const facts = {
    ...rest,
    ...(from === undefined ? {} : { from: named(from) }),
    ...(to === undefined ? {} : { to: named(to) }),
  };
  return { at_ms: Number(event.atMs), node, kind: event.kind, facts };
}

function tell(options: WatchOptions, line: Line): void {
  if (options.json === true) return void process.stdout.write(`${JSON.stringify(plain(line))}\n`);
  if (line.kind === "lost")
    return void process.stdout.write(
      `${when(line.at_ms)}  ${safeText(`${line.node}  lost ${line.facts["events"]} events: they were not heard`)}\n`,
    );
  const { from, to, ...rest } = line.facts;
  const way =
    from === undefined || to === undefined ? "" : ` ${from.replaceAll(" ", " -> ")}  =>  ${to.replaceAll(" ", " -> ")}`;
  const facts = Object.entries(rest).map(([key, value]) => `${key}=${value}`);
  process.stdout.write(`${when(line.at_ms)}  ${safeText(`${line.node}  ${line.kind}${way}  ${facts.join(" ")}`)}\n`);
}

/** Follows one entry until the end; an entry that goes away is asked again. */
async function follow(
  options: WatchOptions,
  session: Session,
  node: Node,
  nameOf: (id: string) => string,
  stop: AbortSignal,
): Promise<void> {
  let wasSilent = false;
  const gaps = new EventGaps();
  while (!stop.aborted) {
    const port = await openNodePort(session, {
      id: node.id,
      clusterId: await session.clusterId(),
      address: node.operatorAddress,
    });
    try {
      for await (const event of port.client.watchEvents({}, { signal: stop, timeoutMs: 0 })) {
        wasSilent = false;
        const events = gaps.before(event);
        if (events > 0)
          tell(options, {
            at_ms: Number(event.atMs),
            node: node.name,
            kind: "lost",
            facts: { events: String(events) },
          });
        if (kinds.has(event.kind)) tell(options, lineOf(node.name, event, nameOf));
      }
    } catch (thrown) {
      if (stop.aborted) return;
      if (!wasSilent)
        tell(options, { at_ms: Date.now(), node: node.name, kind: "silent", facts: { reason: messageOf(thrown) } });
      wasSilent = true;
    } finally {
      port.close();
    }
    await delay(retryMs, undefined, { signal: stop }).catch(() => {});
  }
}

async function watch(options: WatchOptions): Promise<void> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  await withSession(options, async (session) => {
    const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId: await session.clusterId() });
    const only = options.from === undefined ? undefined : (await findNode(session, options.from)).id;
    const watched = nodes.filter(
      ({ id, roles, identityStatus, operatorAddress }) =>
        identityStatus !== "revoked" &&
        operatorAddress !== "" &&
        (only === undefined ? roles.some(({ role }) => role === NodeRole.ENTRY) : id === only),
    );
    await Promise.all(watched.map((node) => follow(options, session, node, namer(nodes), stop.signal)));
  });
}

export function addWatchCommand(route: Command): void {
  route
    .command("watch")
    .description("trunks that open, move and end, and links that come and go, as entries tell them")
    .option("--from <node>", "one node (default: every entry)")
    .addHelpText(
      "after",
      "\nWith --json one object per line. Kind lost: so many events of the node were not heard, of whatever kind.\n\nExamples:\n  weft route watch\n  weft route watch --from entry-1 --json",
    )
    .action(action(watch));
}
