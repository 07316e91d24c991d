/**
 * `control recover`: a new operator for an installation nobody can get into any more. Local, on the control host, with the
 * sealing key; recorded in the audit log. With the embedded store control must be stopped: a folder has one user.
 */

import { existsSync } from "node:fs";
import { makeCsr } from "../certs/csr.ts";
import { generateP256, privateKeyPem } from "../certs/keys.ts";
import { certificatePem } from "../certs/material.ts";
import { Closers } from "../lib/closers.ts";
import { WeftError } from "../lib/errors.ts";
import { saveOperatorContext } from "../rpc/operator-context.ts";
import type { ControlConfig } from "./config.ts";
import { Authority } from "./domain/authority.ts";
import { recoverOperator } from "./domain/init.ts";
import { type ControlInitOrder, contextOf } from "./init.ts";
import { type ControlOverrides, openContext, openOutside, openSeal, openStore } from "./open-context.ts";
import { listClusters } from "./store/clusters.ts";
import { isInitialized } from "./store/installation.ts";
import { migrate } from "./store/migrate.ts";

export type ControlRecoverOrder = Required<Pick<ControlInitOrder, "operatorName" | "contextDir">> &
  Pick<ControlInitOrder, "operatorAddress" | "publicAddress">;

/**
 * Adds an operator of this name and writes its context folder; returns the operator's id.
 * Throws `failed_precondition` (INSTALLATION_MISSING), `already_exists` (IDENTITY_EXISTS), what opening the store throws.
 */
export async function recoverControl(
  config: ControlConfig,
  order: ControlRecoverOrder,
  over: ControlOverrides = {},
): Promise<string> {
  await using closers = new Closers();
  const outside = openOutside(config, over);
  // A key that cannot be used is said before the store is opened; one that is missing, when there is something to recover.
  const given = existsSync(config.sealingKeyFile) ? openSeal(config) : undefined;
  const sql = await openStore(config, over, outside.log, closers);
  await migrate(sql);
  if (!(await isInitialized(sql))) {
    throw new WeftError("failed_precondition", 'this store has no installation; make one with "weft control init"', {
      detail: "INSTALLATION_MISSING",
    });
  }
  const ctx = await openContext(config, over, { sql, outside, sealingKey: given ?? openSeal(config) }, closers);
  const keys = generateP256();
  const issued = await recoverOperator(ctx, { name: order.operatorName, csr: makeCsr(keys) });
  const authority = new Authority(ctx);
  const { trustDomain, keyHash: installationKeyHash } = await authority.installation();
  const clusters = [];
  for (const { id, slug } of await listClusters(sql)) {
    clusters.push({ id, slug, bundle: (await authority.bundle(id)).message });
  }
  const leaf = { keyPem: privateKeyPem(keys.privateKey), certificatePem: certificatePem(issued.certificateDer) };
  saveOperatorContext(order.contextDir, contextOf(config, order, { trustDomain, installationKeyHash, clusters }), leaf);
  return issued.operatorId;
}
