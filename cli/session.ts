/** An operator's connection to control for the length of one command, and the look-ups every command needs. */

import type { DescService } from "@bufbuild/protobuf";
import type { Client, Transport } from "@connectrpc/connect";
import type { Command } from "commander";
import type { ClientTlsOptions } from "../certs/tls-options.ts";
import { isUnknownRoot } from "../certs/unknown-root.ts";
import { ClusterService } from "../gen/weft/admin/v1/cluster_pb.ts";
import { NodeAdminService } from "../gen/weft/admin/v1/node_pb.ts";
import { OrganizationService } from "../gen/weft/admin/v1/organization_pb.ts";
import { PoolService } from "../gen/weft/admin/v1/pool_pb.ts";
import { ResourceService } from "../gen/weft/admin/v1/resource_pb.ts";
import { sleep, systemClock } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";
import { rpcClient } from "../rpc/client.ts";
import { controlPortTls, loadOperatorContext, nodePortTls, type OperatorContext } from "../rpc/operator-context.ts";
import { operatorTransport } from "../rpc/operator-transport.ts";
import { learnClusters } from "./cluster-roots.ts";
import { chosenContext } from "./contexts.ts";
import { type FreshContext, withFreshRoots } from "./fresh-roots.ts";
import { suggestion } from "./nearest.ts";
import { withLivingLeaf } from "./operator-leaf.ts";
import { type OutputOptions, operatorHints, report } from "./output.ts";
import { atAnsweringReplica } from "./replicas.ts";

export interface GlobalOptions extends OutputOptions {
  readonly context?: string;
  readonly cluster?: string;
  /** Newer roots are looked for whenever that was last: for commands about roots. */
  readonly freshRoots?: boolean;
  /** The context stays as it is, byte for byte: nothing is looked for or renewed. For commands that change nothing at all. */
  readonly keepContext?: boolean;
  /** Of commands that list: how long until they list again, milliseconds. Absent: they list once. */
  readonly watch?: number;
}

export interface Session {
  /** As it is now: it grows when the session learns roots. */
  readonly context: OperatorContext;
  client<S extends DescService>(service: S): Client<S>;
  /** The id of the cluster the command is about. */
  clusterId(): Promise<string>;
  /** TLS options to reach the operator port of exactly one node, whatever cluster it is in. */
  nodeTls(clusterId: string, nodeId: string): Promise<ClientTlsOptions>;
  /** Fetches the roots of clusters and keeps them in the context. */
  learn(slugs: readonly string[]): Promise<void>;
}

/** The operator's folder a command is about. Throws as `chosenContext` does. */
export function contextDir(options: GlobalOptions): string {
  return chosenContext(options.context).folder;
}

/** The organization a command is about: as it was said, else the context's. */
export function organizationName(options: GlobalOptions & { readonly organization?: string }): string | undefined {
  return options.organization ?? chosenContext(options.context).organization;
}

/** Runs `work` with a session to control's operator port; the operator's certificate is renewed first when that is due. */
export async function withSession<T>(options: GlobalOptions, work: (session: Session) => Promise<T>): Promise<T> {
  // Once: another command may change what is meant while this one waits.
  const { folder, cluster } = chosenContext(options.context);
  const meant = options.cluster === undefined && cluster !== undefined ? { ...options, cluster } : options;
  const stored = await atAnsweringReplica(loadOperatorContext(folder));
  if (options.keepContext === true) return await runSession(meant, { context: stored, isTainted: false }, work);
  try {
    return await runSession(meant, await withFreshRoots(stored, options.freshRoots === true), work);
  } catch (thrown) {
    // Control shows a root that became known less than a minute ago: nothing was asked of it yet.
    if (!isUnknownRoot(thrown)) throw thrown;
    return await runSession(meant, await withFreshRoots(stored, true), work);
  }
}

async function runSession<T>(
  options: GlobalOptions,
  fresh: FreshContext,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const context = options.keepContext === true ? fresh.context : await withLivingLeaf(fresh.context, fresh.isTainted);
  const nowMs = (): number => systemClock.nowMs();
  const transport = operatorTransport({ address: context.operatorAddress, tls: controlPortTls(context, nowMs) });
  try {
    return await work(sessionOver(transport, context, options.cluster ?? context.defaultCluster));
  } finally {
    transport.close();
  }
}

function sessionOver(transport: Transport, start: OperatorContext, wanted: string): Session {
  let context = start;
  const client = <S extends DescService>(service: S): Client<S> => rpcClient(service, transport);
  const clusterOf = async (wantedId: string): Promise<{ readonly id: string; readonly slug: string }> => {
    const { clusters } = await client(ClusterService).listClusters({});
    return pick(
      clusters.map(({ id, slug }) => ({ id, slug, name: slug })),
      wantedId,
      "cluster",
    );
  };
  const learn = async (slugs: readonly string[]): Promise<void> => {
    context = await learnClusters(context, slugs);
  };
  return {
    get context() {
      return context;
    },
    client,
    learn,
    async clusterId() {
      const known = context.clusters.find(({ id, slug }) => id === wanted || slug === wanted);
      return known?.id ?? (await clusterOf(wanted)).id;
    },
    async nodeTls(clusterId, nodeId) {
      if (!context.clusters.some(({ id }) => id === clusterId)) await learn([(await clusterOf(clusterId)).slug]);
      return nodePortTls(context, clusterId, nodeId, () => systemClock.nowMs());
    },
  };
}

/** Turns an async command into a commander action: failures are reported and become the exit code. */
export function action<Options extends GlobalOptions, Arguments extends unknown[]>(
  work: (options: Options, ...rest: Arguments) => Promise<void>,
) {
  return async (...all: unknown[]): Promise<void> => {
    const command = all.at(-1) as Command;
    const options = command.optsWithGlobals() as Options;
    do {
      try {
        await work(options, ...(all.slice(0, -2) as Arguments));
      } catch (thrown) {
        process.exitCode = report(thrown, options, { ...operatorHints, unavailable: lostHint(thrown, options) });
      }
    } while (await isDue(options.watch));
  };
}

/** Waits for the next time of a command that is watched, on a screen of its own; false: it was meant once. */
async function isDue(everyMs: number | undefined): Promise<boolean> {
  if (everyMs === undefined) return false;
  await sleep(systemClock, everyMs);
  // What went wrong the last time may be well now.
  process.exitCode = undefined;
  if (process.stdout.isTTY) process.stdout.write("\x1b[H\x1b[2J");
  return true;
}

/** Where a command that nobody answered has looked for control, and what says so. */
function lostHint(thrown: unknown, options: GlobalOptions & { readonly control?: unknown }): string {
  if (thrown instanceof WeftError && thrown.detail === "NODE_UNREACHABLE")
    return "control knows it; is its process running, and can its operator port be reached from here?";
  if (thrown instanceof WeftError && thrown.detail.startsWith("STORE_"))
    return thrown.detail === "STORE_COMMIT_UNKNOWN"
      ? "control is there; look whether the change was made before asking again"
      : "control is there and waits for its store; nothing was changed, and it goes on by itself: try again";
  if (options.control !== undefined) return "is control running, and is its public address right? (--control)";
  try {
    const { dir, operatorAddress } = loadOperatorContext(contextDir(options));
    return `control should be at ${operatorAddress}, says the context ${dir} (--context, WEFT_CONTEXT); is it running there?`;
  } catch {
    return "is control running?";
  }
}

interface Named {
  readonly id: string;
  readonly name: string;
}

/**
 * Finds by id or name.
 * @throws WeftError not_found, with the nearest names; invalid_argument when several carry the name.
 */
export function pick<Item extends Named>(items: readonly Item[], wanted: string, what: string): Item {
  const byId = items.find((item) => item.id === wanted);
  if (byId !== undefined) return byId;
  const [found, ...others] = items.filter((item) => item.name === wanted);
  if (found !== undefined && others.length === 0) return found;
  if (found !== undefined)
    throw new WeftError("invalid_argument", `several ${what}s are named "${wanted}"; use the id`, {
      detail: "CLI_AMBIGUOUS",
    });
  const near = suggestion(
    items.map((item) => item.name),
    wanted,
  );
  throw new WeftError("not_found", `there is no ${what} "${wanted}"${near}`, { detail: "CLI_NOT_FOUND" });
}

export async function findNode(session: Session, wanted: string): Promise<Named> {
  const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId: await session.clusterId() });
  return pick(nodes, wanted, "node");
}

export async function findOrganization(session: Session, wanted: string): Promise<Named> {
  const { organizations } = await session
    .client(OrganizationService)
    .listOrganizations({ clusterId: await session.clusterId() });
  return pick(organizations, wanted, "organization");
}

export async function findPool(session: Session, wanted: string): Promise<Named & { readonly organizationId: string }> {
  const { pools } = await session.client(PoolService).listPools({ clusterId: await session.clusterId() });
  return pick(pools, wanted, "pool");
}

export async function findResource(
  session: Session,
  wanted: string,
): Promise<Named & { readonly organizationId: string }> {
  const { resources } = await session.client(ResourceService).listResources({ clusterId: await session.clusterId() });
  return pick(resources, wanted, "resource");
}

/** Names of ids, for people: an id that none of these has stays as it is. */
export function namer(items: readonly Named[]): (id: string) => string {
  const names = new Map(items.map(({ id, name }) => [id, name]));
  return (id) => names.get(id) ?? id;
}
