/** `weft route`: why bytes go where they go. */

import type { Command } from "commander";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { type Candidate, type RouteExplanation, RoutingService } from "../../gen/weft/routing/v1/routing_pb.ts";
import { enumValue, print } from "../output.ts";
import { action, findNode, findResource, type GlobalOptions, withSession } from "../session.ts";

function number(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 3 : 1);
}

function candidateLines(candidate: Candidate): string[] {
  const total = candidate.total === undefined ? "-" : number(candidate.total);
  // What it shares with the primary is among its own hops.
  const sharedNames = candidate.sharedHops.map((hop) => candidate.names[candidate.nodeIds.indexOf(hop)] ?? hop);
  const shared = sharedNames.length === 0 ? "" : ` (shares ${sharedNames.join(", ")} with the primary)`;
  const head = `  ${candidate.outcome.padEnd(8)} ${candidate.names.join(" -> ")}  score ${total}${shared}${candidate.reason === "" ? "" : `: ${candidate.reason}`}`;
  const parts = candidate.parts.map(
    (part) =>
      `             ${part.input.padEnd(18)} ${(part.value === undefined ? "not measured" : `${number(part.value)} ${part.unit}`).padEnd(22)} weight ${number(part.weight).padEnd(7)} cost ${number(part.cost)}`,
  );
  return [head, ...parts];
}

function explanationText(routes: readonly RouteExplanation[]): string {
  return routes
    .map((route) => [`from ${route.fromName}`, ...route.candidates.flatMap(candidateLines)].join("\n"))
    .join("\n\n");
}

export function addRouteCommands(program: Command): void {
  const route = program.command("route").description("paths through the fabric");
  route
    .command("explain <resource>")
    .description("every candidate path to a resource, every term of its score, why it lost")
    .option("--from <node>", "the entry to start from (default: every entry)")
    .option("--class <class>", "bulk, interactive or droppable")
    .addHelpText("after", "\nExample:\n  weft route explain web --from entry-1")
    .action(
      action(async (options: GlobalOptions & { from?: string; class?: string }, resource: string) => {
        const answer = await withSession(options, async (session) => {
          const found = await findResource(session, resource);
          return await session.client(RoutingService).explainRoute({
            clusterId: await session.clusterId(),
            fromNodeId: options.from === undefined ? "" : (await findNode(session, options.from)).id,
            resource: found.name,
            organizationId: found.organizationId,
            class:
              options.class === undefined ? ChannelClass.UNSPECIFIED : enumValue(ChannelClass, options.class, "class"),
          });
        });
        print(options, answer, () => explanationText(answer.routes));
      }),
    );
}
