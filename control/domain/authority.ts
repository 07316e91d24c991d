/**
 * What control vouches with: the installation key, the issuers, the signing keys, the trust bundles. Every use reads the
 * stored rows again and refuses an unauthentic one; only what a row's own key id names is kept in memory.
 */

import type { KeyObject } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import { rootKinds, type SignedBundle, signTrustBundle } from "../../certs/bundle.ts";
import { createRoot, type IssuingCa } from "../../certs/ca.ts";
import {
  certifySigningKey,
  createInstallationKey,
  type SigningUse,
  verifySigningKey,
} from "../../certs/installation.ts";
import { generateEd25519, type KeyPair } from "../../certs/keys.ts";
import { type RootsOf, rootsOfKind } from "../../certs/material.ts";
import { INSTALLATION, type SpiffeKind } from "../../certs/spiffe.ts";
import {
  RootStatus,
  type SignedSigningKey,
  type TrustBundle,
  TrustBundleSchema,
} from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../lib/limits.ts";
import {
  type ActiveSigningKey,
  type AuthorityRow,
  activeCa,
  activeSigningKey,
  findSigningKey,
  insertAuthority,
  insertSigningKey,
  issuingScope,
  replaceStatement,
  signingKeyMissing,
  trustedAuthorities,
} from "../store/authorities.ts";
import { lockCluster, requireCluster } from "../store/clusters.ts";
import type { StoreContext } from "../store/context.ts";
import { type Installation, loadInstallation } from "../store/installation.ts";
import { openRotation, retiredKeys } from "../store/rotations.ts";
import type { Queryable, Tx } from "../store/sql.ts";
import { isPhase, phaseRules } from "./rotation-phases.ts";

export interface SigningKey {
  readonly keyId: string;
  readonly privateKey: KeyObject;
  readonly signed: SignedSigningKey;
}

export interface ClusterBundle extends SignedBundle {
  readonly message: TrustBundle;
}

const rootStatuses = {
  active: RootStatus.ACTIVE,
  next: RootStatus.NEXT,
  old: RootStatus.OLD,
  dropped: RootStatus.UNSPECIFIED,
} as const satisfies Record<AuthorityRow["status"], RootStatus>;

const clusterKinds = ["node", "control", "client", "pool"] as const satisfies readonly SpiffeKind[];
const signingUses = ["snapshot", "feed", "contract"] as const satisfies readonly SigningUse[];

export class Authority {
  readonly #ctx: StoreContext;
  /** By the key ids of the roots: `RootsOf` objects carry a signature cache and are worth keeping. */
  readonly #roots = new Map<string, RootsOf<SpiffeKind>>();

  constructor(ctx: StoreContext) {
    this.#ctx = ctx;
  }

  installation(q: Queryable = this.#ctx.sql): Promise<Installation> {
    return loadInstallation(q, this.#ctx.seal);
  }

  /** The issuer of `kind` for a cluster. */
  ca(q: Queryable, clusterId: string, kind: SpiffeKind): Promise<IssuingCa> {
    return activeCa(q, this.#ctx.seal, issuingScope(kind, clusterId), kind);
  }

  /** The trusted roots of `kind` for a cluster. The same object for as long as they are the same roots. */
  async roots<K extends SpiffeKind>(clusterId: string, kind: K): Promise<RootsOf<K>> {
    const rows = await trustedAuthorities(this.#ctx.sql, this.#ctx.seal, issuingScope(kind, clusterId));
    const own = rows.filter((row) => row.kind === kind);
    const key = `${kind}:${own.map((row) => row.keyId).join(",")}`;
    const kept =
      this.#roots.get(key) ??
      rootsOfKind<SpiffeKind>(
        kind,
        own.map((row) => row.certificateDer),
      );
    this.#roots.set(key, kept);
    return kept as RootsOf<SpiffeKind> as RootsOf<K>;
  }

  /**
   * The signed trust bundle of a cluster, as a transaction that sees one moment does: its version and what is in it are several
   * statements, and one version always gives the same bytes.
   */
  async bundle(clusterId: string, q?: Tx): Promise<ClusterBundle> {
    const { seal, sql } = this.#ctx;
    if (q === undefined) return await sql.tx((tx) => this.bundle(clusterId, tx), { mode: "read only" });
    const installation = await this.installation(q);
    const cluster = await requireCluster(q, clusterId);
    const rows = [
      ...(await trustedAuthorities(q, seal, cluster.id)),
      ...(await trustedAuthorities(q, seal, INSTALLATION)),
    ];
    const tainted = await this.#tainted(q, rows);
    const retired = await retiredKeys(q, seal, cluster.id);
    const signed = signTrustBundle(installation.privateKey, {
      trustDomain: installation.trustDomain,
      clusterId: cluster.id,
      clusterSlug: cluster.slug,
      roots: rows.map((row) => ({
        kind: rootKinds[row.kind],
        certificateDer: row.certificateDer,
        status: tainted.has(row.keyId) ? RootStatus.TAINTED : rootStatuses[row.status],
      })),
      retiredSigningKeys: retired.map(({ keyId, refusedFromMs }) => ({ keyId, refusedFromMs: BigInt(refusedFromMs) })),
      version: BigInt(cluster.bundleVersion),
      issuedAtMs: BigInt(Math.max(...rows.map((row) => row.createdAtMs))),
    });
    return { ...signed, message: fromBinary(TrustBundleSchema, signed.bytes) };
  }

  /** Key ids of old roots whose leaves are to be replaced now. */
  async #tainted(q: Queryable, rows: readonly AuthorityRow[]): Promise<ReadonlySet<string>> {
    const tainted = new Set<string>();
    for (const row of rows) {
      if (row.status !== "old") continue;
      const rotation = await openRotation(q, this.#ctx.seal, row.scope, row.kind);
      if (rotation === undefined || !isPhase(rotation.phase)) continue;
      const which = phaseRules[rotation.phase].tainted;
      const keyId = which === "old" ? rotation.oldKeyId : rotation.nextKeyId;
      if (which !== undefined && keyId === row.keyId) tainted.add(row.keyId);
    }
    return tainted;
  }

  /** The key that signs for a cluster, under a statement with at least half of its life left. */
  async signingKey(clusterId: string, use: SigningUse): Promise<SigningKey> {
    const { sql, seal, clock } = this.#ctx;
    let active = await findSigningKey(sql, seal, clusterId, use);
    // A cluster from before contracts were signed.
    if (active === undefined && use === "contract") active = await this.#makeSigningKey(clusterId, use);
    if (active === undefined) throw signingKeyMissing();
    if (active.row.notAfterMs - clock.nowMs() < limits.signingKeyStatementLifeMs / 2) {
      active = await sql.tx((tx) => this.#renewStatement(tx, clusterId, use));
    }
    return { keyId: active.row.keyId, privateKey: active.privateKey, signed: active.signed };
  }

  async #makeSigningKey(clusterId: string, use: SigningUse): Promise<ActiveSigningKey> {
    const { sql, seal, clock } = this.#ctx;
    return await sql.tx(async (tx) => {
      // Serialized by the cluster's row: one replica makes it, the others find it.
      await lockCluster(tx, clusterId);
      const made = await findSigningKey(tx, seal, clusterId, use);
      if (made !== undefined) return made;
      const keys = generateEd25519();
      const certified = certify(await this.installation(tx), clusterId, keys.spkiDer, use, clock.nowMs());
      await insertSigningKey(tx, seal, { clusterId, purpose: use, generation: 1, keys, ...certified });
      return await activeSigningKey(tx, seal, clusterId, use);
    });
  }

  async #renewStatement(tx: Tx, clusterId: string, use: SigningUse) {
    const { seal, clock } = this.#ctx;
    const active = await activeSigningKey(tx, seal, clusterId, use, true);
    const nowMs = clock.nowMs();
    // Another replica may have been faster.
    if (active.row.notAfterMs - nowMs >= limits.signingKeyStatementLifeMs / 2) return active;
    const installation = await this.installation(tx);
    const next = certify(installation, clusterId, active.row.publicKeySpki, use, nowMs);
    await replaceStatement(tx, seal, active.row, next);
    return { ...active, signed: next.signed };
  }

  /** The statement under which a key signs for a cluster from now on, and its dates. */
  async certifyKey(q: Queryable, clusterId: string, keys: KeyPair, use: SigningUse) {
    return certify(await this.installation(q), clusterId, keys.spkiDer, use, this.#ctx.clock.nowMs());
  }

  /** Makes every root and signing key of a new cluster; `store` puts them in, in the transaction that makes the cluster. */
  async prepareCluster(
    slug: string,
  ): Promise<{ store(tx: Tx, installation: Installation, clusterId: string): Promise<void> }> {
    const { seal, clock, random } = this.#ctx;
    const nowMs = clock.nowMs();
    const cas: IssuingCa[] = [];
    for (const kind of clusterKinds)
      cas.push(await createRoot({ kind, clusterName: slug, generation: 1, nowMs, random }));
    const signers = signingUses.map((purpose) => ({ purpose, keys: generateEd25519() }));
    return {
      async store(tx, installation, clusterId) {
        for (const ca of cas) await insertAuthority(tx, seal, { scope: clusterId, generation: 1, ca, nowMs });
        for (const { purpose, keys } of signers) {
          const certified = certify(installation, clusterId, keys.spkiDer, purpose, nowMs);
          await insertSigningKey(tx, seal, { clusterId, purpose, generation: 1, keys, ...certified });
        }
      },
    };
  }
}

/** The installation's key and the operator root, before anything is stored. */
export async function prepareInstallation(ctx: Pick<StoreContext, "clock" | "random">) {
  const nowMs = ctx.clock.nowMs();
  const operatorCa = await createRoot({
    kind: "operator",
    clusterName: INSTALLATION,
    generation: 1,
    nowMs,
    random: ctx.random,
  });
  return { keys: createInstallationKey(), operatorCa, nowMs };
}

function certify(
  installation: Installation,
  clusterId: string,
  signingSpki: Uint8Array,
  use: SigningUse,
  nowMs: number,
) {
  const signed = certifySigningKey(installation.privateKey, { clusterId, signingSpki, use, nowMs });
  const expect = { installationSpki: installation.publicKeySpki, clusterId, use, nowMs };
  const { notBeforeMs, notAfterMs } = verifySigningKey(signed, expect);
  return { signed, notBeforeMs, notAfterMs };
}
