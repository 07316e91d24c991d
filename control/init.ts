/**
 * `control init`: local, once. It makes the sealing key file, the installation with its first cluster, and the first operator,
 * whose key is made here only when a context folder was named; otherwise the caller brings a CSR.
 *
 * A start that dies half way leaves at most a sealing key file that sealed nothing; running it again uses that file.
 */

import { existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeCsr } from "../certs/csr.ts";
import { generateP256, privateKeyPem } from "../certs/keys.ts";
import { certificatePem } from "../certs/material.ts";
import { createSealingKeyFile, type SealingKey } from "../certs/seal.ts";
import { RootKind, type TrustBundle } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { Closers } from "../lib/closers.ts";
import { WeftError } from "../lib/errors.ts";
import { type OperatorContextFile, saveOperatorContext } from "../rpc/operator-context.ts";
import type { ControlConfig } from "./config.ts";
import { type InitOutcome, initializeControl } from "./domain/init.ts";
import { type ControlOverrides, openContext, openOutside, openSeal, openStore } from "./open-context.ts";
import { isInitialized } from "./store/installation.ts";
import { migrate } from "./store/migrate.ts";
import { openPglite } from "./store/pglite.ts";
import type { Sql } from "./store/sql.ts";

export interface ControlInitOrder {
  readonly trustDomain?: string;
  /** Default "default". */
  readonly clusterSlug?: string;
  readonly region?: string;
  readonly operatorName: string;
  /** Where the first operator's key, certificate and roots are written, 0600. */
  readonly contextDir?: string;
  /** Instead of `contextDir`: a CSR (PKCS#10 DER) whose key stays with the caller. */
  readonly csr?: Uint8Array;
  /** host:port as operators and nodes will reach control; default: the configured hosts and ports. */
  readonly operatorAddress?: string;
  readonly publicAddress?: string;
}

/**
 * Throws `already_exists` (INSTALLATION_EXISTS) for a store that is initialized, whatever else is true; what opening the
 * store and `initializeControl` throw; `invalid_argument` (INIT_OPERATOR) unless exactly one of `contextDir` and `csr` is given.
 */
export async function initControl(
  config: ControlConfig,
  order: ControlInitOrder,
  over: ControlOverrides = {},
): Promise<InitOutcome> {
  if ((order.contextDir === undefined) === (order.csr === undefined)) {
    const message = "give either a folder for the operator's key or a CSR";
    throw new WeftError("invalid_argument", message, { detail: "INIT_OPERATOR" });
  }
  await using closers = new Closers();
  const outside = openOutside(config, over);
  // A key that cannot be used is said before a store is made.
  const given = existsSync(config.sealingKeyFile) ? openSeal(config) : undefined;
  const sql = await openStore(config, over, outside.log, closers);
  await migrate(sql);
  if (await isInitialized(sql)) {
    const options = { detail: "INSTALLATION_EXISTS" };
    throw new WeftError("already_exists", "this store already has an installation", options);
  }
  // What could fail for want of a folder fails before anything is made for good.
  if (order.contextDir !== undefined) prepareContextDir(order.contextDir);
  mkdirSync(dirname(config.sealingKeyFile), { recursive: true, mode: 0o700 });
  const made = given !== undefined ? undefined : createSealingKeyFile(config.sealingKeyFile);
  try {
    const sealingKey: SealingKey = made ?? given ?? openSeal(config);
    const ctx = await openContext(config, over, { sql, outside, sealingKey }, closers);
    const keys = order.csr === undefined ? generateP256() : undefined;
    const csr = keys === undefined ? order.csr : makeCsr(keys);
    const outcome = await initializeControl(ctx, {
      mode: config.dev ? "dev" : "production",
      operator: { name: order.operatorName, csr: csr ?? new Uint8Array() },
      ...(order.trustDomain === undefined ? {} : { trustDomain: order.trustDomain }),
      ...(order.clusterSlug === undefined ? {} : { clusterSlug: order.clusterSlug }),
      ...(order.region === undefined ? {} : { region: order.region }),
    });
    if (keys !== undefined && order.contextDir !== undefined) {
      const leaf = {
        keyPem: privateKeyPem(keys.privateKey),
        certificatePem: certificatePem(outcome.certificateDer),
      };
      saveOperatorContext(
        order.contextDir,
        contextOf(config, order, { ...outcome, clusters: [{ ...outcome.cluster, bundle: outcome.bundle }] }),
        leaf,
      );
    }
    return outcome;
  } catch (error) {
    // A key that sealed nothing is not kept; one that might have, is.
    if (made !== undefined && (await sealedNothing(sql, made.keyId))) rmSync(config.sealingKeyFile, { force: true });
    throw error;
  }
}

/** An operator's key is never written over. */
function prepareContextDir(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (!existsSync(join(dir, "operator.key"))) return;
  const message = "the context folder already holds an operator's key; name another one";
  throw new WeftError("already_exists", message, { detail: "CONTEXT_EXISTS" });
}

async function sealedNothing(sql: Sql, keyId: string): Promise<boolean> {
  try {
    const rows = await sql.query<{ id: string }>("select sealing_key_id as id from installation");
    return rows.every((row) => row.id !== keyId);
  } catch {
    return false;
  }
}

/** The context file of an operator of these clusters. */
export function contextOf(
  config: ControlConfig,
  order: Pick<ControlInitOrder, "operatorAddress" | "publicAddress">,
  about: {
    readonly trustDomain: string;
    readonly installationKeyHash: string;
    readonly clusters: readonly { readonly id: string; readonly slug: string; readonly bundle: TrustBundle }[];
  },
): OperatorContextFile {
  const rootsOf = (bundle: TrustBundle, kind: RootKind): string[] =>
    bundle.roots
      .filter((root) => root.kind === kind)
      .map((root) => Buffer.from(root.certificateDer).toString("base64"));
  return {
    operatorAddress: order.operatorAddress ?? hostPort(config.operatorHost, config.operatorPort),
    publicAddress: order.publicAddress ?? hostPort(config.advertisedHosts[0] ?? config.publicHost, config.publicPort),
    trustDomain: about.trustDomain,
    installationKeyHash: about.installationKeyHash,
    defaultCluster: about.clusters[0]?.slug ?? "default",
    clusters: about.clusters.map(({ id, slug, bundle }) => ({
      id,
      slug,
      controlRoots: rootsOf(bundle, RootKind.CONTROL),
      nodeRoots: rootsOf(bundle, RootKind.NODE),
    })),
  };
}

/** host:port, an IPv6 host in brackets. */
export function hostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Makes `directory` an embedded store with the schema and no installation in it, from which `initControl` goes on. */
export async function makeEmptyStore(directory: string): Promise<void> {
  const sql = await openPglite({ directory });
  try {
    await migrate(sql);
  } finally {
    await sql.close();
  }
}
