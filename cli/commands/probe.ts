/**
 * `weft probe`: echo over routes from an entry to an egress, as a channel would go: directly, over one relay, and over the route
 * that is left when the relays in use are gone. The entry measures; control is asked for names only.
 */

import type { Command } from "commander";
import { Option } from "commander";
import { type Node, NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { ProbedRoute, RouteProbeService } from "../../gen/weft/probe/v1/probe_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { rpcClient } from "../../rpc/client.ts";
import { operatorTransport } from "../../rpc/operator-transport.ts";
import { byteCount, durationMs, wholeNumber } from "../arguments.ts";
import { ofNode } from "../node-port.ts";
import { exitCodes, print } from "../output.ts";
import {
  type ProbedRouteName,
  type ProbedRouteView,
  pathClassOf,
  probedRoutes,
  probeText,
  type Sample,
  statisticsOf,
} from "../probe-view.ts";
import { action, findOrganization, type GlobalOptions, namer, pick, type Session, withSession } from "../session.ts";

interface ProbeOptions extends GlobalOptions {
  readonly from?: string;
  readonly to?: string;
  readonly route?: ProbedRouteName;
  readonly organization?: string;
  readonly count: number;
  readonly interval: number;
  readonly size?: bigint;
}

const payloadBytesDefault = 64;

const wireRoutes = {
  direct: ProbedRoute.DIRECT,
  "single-relay": ProbedRoute.SINGLE_RELAY,
  "forced-fallback": ProbedRoute.FORCED_FALLBACK,
} as const satisfies Record<ProbedRouteName, ProbedRoute>;

/** Who may be one end: by name, else the first one that is there. */
function endOf(nodes: readonly Node[], wanted: string | undefined, role: NodeRole, what: string): Node {
  const fit = nodes.filter(
    ({ identityStatus, roles }) => identityStatus !== "revoked" && roles.some((grant) => grant.role === role),
  );
  if (wanted !== undefined) return pick(fit, wanted, what);
  const [first] = fit.filter(({ alerts }) => !alerts.includes("node-offline"));
  if (first !== undefined) return first;
  throw new WeftError("failed_precondition", `there is no ${what}`, { detail: "PROBE_NOBODY" });
}

/** Refusals that say that there is no such route, and why. */
const absences: Readonly<Record<string, string>> = {
  PATH_NOT_A_NEIGHBOUR: "these two keep no link: only a route intent lets them meet (weft intent add --action direct)",
  PROBE_NO_ROUTE: "there is no such route between these two",
};

function missed(route: ProbedRouteName, thrown: unknown): ProbedRouteView {
  if (!(thrown instanceof WeftError)) throw thrown;
  const absent = absences[thrown.detail];
  const isRoute = absent !== undefined || thrown.detail.startsWith("PATH_") || thrown.detail.startsWith("OFFER_");
  // Whatever else went wrong is no property of the route.
  if (!isRoute) throw thrown;
  return {
    route,
    state: absent === undefined ? "failed" : "absent",
    detail: thrown.detail,
    reason: absent ?? thrown.message,
  };
}

async function probeRoutes(
  session: Session,
  options: ProbeOptions,
  ends: { readonly from: Node; readonly to: Node; readonly nameOf: (id: string) => string },
): Promise<ProbedRouteView[]> {
  const { from, to, nameOf } = ends;
  const { count, interval: intervalMs, organization } = options;
  const organizationId = organization === undefined ? "" : (await findOrganization(session, organization)).id;
  if (from.operatorAddress === "")
    throw new WeftError("failed_precondition", `${from.name} has not reported an operator port`, {
      detail: "NODE_NO_OPERATOR_PORT",
    });
  const tls = await session.nodeTls(from.clusterId, from.id);
  const transport = operatorTransport({ address: from.operatorAddress, tls });
  const client = rpcClient(RouteProbeService, transport);
  const views: ProbedRouteView[] = [];
  try {
    for (const route of options.route === undefined ? probedRoutes : [options.route]) {
      const order = {
        count,
        intervalMs,
        payloadBytes: Number(options.size ?? payloadBytesDefault),
        toNodeId: to.id,
        organizationId,
      };
      const samples: Sample[] = [];
      let path: {
        readonly nodeIds: readonly string[];
        readonly openMs: number;
        readonly avoidedNodeIds: readonly string[];
      };
      path = { nodeIds: [], openMs: 0, avoidedNodeIds: [] };
      try {
        for await (const { event } of client.probeRoute({ ...order, route: wireRoutes[route] }, { timeoutMs: 0 })) {
          if (event.case === "path") path = event.value;
          if (event.case === "sample") samples.push({ seq: Number(event.value.seq), rttMs: event.value.rttMs });
        }
      } catch (thrown) {
        views.push(missed(route, ofNode(thrown, from.name, from.operatorAddress)));
        continue;
      }
      views.push({
        ...{ route, state: "probed", path_class: pathClassOf(path.nodeIds), path: path.nodeIds.map(nameOf) },
        ...{ avoided: path.avoidedNodeIds.map(nameOf), open_ms: Number(path.openMs.toFixed(3)) },
        ...statisticsOf(count, samples),
      });
    }
  } finally {
    transport.close();
  }
  return views;
}

/** A route that was asked for by name has to be there; of all three, what there is must lose nothing. */
function isFine(options: ProbeOptions, routes: readonly ProbedRouteView[]): boolean {
  const probed = routes.filter(({ state }) => state === "probed");
  return (
    probed.length > 0 &&
    routes.every((view) =>
      view.state === "probed" ? view.loss_share === 0 : view.state === "absent" && options.route === undefined,
    )
  );
}

async function probe(options: ProbeOptions): Promise<void> {
  await withSession(options, async (session) => {
    const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId: await session.clusterId() });
    const from = endOf(nodes, options.from, NodeRole.ENTRY, "entry");
    const to = endOf(nodes, options.to, NodeRole.EGRESS, "egress");
    const routes = await probeRoutes(session, options, { from, to, nameOf: namer(nodes) });
    const ok = isFine(options, routes);
    print(options, { ok, from: from.name, to: to.name, routes }, () => probeText(from.name, to.name, routes));
    if (!ok) process.exitCode = exitCodes.failure;
  });
}

export function addProbeCommand(program: Command): void {
  program
    .command("probe")
    .description(
      "echo over the direct, the single-relay and the forced-fallback route: path, round trips, jitter, loss",
    )
    .option("--from <entry>", "where the echo starts (default: the first entry)")
    .option("--to <egress>", "where it is sent back (default: the first egress)")
    .addOption(new Option("--route <route>", "one route (default: all)").choices(probedRoutes))
    .option("--organization <name>", "whose paths are meant (default: of none)")
    .option("--count <n>", "echoes over each route", wholeNumber(limits.routeProbeEchoesMaxCount), 20)
    .addOption(new Option("--interval <time>", "between two of them").argParser(durationMs).default(50, "50ms"))
    .option("--size <bytes>", `of each (default: ${payloadBytesDefault})`, byteCount)
    .addHelpText(
      "after",
      "\nEnds with 1 when an echo was lost, when a route could not be opened, or when the one that was asked for by --route is not\nthere. Without --route a route that is not there is told as absent, and no failure as long as another one is there: most\nfabrics have no direct one.\n\nExamples:\n  weft probe\n  weft probe --from entry-1 --to egress-1 --route forced-fallback --count 200 --json",
    )
    .action(action(probe));
}
