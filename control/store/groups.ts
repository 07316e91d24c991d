/**
 * Node groups: a tree per cluster, and which group a membership is in. They are for people: nothing of them is in a
 * snapshot, and nothing is allowed or refused by them, so these rows carry no MAC.
 *
 * V1. Changes of the tree of one cluster take turns (`lockGroups`): two moves that are harmless each and a ring together
 *     cannot both be made.
 */

import { WeftError } from "../../lib/errors.ts";
import type { GroupPlace } from "../domain/group-tree.ts";
import { isUniqueViolation, one, type Queryable, type Tx } from "./sql.ts";

export interface GroupRow extends GroupPlace {
  readonly clusterId: string;
  readonly createdAtMs: number;
  /** Its own members by name. */
  readonly nodeIds: readonly string[];
}

const columns = `g.id, g.cluster_id as "clusterId", g.parent_id as "parentId", g.name, g.created_at_ms as "createdAtMs"`;

const selectText = `select ${columns}, coalesce(array_agg(n.id order by n.name) filter (where n.id is not null), '{}') as "nodeIds"
  from node_group g left join group_member m on m.group_id = g.id left join node n on n.id = m.node_id`;

/** Every group of the cluster by name. */
export async function listGroups(q: Queryable, clusterId: string): Promise<readonly GroupRow[]> {
  return await q.query<GroupRow>(`${selectText} where g.cluster_id = $1 group by g.id order by g.name`, [clusterId]);
}

/** The group with that id or name in the cluster, or undefined. */
export async function getGroup(q: Queryable, clusterId: string, idOrName: string): Promise<GroupRow | undefined> {
  const text = `${selectText} where g.cluster_id = $1 and (g.id = $2 or g.name = $2) group by g.id
    order by (g.id = $2) desc limit 1`;
  return one(await q.query<GroupRow>(text, [clusterId, idOrName]));
}

/** The group with that id or name in the cluster. Throws `not_found` (GROUP_NOT_FOUND). */
export async function requireGroup(q: Queryable, clusterId: string, idOrName: string): Promise<GroupRow> {
  const row = await getGroup(q, clusterId, idOrName);
  if (row === undefined)
    throw new WeftError("not_found", "no such group in this cluster", { detail: "GROUP_NOT_FOUND" });
  return row;
}

/** Waits for its turn at the cluster's tree, until the transaction ends; returns the tree as it is then (V1). */
export async function lockGroups(tx: Tx, clusterId: string): Promise<readonly GroupPlace[]> {
  await tx.query(`select pg_advisory_xact_lock(hashtextextended('weft/groups/' || $1, 0))`, [clusterId]);
  return await tx.query<GroupPlace>(
    `select id, name, parent_id as "parentId" from node_group where cluster_id = $1 order by id`,
    [clusterId],
  );
}

export interface NewGroup extends GroupPlace {
  readonly clusterId: string;
  readonly createdBy: string;
}

/** Adds a group. Throws `already_exists` (GROUP_EXISTS). Whether it fits is the caller's to check. */
export async function insertGroup(tx: Tx, group: NewGroup): Promise<void> {
  try {
    await tx.query(`insert into node_group (id, cluster_id, parent_id, name, created_by) values ($1, $2, $3, $4, $5)`, [
      group.id,
      group.clusterId,
      group.parentId,
      group.name,
      group.createdBy,
    ]);
  } catch (thrown) {
    if (!isUniqueViolation(thrown)) throw thrown;
    const options = { detail: "GROUP_EXISTS", cause: thrown };
    throw new WeftError("already_exists", "a group with this name exists in the cluster", options);
  }
}

/** Hangs a group elsewhere; false when it hung there. Whether it may is the caller's to check, under the lock. */
export async function setGroupParent(tx: Tx, clusterId: string, id: string, parentId: string | null): Promise<boolean> {
  const rows = await tx.query<{ id: string }>(
    `update node_group set parent_id = $3 where cluster_id = $1 and id = $2 and parent_id is distinct from $3 returning id`,
    [clusterId, id, parentId],
  );
  return rows.length === 1;
}

/** Removes a group that has neither members nor groups below it; false when it has. Under the lock. */
export async function deleteGroup(tx: Tx, clusterId: string, id: string): Promise<boolean> {
  const rows = await tx.query<{ id: string }>(
    `delete from node_group g where cluster_id = $1 and id = $2
       and not exists (select 1 from node_group below where below.parent_id = g.id)
       and not exists (select 1 from group_member m where m.group_id = g.id) returning id`,
    [clusterId, id],
  );
  return rows.length === 1;
}

/** The group a membership is in, locked with the membership until the transaction ends; null when in none. */
export async function lockMember(tx: Tx, clusterId: string, nodeId: string): Promise<string | null> {
  await tx.query(`select 1 as found from membership where cluster_id = $1 and node_id = $2 for no key update`, [
    clusterId,
    nodeId,
  ]);
  const rows = await tx.query<{ groupId: string }>(
    `select group_id as "groupId" from group_member where cluster_id = $1 and node_id = $2`,
    [clusterId, nodeId],
  );
  return one(rows)?.groupId ?? null;
}

/** Puts a membership into a group, out of any other; null takes it out of all. */
export async function setMember(
  tx: Tx,
  member: { readonly clusterId: string; readonly nodeId: string; readonly groupId: string | null; readonly by: string },
): Promise<void> {
  const { clusterId, nodeId, groupId, by } = member;
  if (groupId === null) {
    await tx.query(`delete from group_member where cluster_id = $1 and node_id = $2`, [clusterId, nodeId]);
    return;
  }
  await tx.query(
    `insert into group_member (cluster_id, node_id, group_id, assigned_by) values ($1, $2, $3, $4)
     on conflict (cluster_id, node_id) do update set group_id = excluded.group_id, assigned_at_ms = now_ms(),
       assigned_by = excluded.assigned_by`,
    [clusterId, nodeId, groupId, by],
  );
}
