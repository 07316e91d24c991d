/** `weft qos`: what classes of traffic may use, for the cluster, an organization or one resource. */

import type { Command } from "commander";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { type ClassPolicy, QosService } from "../../gen/weft/admin/v1/qos_pb.ts";
import { ResourceService } from "../../gen/weft/admin/v1/resource_pb.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { byteCount, wholeNumber } from "../arguments.ts";
import { bytesText, enumName, enumValue, groupExamples, print, table } from "../output.ts";
import { action, type GlobalOptions, namer, type Session, withSession } from "../session.ts";

interface QosOptions extends GlobalOptions {
  readonly class?: string;
  readonly organization?: string;
  readonly resource?: string;
  readonly priority?: number;
  readonly rate?: bigint;
  readonly burst?: bigint;
}

function rateText(policy: Pick<ClassPolicy, "rateBytesPerSecond" | "burstBytes">): [string, string] {
  if (policy.rateBytesPerSecond === 0n) return ["unlimited", "-"];
  return [
    `${bytesText(policy.rateBytesPerSecond)}/s`,
    policy.burstBytes === 0n ? "default" : bytesText(policy.burstBytes),
  ];
}

async function setPolicy(options: QosOptions): Promise<void> {
  if (options.priority === undefined && options.rate === undefined && options.burst === undefined)
    throw new WeftError("invalid_argument", "say what to set: --rate, --burst or --priority", { detail: "CLI_QOS" });
  const answer = await withSession(options, async (session) =>
    session.client(QosService).setQosPolicy({
      clusterId: await session.clusterId(),
      organizationId: options.organization ?? "",
      resourceId: options.resource ?? "",
      class: enumValue(ChannelClass, options.class ?? "", "class"),
      priority: options.priority ?? 0,
      rateBytesPerSecond: options.rate ?? 0n,
      burstBytes: options.burst ?? 0n,
    }),
  );
  const { policy } = answer;
  print(options, answer, () => {
    if (policy === undefined) return "nothing was set";
    const [rate, burst] = rateText(policy);
    const until = policy.rateBytesPerSecond === 0n ? "" : `, burst ${burst}`;
    return `policy ${policy.id}: ${enumName(ChannelClass, policy.class)}, priority ${policy.priority}, ${rate}${until}`;
  });
}

/** The policies and the names of what they are for. */
async function listed(session: Session) {
  const clusterId = await session.clusterId();
  const { policies } = await session.client(QosService).listQosPolicies({ clusterId });
  const { organizations } = await session.client(OrganizationService).listOrganizations({ clusterId });
  const { resources } = await session.client(ResourceService).listResources({ clusterId });
  return { clusterId, policies, organizationName: namer(organizations), resourceName: namer(resources), resources };
}

async function listPolicies(options: GlobalOptions): Promise<void> {
  const { policies, organizationName, resourceName } = await withSession(options, listed);
  print(options, { policies }, () =>
    table(
      ["ID", "CLASS", "FOR", "PRIORITY", "RATE", "BURST"],
      policies.map((row) => [
        row.id,
        enumName(ChannelClass, row.class),
        row.resourceId !== ""
          ? `resource ${resourceName(row.resourceId)}`
          : row.organizationId !== ""
            ? `organization ${organizationName(row.organizationId)}`
            : "the cluster",
        String(row.priority),
        ...rateText(row),
      ]),
    ),
  );
}

/** By id, or by the place and class it was set for. */
async function removePolicy(options: QosOptions, id: string | undefined): Promise<void> {
  const answer = await withSession(options, async (session) => {
    const { clusterId, policies, organizationName, resourceName } = await listed(session);
    const named = (wanted: string | undefined, at: string, nameOf: (id: string) => string): boolean =>
      wanted === undefined || wanted === at || (at !== "" && wanted === nameOf(at));
    const channelClass = options.class === undefined ? undefined : enumValue(ChannelClass, options.class, "class");
    const found = policies.filter((row) =>
      id !== undefined
        ? row.id === id
        : row.class === channelClass &&
          named(
            options.organization ?? (options.resource === undefined ? "" : undefined),
            row.organizationId,
            organizationName,
          ) &&
          named(options.resource ?? "", row.resourceId, resourceName),
    );
    const [policy, other] = found;
    if (policy === undefined || other !== undefined) {
      const message = policy === undefined ? "no such QoS policy" : "several policies fit: name one by its id";
      throw new WeftError(policy === undefined ? "not_found" : "failed_precondition", message, {
        detail: policy === undefined ? "QOS_POLICY_NOT_FOUND" : "AMBIGUOUS_NAME",
      });
    }
    await session.client(QosService).removeQosPolicy({ clusterId, policyId: policy.id });
    return { policyId: policy.id };
  });
  print(options, answer, () => `removed ${answer.policyId}`);
}

export function addQosCommands(program: Command): void {
  const qos = program
    .command("qos")
    .description("what classes of traffic may use: priority, rate and burst; the most specific policy counts")
    .addHelpText("after", groupExamples("weft qos set --class bulk --rate 25MB", "weft qos list"));
  qos
    .command("set")
    .description("set the policy of a class, for the cluster, an organization or one resource")
    .requiredOption("--class <class>", "bulk, interactive or droppable")
    .option("--organization <organization>", "for this organization (default: the whole cluster)")
    .option("--resource <resource>", "for this resource's channels only")
    .option(
      "--priority <n>",
      "1 to 64, higher goes first (default: 8 interactive, 4 droppable, 1 bulk)",
      wholeNumber(64),
    )
    .option("--rate <bytes>", "bytes per second and direction, such as 10MB or 512KiB (default: unlimited)", byteCount)
    .option(
      "--burst <bytes>",
      "what may pass at once above the rate (default: 100 ms worth, at least 256KiB)",
      byteCount,
    )
    .addHelpText(
      "after",
      "\nExamples:\n  weft qos set --class bulk --rate 25MB\n  weft qos set --class bulk --organization default --rate 5MB --burst 1MiB\n  weft qos set --class interactive --resource db --priority 16",
    )
    .action(action(setPolicy));
  qos
    .command("list")
    .description("list policies, widest first")
    .addHelpText("after", "\nExample:\n  weft qos list --json")
    .action(action(listPolicies));
  qos
    .command("remove [policy]")
    .description("remove a policy, by its id or by what it was set for")
    .option("--class <class>", "bulk, interactive or droppable")
    .option("--organization <organization>", "the organization it is for")
    .option("--resource <resource>", "the resource it is for")
    .addHelpText("after", "\nExamples:\n  weft qos remove --class bulk\n  weft qos remove qp-1f2e3d4c5b6a7988")
    .action(action(removePolicy));
}
