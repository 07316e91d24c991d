/**
 * What nodes witnessed of the audit chain, as they report with their beats. A report is a node's word and decides nothing;
 * one that the chain contradicts is worth an alert, for the chain or the node lies.
 */

import type { Queryable } from "./sql.ts";

export interface WitnessRow {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly nodeName: string;
  /** Of the snapshot the node had applied. */
  readonly epoch: number;
  readonly seq: number;
  readonly hash: Uint8Array;
  readonly reportedAtMs: number;
}

/** A report that is not on the chain. */
export interface ContradictionRow extends WitnessRow {
  /** What the chain has at that number; null when it has no such record. */
  readonly chainHash: Uint8Array | null;
  /** Of the installation. */
  readonly installationEpoch: number;
  readonly headSeq: number;
}

const columns = `b.cluster_id as "clusterId", b.node_id as "nodeId", n.name as "nodeName", b.snapshot_epoch as epoch,
  b.audit_seq as seq, b.audit_hash as hash, b.received_at_ms as "reportedAtMs"`;

/** Reports of nodes with ids after `afterNodeId`, by id, at most `limit`. */
export async function listWitnesses(q: Queryable, afterNodeId: string, limit: number): Promise<readonly WitnessRow[]> {
  return await q.query<WitnessRow>(
    `select ${columns} from beat_latest b join node n on n.id = b.node_id
     where b.node_id > $1 and b.audit_seq > 0 and b.audit_hash is not null order by b.node_id limit $2`,
    [afterNodeId, limit],
  );
}

/** Reports that the chain contradicts, at most `limit`. One statement, so that report and chain are of one moment. */
export async function contradictedWitnesses(q: Queryable, limit: number): Promise<readonly ContradictionRow[]> {
  return await q.query<ContradictionRow>(
    `select ${columns}, a.hash as "chainHash", coalesce((select epoch from installation), 1) as "installationEpoch",
       (select seq from audit_head) as "headSeq"
     from beat_latest b join node n on n.id = b.node_id left join audit a on a.seq = b.audit_seq
     where b.audit_seq > 0 and b.audit_hash is not null and a.hash is distinct from b.audit_hash
     order by b.node_id limit $1`,
    [limit],
  );
}
