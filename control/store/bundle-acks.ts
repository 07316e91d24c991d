/**
 * What nodes have said of the trust bundle, and which one each control replica believes by. A node's word is kept with its
 * signature and the leaf that proves it, and with a MAC: a writer of the database can delete it, and so hold a rotation up,
 * and cannot make one up.
 */

import { limits } from "../../lib/limits.ts";
import type { Queryable } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface BundleAckRow {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly bundleVersion: number;
  readonly bundleHash: Uint8Array;
  readonly signature: Uint8Array;
  readonly certificateDer: Uint8Array;
  readonly taintedInUse: readonly string[];
  readonly receivedAtMs: number;
  readonly mac: Uint8Array;
}

type Said = Omit<BundleAckRow, "receivedAtMs" | "mac">;

export function ackFields(row: Said): MacField[] {
  const { clusterId, nodeId, bundleVersion, bundleHash, signature, certificateDer, taintedInUse } = row;
  return [clusterId, nodeId, bundleVersion, bundleHash, signature, certificateDer, taintedInUse.join(" ")];
}

const columns = `cluster_id as "clusterId", node_id as "nodeId", bundle_version as "bundleVersion", bundle_hash as "bundleHash",
  signature, certificate_der as "certificateDer", tainted_in_use as "taintedInUse",
  received_at_ms as "receivedAtMs", mac`;

/** Keeps a verified acknowledgement, unless a newer bundle's is there. */
export async function keepAck(q: Queryable, seal: TrustSeal, row: Said): Promise<void> {
  await q.query(
    `insert into bundle_ack (cluster_id, node_id, bundle_version, bundle_hash, signature, certificate_der,
       tainted_in_use, mac) values ($1, $2, $3, $4, $5, $6, $7, $8)
     on conflict (cluster_id, node_id) do update set bundle_version = excluded.bundle_version,
       bundle_hash = excluded.bundle_hash, signature = excluded.signature, certificate_der = excluded.certificate_der,
       tainted_in_use = excluded.tainted_in_use, received_at_ms = now_ms(), mac = excluded.mac
     where bundle_ack.bundle_version <= excluded.bundle_version`,
    [
      row.clusterId,
      row.nodeId,
      row.bundleVersion,
      row.bundleHash,
      row.signature,
      row.certificateDer,
      row.taintedInUse,
      seal.mac("bundle_ack", ackFields(row)),
    ],
  );
}

/** The newest acknowledgement of each node of a cluster, authenticated. */
export async function listAcks(q: Queryable, seal: TrustSeal, clusterId: string): Promise<readonly BundleAckRow[]> {
  const rows = await q.query<BundleAckRow>(`select ${columns} from bundle_ack where cluster_id = $1 order by node_id`, [
    clusterId,
  ]);
  for (const row of rows) requireAuthentic(seal, "bundle_ack", ackFields(row), row.mac);
  return rows;
}

export interface ReplicaTrustRow {
  readonly replicaId: string;
  readonly clusterId: string;
  readonly bundleVersion: number;
  readonly controlIssuerKeyId: string;
}

/** A replica believes by this bundle from now on, and shows a leaf of that issuer. Forgets those that are silent for long. */
export async function noteReplica(q: Queryable, row: ReplicaTrustRow): Promise<void> {
  await q.query(
    `with gone as (delete from replica_trust where seen_at_ms < now_ms() - $5::bigint * 100)
     insert into replica_trust (replica_id, cluster_id, bundle_version, control_issuer_key_id) values ($1, $2, $3, $4)
     on conflict (replica_id, cluster_id) do update set bundle_version = excluded.bundle_version,
       control_issuer_key_id = excluded.control_issuer_key_id, seen_at_ms = now_ms()`,
    [row.replicaId, row.clusterId, row.bundleVersion, row.controlIssuerKeyId, limits.replicaLiveMs],
  );
}

/** A replica that stops is not waited for. */
export async function forgetReplica(q: Queryable, replicaId: string): Promise<void> {
  await q.query("delete from replica_trust where replica_id = $1", [replicaId]);
}

/** Replicas that were heard of lately, as they serve a cluster. */
export async function liveReplicas(q: Queryable, clusterId: string): Promise<readonly ReplicaTrustRow[]> {
  return await q.query<ReplicaTrustRow>(
    `select replica_id as "replicaId", cluster_id as "clusterId", bundle_version as "bundleVersion",
       control_issuer_key_id as "controlIssuerKeyId"
     from replica_trust where cluster_id = $1 and seen_at_ms >= now_ms() - $2::bigint order by replica_id`,
    [clusterId, limits.replicaLiveMs],
  );
}
