/** The link inventory: the newest word of each end of each link about its reachability. */

import { LOCAL_DURABILITY, type Queryable } from "./sql.ts";

export const linkStates = ["up", "dialing", "waiting", "draining"] as const;
export type LinkStateName = (typeof linkStates)[number];

/** One end's word about one link. */
export interface LinkProofRow {
  readonly fromNodeId: string;
  readonly toNodeId: string;
  readonly state: LinkStateName;
  readonly reverse: boolean;
  /** 0: never. */
  readonly lastSuccessAtMs: number;
  /** Empty: none. */
  readonly lastFailure: string;
  readonly lastFailureAtMs: number;
}

/**
 * Replaces what a node said of its links: all of them, so that a link it no longer keeps is gone. Dates ahead of the
 * store's clock count as now.
 */
export async function replaceProofs(
  q: Queryable,
  clusterId: string,
  fromNodeId: string,
  rows: readonly LinkProofRow[],
): Promise<void> {
  await q.query(
    `with said as (
       select * from jsonb_to_recordset($3::jsonb) as r ("toNodeId" text, state text, reverse boolean,
         "lastSuccessAtMs" bigint, "lastFailure" text, "lastFailureAtMs" bigint)
     ), gone as (
       delete from link_proof where from_node_id = $2 and to_node_id not in (select "toNodeId" from said)
     )
     insert into link_proof (cluster_id, from_node_id, to_node_id, state, reverse, last_success_at_ms, last_failure,
       last_failure_at_ms)
     select $1, $2, "toNodeId", state, reverse, least("lastSuccessAtMs", now_ms()), "lastFailure",
       least("lastFailureAtMs", now_ms()) from said, (select ${LOCAL_DURABILITY}) as durability
     on conflict (from_node_id, to_node_id) do update set state = excluded.state, reverse = excluded.reverse,
       last_success_at_ms = excluded.last_success_at_ms, last_failure = excluded.last_failure,
       last_failure_at_ms = excluded.last_failure_at_ms, reported_at_ms = excluded.reported_at_ms`,
    [clusterId, fromNodeId, JSON.stringify(rows)],
  );
}

/** The links of a cluster; with `nodeId`, those of that node, both directions. */
export async function listProofs(
  q: Queryable,
  clusterId: string,
  nodeId = "",
): Promise<readonly (LinkProofRow & { readonly reportedAtMs: number })[]> {
  return await q.query<LinkProofRow & { readonly reportedAtMs: number }>(
    `select from_node_id as "fromNodeId", to_node_id as "toNodeId", state, reverse,
       last_success_at_ms as "lastSuccessAtMs", last_failure as "lastFailure", last_failure_at_ms as "lastFailureAtMs",
       reported_at_ms as "reportedAtMs"
     from link_proof where cluster_id = $1 and ($2 = '' or from_node_id = $2 or to_node_id = $2)
     order by from_node_id, to_node_id`,
    [clusterId, nodeId],
  );
}
