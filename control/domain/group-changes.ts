/**
 * Changes of node groups. Each is one transaction with its audit record, and bumps no snapshot: groups are for people, and
 * what a node may do does not depend on where it hangs (M-A8).
 */

import { WeftError } from "../../lib/errors.ts";
import { randomLabel } from "../../lib/random.ts";
import { appendAudit } from "../store/audit.ts";
import type { StoreContext } from "../store/context.ts";
import {
  deleteGroup,
  type GroupRow,
  insertGroup,
  lockGroups,
  lockMember,
  requireGroup,
  setGroupParent,
  setMember,
} from "../store/groups.ts";
import { requireNode } from "../store/nodes.ts";
import type { Tx } from "../store/sql.ts";
import { requireMovable, requireRoom } from "./group-tree.ts";
import { checkName } from "./placement.ts";

export interface GroupOrder {
  readonly clusterId: string;
  readonly actor: string;
}

/** The id of a group named by id or name; null for the empty text. */
async function idOf(tx: Tx, clusterId: string, idOrName: string): Promise<string | null> {
  return idOrName === "" ? null : (await requireGroup(tx, clusterId, idOrName)).id;
}

/** Adds a group below another one, or (empty `parent`) a root. */
export async function createGroup(
  ctx: StoreContext,
  order: GroupOrder & { readonly name: string; readonly parent: string },
): Promise<GroupRow> {
  const { clusterId, actor } = order;
  const name = checkName(order.name);
  const id = `gr-${randomLabel(ctx.random, 16)}`;
  return await ctx.sql.tx(async (tx) => {
    const places = await lockGroups(tx, clusterId);
    const parentId = await idOf(tx, clusterId, order.parent);
    requireRoom(places, parentId);
    await insertGroup(tx, { id, clusterId, parentId, name, createdBy: actor });
    const after = { name, parentId: parentId ?? "" };
    await appendAudit(tx, { actor, action: "group.created", object: `group/${id}`, clusterId, after });
    return await requireGroup(tx, clusterId, id);
  });
}

/** Hangs a group elsewhere with everything below it. Repeating it changes nothing. */
export async function moveGroup(
  ctx: StoreContext,
  order: GroupOrder & { readonly group: string; readonly parent: string },
): Promise<GroupRow> {
  const { clusterId, actor } = order;
  return await ctx.sql.tx(async (tx) => {
    const places = await lockGroups(tx, clusterId);
    const group = await requireGroup(tx, clusterId, order.group);
    const parentId = await idOf(tx, clusterId, order.parent);
    requireMovable(places, group.id, parentId);
    if (!(await setGroupParent(tx, clusterId, group.id, parentId))) return group;
    const record = { actor, action: "group.moved", object: `group/${group.id}`, clusterId };
    const [before, after] = [{ parentId: group.parentId ?? "" }, { parentId: parentId ?? "" }];
    await appendAudit(tx, { ...record, before, after });
    return { ...group, parentId };
  });
}

/** Removes a group. Throws `failed_precondition` (GROUP_IN_USE) for one with members or groups below it. */
export async function removeGroup(ctx: StoreContext, order: GroupOrder & { readonly group: string }): Promise<void> {
  const { clusterId, actor } = order;
  await ctx.sql.tx(async (tx) => {
    await lockGroups(tx, clusterId);
    const { id, name } = await requireGroup(tx, clusterId, order.group);
    if (!(await deleteGroup(tx, clusterId, id))) {
      const message = "the group has members or groups below it; move them elsewhere first";
      throw new WeftError("failed_precondition", message, { detail: "GROUP_IN_USE" });
    }
    await appendAudit(tx, { actor, action: "group.removed", object: `group/${id}`, clusterId, before: { name } });
  });
}

/** Where a node went. Null: no group. */
export interface Assignment {
  readonly nodeId: string;
  readonly before: string | null;
  readonly after: string | null;
}

/** Puts a node into a group and out of the one it was in; an empty `group` only takes it out. Repeating it changes nothing. */
export async function assignGroup(
  ctx: StoreContext,
  order: GroupOrder & { readonly node: string; readonly group: string },
): Promise<Assignment> {
  const { clusterId, actor } = order;
  return await ctx.sql.tx(async (tx) => {
    // A group that is being removed must not get a member.
    await lockGroups(tx, clusterId);
    const { id: nodeId } = await requireNode(tx, ctx.seal, clusterId, order.node);
    const after = await idOf(tx, clusterId, order.group);
    const before = await lockMember(tx, clusterId, nodeId);
    if (before === after) return { nodeId, before, after };
    await setMember(tx, { clusterId, nodeId, groupId: after, by: actor });
    const record = { actor, action: "group.assigned", object: `node/${nodeId}`, clusterId };
    await appendAudit(tx, { ...record, before: { groupId: before ?? "" }, after: { groupId: after ?? "" } });
    return { nodeId, before, after };
  });
}
