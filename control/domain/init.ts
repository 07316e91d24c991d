/**
 * `control init`: makes an installation, its first cluster and its first operator, once, in one transaction. The only
 * maker of the installation key and of the operator root; whoever comes second is refused and changes nothing.
 */

import { judgeCsr } from "../../certs/csr.ts";
import { INSTALLATION } from "../../certs/spiffe.ts";
import type { TrustBundle } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { randomLabel } from "../../lib/random.ts";
import { appendAudit } from "../store/audit.ts";
import { insertAuthority } from "../store/authorities.ts";
import type { ClusterRow } from "../store/clusters.ts";
import { requireCluster } from "../store/clusters.ts";
import type { StoreContext } from "../store/context.ts";
import { insertIdentity, lockActiveOperators } from "../store/identities.ts";
import { type InstallationMode, insertInstallation, loadInstallation } from "../store/installation.ts";
import { Authority, prepareInstallation } from "./authority.ts";
import { createCluster } from "./cluster.ts";
import { issueAndRecord, requireFreshKey } from "./issue.ts";

export interface InitOrder {
  /** Default `weft-<8 base32>.internal`. */
  readonly trustDomain?: string;
  readonly mode: InstallationMode;
  /** Default "default". */
  readonly clusterSlug?: string;
  readonly region?: string;
  readonly operator: { readonly name: string /** PKCS#10 DER. */; readonly csr: Uint8Array };
}

export interface IssuedOperator {
  readonly operatorId: string;
  readonly certificateDer: Uint8Array;
  readonly notAfterMs: number;
}

export interface InitOutcome extends IssuedOperator {
  readonly trustDomain: string;
  readonly cluster: ClusterRow;
  readonly bundle: TrustBundle;
  /** SHA-256 of the installation key, hex. */
  readonly installationKeyHash: string;
}

const TRUST_DOMAIN = /^(?=.{1,255}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

/** Throws `already_exists` (INSTALLATION_EXISTS), `invalid_argument` (TRUST_DOMAIN, CSR_*, KEY_IN_USE, CLUSTER_SLUG). */
export async function initializeControl(ctx: StoreContext, order: InitOrder): Promise<InitOutcome> {
  const trustDomain = order.trustDomain ?? `weft-${randomLabel(ctx.random, 8)}.internal`;
  if (!TRUST_DOMAIN.test(trustDomain)) {
    throw new WeftError("invalid_argument", "not a trust domain: lower-case DNS labels", { detail: "TRUST_DOMAIN" });
  }
  const { spkiDer, keyHash } = judgeCsr(order.operator.csr);
  const authority = new Authority(ctx);
  const prepared = await prepareInstallation(ctx);
  const slug = order.clusterSlug ?? "default";
  const clusterTrust = await authority.prepareCluster(slug);
  const { clusterId, operator } = await ctx.sql.tx(async (tx) => {
    await insertInstallation(tx, ctx.seal, { trustDomain, mode: order.mode, keys: prepared.keys });
    const { nowMs, operatorCa } = prepared;
    await insertAuthority(tx, ctx.seal, { scope: INSTALLATION, generation: 1, ca: operatorCa, nowMs });
    const installation = await loadInstallation(tx, ctx.seal);
    await appendAudit(tx, {
      actor: "system",
      action: "installation.created",
      object: `installation/${trustDomain}`,
      after: { mode: order.mode },
    });
    const cluster = { slug, name: slug, region: order.region ?? "", metadata: {} };
    const clusterId = await createCluster(tx, ctx, { cluster, installation, trust: clusterTrust, actor: "system" });
    await requireFreshKey(tx, keyHash);
    const issuer = { ctx, authority, trustDomain };
    const about = { name: order.operator.name, spkiDer, keyHash, createdBy: "system" };
    return { clusterId, operator: await addOperator(tx, issuer, about) };
  });
  const bundle = await authority.bundle(clusterId);
  return {
    ...operator,
    trustDomain,
    cluster: await requireCluster(ctx.sql, clusterId),
    bundle: bundle.message,
    installationKeyHash: prepared.keys.keyHash,
  };
}

/**
 * Gives a locked-out installation a new operator, on the control host only. Everything about it is in the audit log.
 * Errors of `initializeControl` and `already_exists` (IDENTITY_EXISTS).
 */
export async function recoverOperator(ctx: StoreContext, operator: InitOrder["operator"]): Promise<IssuedOperator> {
  const { spkiDer, keyHash } = judgeCsr(operator.csr);
  const authority = new Authority(ctx);
  const { trustDomain } = await authority.installation();
  return await ctx.sql.tx(async (tx) => {
    const others = await lockActiveOperators(tx, ctx.seal);
    await requireFreshKey(tx, keyHash);
    const about = { name: operator.name, spkiDer, keyHash, createdBy: "system" };
    const added = await addOperator(tx, { ctx, authority, trustDomain }, about);
    await appendAudit(tx, {
      actor: "system",
      action: "operator.recovered",
      object: `operator/${added.operatorId}`,
      after: { name: operator.name, operatorsBefore: others.length },
    });
    return added;
  });
}

async function addOperator(
  tx: Parameters<typeof issueAndRecord>[0],
  issuer: Parameters<typeof issueAndRecord>[1],
  about: { readonly name: string; readonly spkiDer: Uint8Array; readonly keyHash: string; readonly createdBy: string },
): Promise<IssuedOperator> {
  const { name, spkiDer, keyHash, createdBy } = about;
  const id = `op-${randomLabel(issuer.ctx.random, 16)}`;
  await insertIdentity(tx, issuer.ctx.seal, {
    id,
    kind: "operator",
    scope: INSTALLATION,
    organizationId: "",
    name,
    keyHash,
    createdBy,
  });
  const order = { kind: "operator", clusterId: INSTALLATION, subjectId: id, spkiDer, status: "current" } as const;
  const leaf = await issueAndRecord(tx, issuer, order);
  await appendAudit(tx, {
    actor: createdBy,
    action: "identity.added",
    object: `operator/${id}`,
    after: { name, keyHash, serial: leaf.serialHex },
  });
  return { operatorId: id, certificateDer: leaf.certificateDer, notAfterMs: leaf.notAfterMs };
}
