/** `weft route`: why bytes go where they go, what would move, and what moves. */

import type { Command } from "commander";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { ChannelClass, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { ExplainChannelResponse, TrunkStatus } from "../../gen/weft/node/v1/node_pb.ts";
import { RoutingService } from "../../gen/weft/routing/v1/routing_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { openNodePort } from "../node-port.ts";
import { enumValue, groupExamples, print } from "../output.ts";
import { explanationHints, explanationText } from "../route-explanation.ts";
import { channelText, proofsText, standbysOf } from "../route-view.ts";
import {
  action,
  findNode,
  findResource,
  type GlobalOptions,
  namer,
  pick,
  type Session,
  withSession,
} from "../session.ts";
import { addSimulateCommand } from "./route-simulate.ts";
import { addWatchCommand } from "./route-watch.ts";

interface ExplainOptions extends GlobalOptions {
  readonly from?: string;
  readonly class?: string;
  readonly all?: boolean;
}

/** What an argument of `explain` names. */
type Asked =
  | { readonly kind: "resource"; readonly name: string }
  | { readonly kind: "channel"; readonly trunkId: string; readonly channelId: number; readonly correlationId: string };

/** `<trunk>:<channel>` and correlation ids look like nothing an operator would call a resource. */
export function askedAbout(argument: string): Asked {
  const numbered = /^([0-9a-f]{16,64}):(\d{1,10})$/.exec(argument);
  if (numbered !== null)
    return { kind: "channel", trunkId: numbered[1] ?? "", channelId: Number(numbered[2]), correlationId: "" };
  return { kind: "resource", name: argument };
}

interface FoundChannel {
  readonly entry: { readonly id: string; readonly name: string };
  readonly channel: ExplainChannelResponse;
  readonly trunk?: TrunkStatus;
}

/** Asks the entries for a channel, each at its operator port, until one has it. */
async function findChannel(
  session: Session,
  asked: Extract<Asked, { kind: "channel" }>,
  from: string | undefined,
): Promise<FoundChannel | undefined> {
  const clusterId = await session.clusterId();
  const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId });
  const entries = nodes.filter(
    ({ identityStatus, operatorAddress, roles, id, name }) =>
      identityStatus !== "revoked" &&
      operatorAddress !== "" &&
      (from === undefined ? roles.some(({ role }) => role === NodeRole.ENTRY) : id === from || name === from),
  );
  for (const { id, name, operatorAddress: address } of entries) {
    const port = await openNodePort(session, { id, clusterId, address });
    try {
      const channel = await port.client.explainChannel(asked, { timeoutMs: 3_000 });
      const { trunks } = await port.client.listTrunks({}, { timeoutMs: 3_000 });
      const trunk = trunks.find(({ trunkId }) => trunkId === channel.trunkId);
      return { entry: { id, name }, channel, ...(trunk === undefined ? {} : { trunk }) };
    } catch (thrown) {
      // An entry that does not have it, or does not answer, is not the last word.
      if (!(thrown instanceof WeftError)) throw thrown;
    } finally {
      port.close();
    }
  }
  return undefined;
}

async function explainChannel(options: ExplainOptions, session: Session, found: FoundChannel): Promise<void> {
  const { entry, channel, trunk } = found;
  const clusterId = await session.clusterId();
  const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId });
  const { routes } = await session.client(RoutingService).explainRoute({
    clusterId,
    fromNodeId: entry.id,
    farNodeId: channel.farNodeId,
    organizationId: channel.organizationId,
    class: channel.lane === "bulk" ? ChannelClass.BULK : ChannelClass.INTERACTIVE,
  });
  const [route] = routes;
  const view = {
    entry: entry.name,
    channel,
    standbys: standbysOf(trunk, channel.lane),
    ...(route === undefined ? {} : { route }),
  };
  print(options, view, () => channelText(view, namer(nodes), options.all === true));
}

async function explainResource(options: ExplainOptions, session: Session, resource: string): Promise<void> {
  const found = await findResource(session, resource);
  const clusterId = await session.clusterId();
  const answer = await session.client(RoutingService).explainRoute({
    clusterId,
    fromNodeId: options.from === undefined ? "" : (await findNode(session, options.from)).id,
    resource: found.name,
    organizationId: found.organizationId,
    class: options.class === undefined ? ChannelClass.UNSPECIFIED : enumValue(ChannelClass, options.class, "class"),
  });
  const { links } = await session.client(RoutingService).listLinks({ clusterId });
  const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId });
  const all = options.all === true;
  print(options, { ...answer, links }, () =>
    [
      explanationText(answer.routes, all) + proofsText(answer.routes, links, namer(nodes)),
      ...(answer.routes.length === 0 ? [] : [explanationHints(all)]),
    ].join("\n\n"),
  );
}

/** Routes begin at entries. Throws invalid_argument that lists them when `wanted` is another node. */
async function requireEntry(session: Session, wanted: string): Promise<void> {
  const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId: await session.clusterId() });
  const { id, name } = pick(nodes, wanted, "node");
  const entries = nodes.filter(
    ({ identityStatus, roles }) => identityStatus !== "revoked" && roles.some(({ role }) => role === NodeRole.ENTRY),
  );
  if (entries.some((entry) => entry.id === id)) return;
  const names = entries.map((entry) => entry.name).sort();
  const choice = names.length === 0 ? "there is none" : `choose one of ${names.join(", ")}`;
  throw new WeftError("invalid_argument", `${name} is not an entry; ${choice}`, { detail: "CLI_NOT_AN_ENTRY" });
}

async function explain(options: ExplainOptions, argument: string): Promise<void> {
  await withSession(options, async (session) => {
    if (options.from !== undefined) await requireEntry(session, options.from);
    const asked = askedAbout(argument);
    if (asked.kind === "channel") {
      const found = await findChannel(session, asked, options.from);
      if (found === undefined)
        throw new WeftError("not_found", `no entry has the channel ${argument}`, { detail: "CHANNEL_UNKNOWN" });
      return await explainChannel(options, session, found);
    }
    try {
      await explainResource(options, session, asked.name);
    } catch (thrown) {
      // No resource of that name: it may be the correlation id of a channel.
      if (!(thrown instanceof WeftError) || thrown.detail !== "CLI_NOT_FOUND") throw thrown;
      const byCorrelation = { kind: "channel", trunkId: "", channelId: 0, correlationId: argument } as const;
      const found = /^[a-z0-9]{16}$/.test(argument)
        ? await findChannel(session, byCorrelation, options.from)
        : undefined;
      if (found === undefined) throw thrown;
      await explainChannel(options, session, found);
    }
  });
}

export function addRouteCommands(program: Command): void {
  const route = program
    .command("route")
    .description("paths through the fabric")
    .addHelpText(
      "after",
      groupExamples("weft route explain web", "weft route simulate --fail relay-1", "weft route watch"),
    );
  route
    .command("explain <resource|channel>")
    .description(
      "the path a new trunk to a resource would take and why, or what a live channel uses; what else there is",
    )
    .option("--from <node>", "the entry to start from (default: every entry)")
    .option("--class <class>", "bulk, interactive or droppable")
    .option("--all", "every candidate with every term, also those that cannot be used")
    .addHelpText(
      "after",
      "\nIt tells what would be decided now. A trunk that runs stays on its path until that fails, drains, is revoked or gets old: what it\nuses is shown by weft top, or here when a channel of it is named.\n\nA channel is named by its correlation id or as TRUNK:CHANNEL.\n\nExamples:\n  weft route explain web --from entry-1 --all\n  weft route explain 3f0c9a52d1e84b7790aa51c2e0d4f6b8:7",
    )
    .action(action(explain));
  addSimulateCommand(route);
  addWatchCommand(route);
}
