/** `weft policy offline`: what goes on while control cannot be heard, for the cluster, an organization or one resource. */

import type { Command } from "commander";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { type OfflineRule, PolicyService } from "../../gen/weft/admin/v1/policy_pb.ts";
import { ResourceService } from "../../gen/weft/admin/v1/resource_pb.ts";
import { OfflineMode } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { durationMs } from "../arguments.ts";
import { durationText, offlineText } from "../offline-text.ts";
import { enumValue, groupExamples, print, table } from "../output.ts";
import { action, type GlobalOptions, namer, type Session, withSession } from "../session.ts";

interface PlaceOptions extends GlobalOptions {
  readonly organization?: string;
  readonly resource?: string;
}

interface SetOptions extends PlaceOptions {
  readonly for?: number;
  readonly grace?: number;
}

const place = ({ organization, resource }: PlaceOptions) => ({
  organizationId: organization ?? "",
  resourceId: resource ?? "",
});

async function setPolicy(options: SetOptions, mode: string): Promise<void> {
  const policy = {
    mode: enumValue(OfflineMode, mode, "mode"),
    continueForMs: BigInt(options.for ?? 0),
    graceMs: BigInt(options.grace ?? 0),
  };
  const answer = await withSession(options, async (session) =>
    session.client(PolicyService).setOfflinePolicy({ clusterId: await session.clusterId(), ...place(options), policy }),
  );
  print(options, answer, () => `offline policy ${answer.rule?.id}: ${offlineText(answer.rule?.policy)}`);
}

/** The rules and the names of what they are for. */
async function listed(session: Session) {
  const clusterId = await session.clusterId();
  const { rules } = await session.client(PolicyService).listOfflinePolicies({ clusterId });
  const { organizations } = await session.client(OrganizationService).listOrganizations({ clusterId });
  const { resources } = await session.client(ResourceService).listResources({ clusterId });
  const names = { organization: namer(organizations), resource: namer(resources) };
  const placeOf = (rule: OfflineRule): string =>
    rule.resourceId !== ""
      ? `resource ${names.resource(rule.resourceId)}`
      : rule.organizationId !== ""
        ? `organization ${names.organization(rule.organizationId)}`
        : "the cluster";
  return { clusterId, rules, names, placeOf };
}

async function listPolicies(options: GlobalOptions): Promise<void> {
  const { rules, placeOf } = await withSession(options, listed);
  print(options, { rules }, () =>
    table(
      ["ID", "FOR", "WHILE CONTROL CANNOT BE HEARD"],
      rules.map((rule) => [rule.id, placeOf(rule), offlineText(rule.policy)]),
    ),
  );
}

async function showPolicy(options: PlaceOptions): Promise<void> {
  const { answer, placeOf } = await withSession(options, async (session) => {
    const known = await listed(session);
    const { clusterId } = known;
    const answer = await session.client(PolicyService).getOfflinePolicy({ clusterId, ...place(options) });
    return { answer, placeOf: known.placeOf };
  });
  print(options, answer, () => {
    const { policy, rule, paths } = answer;
    const setFor = rule === undefined ? "nowhere: this is the default" : `for ${placeOf(rule)} (${rule.id})`;
    const rows = [
      ["channels", offlineText(policy)],
      ["set", setFor],
    ];
    if (paths !== undefined) {
      const { newForMs, existingForMs } = paths;
      const bounds = `new ones for ${durationText(newForMs)}, existing ones for ${durationText(existingForMs)}`;
      rows.push(["paths of the organization", bounds]);
    }
    return table(["FIELD", "VALUE"], rows);
  });
}

/** The one rule that was set for exactly that place, or that has that id. */
function ruleAt(
  { rules, names }: Awaited<ReturnType<typeof listed>>,
  { organization, resource }: PlaceOptions,
  id: string | undefined,
): OfflineRule {
  const named = (wanted: string | undefined, at: string, nameOf: (id: string) => string): boolean =>
    wanted === undefined ? at === "" : wanted === at || (at !== "" && wanted === nameOf(at));
  const found = rules.filter((rule) => {
    if (id !== undefined) return rule.id === id;
    if (resource !== undefined && organization === undefined) return named(resource, rule.resourceId, names.resource);
    return (
      named(organization, rule.organizationId, names.organization) && named(resource, rule.resourceId, names.resource)
    );
  });
  const [rule, other] = found;
  if (rule === undefined)
    throw new WeftError("not_found", "nothing was set there (see: weft policy offline list)", {
      detail: "OFFLINE_POLICY_NOT_FOUND",
    });
  if (other !== undefined)
    throw new WeftError("failed_precondition", "several policies fit: name one by its id", {
      detail: "AMBIGUOUS_NAME",
    });
  return rule;
}

async function removePolicy(options: PlaceOptions, id: string | undefined): Promise<void> {
  const answer = await withSession(options, async (session) => {
    const known = await listed(session);
    const { clusterId } = known;
    const rule = ruleAt(known, options, id);
    await session.client(PolicyService).removeOfflinePolicy({ clusterId, ruleId: rule.id });
    return { ruleId: rule.id };
  });
  print(options, answer, () => `removed ${answer.ruleId}`);
}

const forOrganization = [
  "--organization <organization>",
  "for this organization (default: the whole cluster)",
] as const;
const forResource = ["--resource <resource>", "for this resource only"] as const;

function addOfflineCommands(policy: Command): void {
  const offline = policy
    .command("offline")
    .description("what goes on while control cannot be heard; the most specific policy counts")
    .addHelpText(
      "after",
      groupExamples("weft policy offline set continue-for --for 8h", "weft policy offline show --resource db"),
    );
  offline
    .command("set <mode>")
    .description("set a policy: continue, continue-for, existing-only or fail-closed")
    .option(...forOrganization)
    .option(...forResource)
    .option("--for <duration>", "continue-for: how long, 15s to 24h (default: 8h)", durationMs)
    .option(
      "--grace <duration>",
      "existing-only and fail-closed: how old the newest revocation feed may be, 15s to 1h (default: 60s)",
      durationMs,
    )
    .addHelpText(
      "after",
      "\nExamples:\n  weft policy offline set fail-closed\n  weft policy offline set continue-for --for 4h --organization demo\n  weft policy offline set existing-only --grace 30s --resource db",
    )
    .action(action((options: SetOptions, mode: string) => setPolicy(options, mode)));
  offline
    .command("list")
    .description("list what is set, widest first")
    .addHelpText("after", "\nExample:\n  weft policy offline list --json")
    .action(action(listPolicies));
  offline
    .command("show")
    .description("show what counts for a place, where it was set, and how long paths stay")
    .option(...forOrganization)
    .option(...forResource)
    .addHelpText("after", "\nExample:\n  weft policy offline show --resource db")
    .action(action(showPolicy));
  offline
    .command("remove [policy]")
    .description("remove what was set, by its id or by the place it was set for; the next wider policy counts again")
    .option("--organization <organization>", "the organization it is for")
    .option("--resource <resource>", "the resource it is for")
    .addHelpText("after", "\nExamples:\n  weft policy offline remove --resource db\n  weft policy offline remove")
    .action(action((options: PlaceOptions, id?: string) => removePolicy(options, id)));
}

export function addPolicyCommands(program: Command): void {
  const policy = program
    .command("policy")
    .description("what holds for the cluster, organizations and resources")
    .addHelpText("after", groupExamples("weft policy offline list"));
  addOfflineCommands(policy);
}
