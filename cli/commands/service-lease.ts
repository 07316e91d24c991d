/** `weft service-lease`: the right of a client to open channels to a resource through one entry, for a while. */

import { existsSync } from "node:fs";
import type { Command } from "commander";
import { createSecretFile, writeSecretFile } from "../../certs/secret-file.ts";
import { leaseText } from "../../client/lease.ts";
import { IdentityService } from "../../gen/weft/admin/v1/identity_pb.ts";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { ResourceService } from "../../gen/weft/admin/v1/resource_pb.ts";
import {
  ServiceChannelService,
  type ServiceLease,
  ServiceLeaseState,
} from "../../gen/weft/admin/v1/service_channel_pb.ts";
import { ChannelClass, ServiceClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { durationMs } from "../arguments.ts";
import { enumName, enumValue, groupExamples, print, safeText, table, when } from "../output.ts";
import { action, type GlobalOptions, namer, type Session, withSession } from "../session.ts";

interface IssueOptions extends GlobalOptions {
  readonly client?: string;
  readonly organization?: string;
  readonly entry?: string;
  readonly name?: string;
  readonly class?: string;
  readonly service?: string;
  readonly pool?: string;
  readonly flow?: string;
  readonly for?: number;
  readonly out?: string;
}

interface OutOptions extends GlobalOptions {
  readonly for?: number;
  readonly out?: string;
}

interface ListOptions extends GlobalOptions {
  readonly resource?: string;
  readonly client?: string;
  readonly all?: boolean;
}

const ttlOf = ({ for: ms }: { readonly for?: number }): bigint => BigInt(ms ?? 0);

function requireFree(path: string | undefined): void {
  if (path === undefined || !existsSync(path)) return;
  throw new WeftError("already_exists", `${path} exists; nothing was issued`, { detail: "CLI_FILE_EXISTS" });
}

/** The lease as an object with the file's text in place of bytes nobody reads. */
function shown(lease: ServiceLease | undefined, more: object = {}): object {
  if (lease === undefined) throw new WeftError("internal", "control answered without a lease", { detail: "NO_LEASE" });
  const { signedContract, state, contract, ...rest } = lease;
  const words = {
    state: enumName(ServiceLeaseState, state),
    contract: contract === undefined ? undefined : { ...contract, channelClass: anyClass(contract.channelClass) },
  };
  return { lease: { ...rest, ...words, signedContract: leaseText(signedContract) }, ...more };
}

const anyClass = (value: ChannelClass): string =>
  value === ChannelClass.UNSPECIFIED ? "any" : enumName(ChannelClass, value);

function sentence(lease: ServiceLease | undefined, out: string | undefined): string {
  const state = enumName(ServiceLeaseState, lease?.state ?? 0);
  const until = when(lease?.contract?.notAfterMs ?? 0n);
  const line = `lease ${safeText(lease?.name ?? "")} (${lease?.id ?? ""}) is ${state}, until ${until}`;
  if (lease === undefined) return line;
  return out === undefined ? `${line}\n${leaseText(lease.signedContract)}` : `${line}; written to ${out}`;
}

async function issue(options: IssueOptions, resource: string): Promise<void> {
  requireFree(options.out);
  const answer = await withSession(options, async (session) =>
    session.client(ServiceChannelService).issueLease({
      clusterId: await session.clusterId(),
      organizationId: options.organization ?? "",
      name: options.name ?? "",
      resourceId: resource,
      clientId: options.client ?? "",
      entryNodeId: options.entry ?? "",
      channelClass:
        options.class === undefined ? ChannelClass.UNSPECIFIED : enumValue(ChannelClass, options.class, "class"),
      serviceClass:
        options.service === undefined
          ? ServiceClass.UNSPECIFIED
          : enumValue(ServiceClass, options.service, "service class"),
      poolId: options.pool ?? "",
      flowIsolationId: options.flow ?? "",
      ttlMs: ttlOf(options),
    }),
  );
  const { lease } = answer;
  if (options.out !== undefined && lease !== undefined) createSecretFile(options.out, leaseText(lease.signedContract));
  print(options, shown(lease), () => sentence(lease, options.out));
}

async function introspect(options: OutOptions, wanted: string): Promise<void> {
  const { lease, active } = await withSession(options, async (session) =>
    session.client(ServiceChannelService).introspectLease({ clusterId: await session.clusterId(), leaseId: wanted }),
  );
  keep(options, lease);
  print(options, shown(lease, { active }), () => sentence(lease, options.out));
}

function keep({ out }: OutOptions, lease: ServiceLease | undefined): void {
  if (out !== undefined && lease !== undefined) writeSecretFile(out, leaseText(lease.signedContract));
}

async function maintain(options: OutOptions, wanted: string): Promise<void> {
  const { lease } = await withSession(options, async (session) =>
    session
      .client(ServiceChannelService)
      .maintainLease({ clusterId: await session.clusterId(), leaseId: wanted, ttlMs: ttlOf(options) }),
  );
  keep(options, lease);
  print(options, shown(lease), () => sentence(lease, options.out));
}

async function release(options: GlobalOptions, wanted: string): Promise<void> {
  const { lease, changed } = await withSession(options, async (session) =>
    session.client(ServiceChannelService).releaseLease({ clusterId: await session.clusterId(), leaseId: wanted }),
  );
  print(options, shown(lease, { changed }), () =>
    changed ? `released ${wanted}: its channels end now` : `${wanted} was over before`,
  );
}

async function everyLease(session: Session, options: ListOptions): Promise<ServiceLease[]> {
  const { resource: resourceId = "", client: clientId = "", all = false } = options;
  const clusterId = await session.clusterId();
  const leases: ServiceLease[] = [];
  for (let afterId = ""; ; ) {
    const page = await session
      .client(ServiceChannelService)
      .listLeases({ clusterId, resourceId, clientId, all, afterId });
    leases.push(...page.leases);
    if (page.nextAfterId === "") return leases;
    afterId = page.nextAfterId;
  }
}

async function list(options: ListOptions): Promise<void> {
  const { leases, known } = await withSession(options, async (session) => {
    const clusterId = await session.clusterId();
    const known = [
      ...(await session.client(ResourceService).listResources({ clusterId })).resources,
      ...(await session.client(NodeAdminService).listNodes({ clusterId })).nodes,
      ...(await session.client(IdentityService).listIdentities({ clusterId })).identities,
    ];
    return { leases: await everyLease(session, options), known };
  });
  const name = namer(known);
  const rows = leases.map((lease) => (shown(lease) as { lease: object }).lease);
  print(options, { leases: rows }, () =>
    table(
      ["ID", "NAME", "STATE", "CLIENT", "RESOURCE", "ENTRY", "CLASS", "UNTIL"],
      leases.map(({ id, name: own, state, contract }) => [
        id,
        own,
        enumName(ServiceLeaseState, state),
        contract?.clientId ? name(contract.clientId) : "anyone",
        name(contract?.resourceId ?? ""),
        name(contract?.entryNodeId ?? ""),
        anyClass(contract?.channelClass ?? 0),
        when(contract?.notAfterMs ?? 0n),
      ]),
    ),
  );
}

function addIssueCommand(group: Command): void {
  group
    .command("issue <resource>")
    .description("issue a lease; hand the file to the client")
    .requiredOption("--entry <node>", "the entry that channels have to come by")
    .option("--client <client>", "the only client that may use it (default: any of the organization)")
    .option("--organization <organization>", "needed where several have a resource of that name")
    .option("--name <name>", "a name for people (default: one is made)")
    .option("--class <class>", "bulk, interactive or droppable (default: any that the resource allows)")
    .option("--service <class>", "refuse unless the resource serves this class")
    .option("--pool <pool>", "refuse channels that end in another pool, should the resource move")
    .option("--flow <id>", "channels of one id share trunks with each other only")
    .option("--for <duration>", "how long it holds: 90s, 8h (default: 1h, at most 24h)", durationMs)
    .option("--out <file>", "write the lease here, mode 0600; must not exist yet")
    .addHelpText(
      "after",
      "\nExample:\n  weft service-lease issue db --client laptop --entry entry-1 --for 8h --out ./db.lease\n  weft connect db --identity ./laptop --entry 127.0.0.1:7444 --lease ./db.lease",
    )
    .action(action(issue));
}

export function addServiceLeaseCommands(program: Command): void {
  const group = program
    .command("service-lease")
    .description("leases of service channels: who may open channels to a resource, through which entry, until when")
    .addHelpText(
      "after",
      groupExamples(
        "weft service-lease issue db --client laptop --entry entry-1 --for 8h --out ./db.lease",
        "weft service-lease list",
      ),
    );
  addIssueCommand(group);
  group
    .command("introspect <lease>")
    .description("the newest contract of a lease, and whether channels may be opened under it now")
    .option("--out <file>", "write the lease here, mode 0600, in place of what is there")
    .addHelpText("after", "\nExample:\n  weft service-lease introspect night-shift --json")
    .action(action(introspect));
  group
    .command("maintain <lease>")
    .description("prolong a lease before it runs out, under the same fence; channels under it go on")
    .option("--for <duration>", "from now on (default: as long as it was given last)", durationMs)
    .option("--out <file>", "write the lease here, mode 0600, in place of what is there")
    .addHelpText("after", "\nExample:\n  weft service-lease maintain night-shift --for 8h --out ./db.lease")
    .action(action(maintain));
  group
    .command("release <lease>")
    .description("end a lease now, and every channel under it")
    .addHelpText("after", "\nExample:\n  weft service-lease release night-shift")
    .action(action(release));
  group
    .command("list")
    .description("list leases that may be used")
    .option("--resource <resource>", "for this resource")
    .option("--client <client>", "of this client")
    .option("--all", "those that are over as well")
    .addHelpText("after", "\nExample:\n  weft service-lease list --client laptop --all")
    .action(action(list));
}
