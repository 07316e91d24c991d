/** `weft identity`: client and operator identities. The key is made here and stays here; only a CSR travels (LAW-I1). */

import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { makeCsr } from "../../certs/csr.ts";
import { generateP256Async, privateKeyPem } from "../../certs/keys.ts";
import { certificatePem } from "../../certs/material.ts";
import { createSecretFile } from "../../certs/secret-file.ts";
import { readClientFolder } from "../../client/identity.ts";
import { writeTrust } from "../../client/trust.ts";
import { ClusterService } from "../../gen/weft/admin/v1/cluster_pb.ts";
import {
  type AddIdentityResponse,
  type Identity,
  IdentityKind,
  IdentityService,
} from "../../gen/weft/admin/v1/identity_pb.ts";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { PoolService } from "../../gen/weft/admin/v1/pool_pb.ts";
import type { FeedPosition } from "../../gen/weft/fabric/v1/feed_pb.ts";
import type { TrustBundle } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { type OperatorContext, saveOperatorContext } from "../../rpc/operator-context.ts";
import { batchAction } from "../batch.ts";
import { type ClientSurroundings, clientSurroundings, writeClientFolder } from "../client-folder.ts";
import { fetchBundle } from "../cluster-roots.ts";
import { addWaitOptions, type WaitOptions, type WaitOutcome, waitForFeeds, waitText } from "../feed-wait.ts";
import { enumName, enumValue, groupExamples, print, table, when } from "../output.ts";
import {
  action,
  findOrganization,
  type GlobalOptions,
  organizationName,
  pick,
  type Session,
  withSession,
} from "../session.ts";
import { storeMembersOf, storeMembersText } from "../store-members.ts";

interface AddOptions extends GlobalOptions {
  readonly organization?: string;
  readonly out?: string;
}

/** The entries an organization's clients may use, where they are, and what they and its pools are called, as control knows it now. */
async function surroundingsOf(session: Session, organizationId: string): Promise<ClientSurroundings> {
  const clusterId = await session.clusterId();
  const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId });
  const { pools } = await session.client(PoolService).listPools({ clusterId });
  return clientSurroundings(nodes, pools, organizationId);
}

/** The trust bundle of the cluster the command is about, as control gives it now. */
async function newestBundle(session: Session): Promise<TrustBundle> {
  const { clusters } = await session.client(ClusterService).listClusters({});
  const id = await session.clusterId();
  return await fetchBundle(session.context, clusters.find((row) => row.id === id)?.slug ?? "");
}

/** A new operator gets a context folder like the one of the operator who added it. */
function writeOperator(dir: string, context: OperatorContext, answer: AddIdentityResponse, keyPem: string): void {
  const { dir: _dir, leaf: _leaf, ...file } = context;
  saveOperatorContext(dir, file, { keyPem, certificatePem: certificatePem(answer.certificateDer) });
}

/** Operators belong to the installation, clients to the cluster the command is about. */
async function listIdentities(session: Session): Promise<Identity[]> {
  const clusterId = await session.clusterId();
  const { identities } = await session.client(IdentityService).listIdentities({ clusterId: "" });
  return identities.filter((row) => row.kind === IdentityKind.OPERATOR || row.clusterId === clusterId);
}

async function addIdentity(options: AddOptions, kindName: string, name: string): Promise<void> {
  const kind: IdentityKind = enumValue(IdentityKind, kindName, "kind of identity");
  const { out: dir = "" } = options;
  const organization = kind === IdentityKind.CLIENT ? organizationName(options) : options.organization;
  if (kind === IdentityKind.CLIENT && organization === undefined) {
    throw new WeftError(
      "invalid_argument",
      "a client belongs to an organization: name it with --organization, or use a context that has one",
      {
        detail: "CLI_ORGANIZATION_MISSING",
      },
    );
  }
  const keyFile = join(dir, kind === IdentityKind.OPERATOR ? "operator.key" : "client.key");
  if (existsSync(keyFile))
    throw new WeftError("already_exists", `${keyFile} exists; name another folder`, { detail: "CLI_FILE_EXISTS" });
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  // The key is on disk before control knows of it: what control adds can be used, whatever happens here.
  const keys = await generateP256Async();
  const keyPem = privateKeyPem(keys.privateKey);
  createSecretFile(keyFile, keyPem);
  const answer = await withSession(options, async (session) => {
    const added = await session.client(IdentityService).addIdentity({
      kind,
      name,
      csr: makeCsr(keys),
      clusterId: await session.clusterId(),
      organizationId: organization === undefined ? "" : (await findOrganization(session, organization)).id,
    });
    if (kind === IdentityKind.OPERATOR) writeOperator(dir, session.context, added, keyPem);
    else {
      const surroundings = await surroundingsOf(session, added.identity?.organizationId ?? "");
      writeClientFolder(dir, added, surroundings, session.context.installationKeyHash);
    }
    return { ...added, store: await storeMembersOf(session) };
  }).catch((thrown: unknown) => {
    rmSync(keyFile, { force: true });
    throw thrown;
  });
  print(
    options,
    { identity: answer.identity, dir, store: answer.store },
    () =>
      `${kindName} ${name} has id ${answer.identity?.id}; key and certificate are in ${dir}${storeMembersText(answer.store)}`,
  );
}

export function addIdentityCommands(program: Command): void {
  const identity = program
    .command("identity")
    .description("client and operator identities")
    .addHelpText(
      "after",
      groupExamples("weft identity list", "weft identity add client laptop --organization acme --out ./laptop"),
    );
  identity
    .command("add <kind> <name>")
    .description("add a client or an operator; writes key and certificate into a folder")
    .requiredOption("--out <dir>", "folder for key and certificate; must not hold one yet")
    .option("--organization <name>", "the organization a client belongs to")
    .addHelpText(
      "after",
      "\nExamples:\n  weft identity add client laptop --organization acme --out ./laptop\n  weft identity add operator alice --out ./alice",
    )
    .action(action(addIdentity));
  identity
    .command("trust <dir>")
    .description("bring the roots in a client folder up to date: for a client that slept through a rotation")
    .addHelpText("after", "\nExample:\n  weft identity trust ./laptop")
    .action(
      action(async (options: GlobalOptions, dir: string) => {
        readClientFolder(dir);
        const bundle = await withSession(options, (session) => newestBundle(session));
        writeTrust(dir, bundle);
        const done = { dir, bundleVersion: Number(bundle.version) };
        print(options, done, () => `${dir} trusts the roots of trust bundle ${done.bundleVersion}`);
      }),
    );
  identity
    .command("list")
    .description("list operators, and the clients of the cluster")
    .addHelpText("after", "\nExample:\n  weft identity list --json")
    .action(
      action(async (options) => {
        const { identities, store } = await withSession(options, async (session) => ({
          identities: await listIdentities(session),
          store: await storeMembersOf(session),
        }));
        const text = (): string =>
          table(
            ["ID", "KIND", "NAME", "ORGANIZATION", "STATUS", "CERTIFICATE ENDS"],
            identities.map((row) => [
              row.id,
              enumName(IdentityKind, row.kind),
              row.name,
              row.organizationId || "-",
              row.status,
              when(row.certificateNotAfterMs),
            ]),
          );
        print(options, { identities, store }, () => `${text()}\n${storeMembersText(store)}`);
      }),
    );
  addWaitOptions(
    identity
      .command("revoke <identity...>")
      .description("revoke identities for good; the last operator cannot be revoked")
      .option("--reason <text>", "for the audit log", ""),
  )
    .addHelpText("after", '\nExample:\n  weft identity revoke laptop --reason "lost" --wait')
    .action(batchAction({ work: revokeIdentity, text: revokedText }));
}

interface Revoked {
  readonly identity: Identity | undefined;
  readonly feeds: readonly FeedPosition[];
  readonly store: Awaited<ReturnType<typeof storeMembersOf>>;
  readonly wait?: WaitOutcome;
}

async function revokeIdentity(
  session: Session,
  wanted: string,
  options: GlobalOptions & WaitOptions & { readonly reason?: string },
): Promise<Revoked> {
  const clusterId = await session.clusterId();
  const found = pick(await listIdentities(session), wanted, "identity");
  const about = { identityId: found.id, clusterId, reason: options.reason ?? "" };
  const { identity, feeds } = await session.client(IdentityService).revokeIdentity(about);
  const wait = await waitForFeeds(session, options, feeds);
  return { identity, feeds, store: await storeMembersOf(session), ...(wait === undefined ? {} : { wait }) };
}

function revokedText({ identity, store, wait }: Revoked, wanted: string): string {
  return `${wanted} is ${identity?.status}${waitText(wait)}${storeMembersText(store)}`;
}
