/** `weft group`: nodes as a tree, for people. Where a node hangs changes nothing about what it may do. */

import type { Command } from "commander";
import { type Group, GroupService } from "../../gen/weft/admin/v1/group_pb.ts";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { groupExamples, print, table, when } from "../output.ts";
import { action, findNode, type GlobalOptions, namer, pick, type Session, withSession } from "../session.ts";

interface UnderOption extends GlobalOptions {
  readonly under?: string;
}

async function groupsOf(session: Session): Promise<Group[]> {
  return (await session.client(GroupService).listGroups({ clusterId: await session.clusterId() })).groups;
}

/** The id of a group by id or name; empty for the empty text. */
async function groupId(session: Session, wanted: string): Promise<string> {
  return wanted === "" ? "" : pick(await groupsOf(session), wanted, "group").id;
}

/** A group with how deep it hangs, parents before what is below them. */
interface Branch {
  readonly group: Group;
  readonly depth: number;
}

/** The tree from its roots down, by name; groups in no root's tree (there should be none) stand at the end. */
function branches(groups: readonly Group[]): readonly Branch[] {
  const ids = new Set(groups.map(({ id }) => id));
  const below = Map.groupBy(groups, ({ parentId }) => (ids.has(parentId) ? parentId : ""));
  const seen = new Set<string>();
  const walk = (parentId: string, depth: number): Branch[] =>
    (below.get(parentId) ?? []).flatMap((group) => {
      if (seen.has(group.id)) return [];
      seen.add(group.id);
      return [{ group, depth }, ...walk(group.id, depth + 1)];
    });
  const tree = walk("", 0);
  return [...tree, ...groups.filter(({ id }) => !seen.has(id)).map((group) => ({ group, depth: 0 }))];
}

async function listGroups(options: GlobalOptions): Promise<void> {
  const { groups, nodes } = await withSession(options, async (session) => ({
    groups: await groupsOf(session),
    nodes: (await session.client(NodeAdminService).listNodes({ clusterId: await session.clusterId() })).nodes,
  }));
  const nodeName = namer(nodes);
  print(options, { groups }, () =>
    table(
      ["GROUP", "ID", "NODES", "CREATED"],
      branches(groups).map(({ group, depth }) => [
        `${"  ".repeat(depth)}${group.name}`,
        group.id,
        group.nodeIds.map(nodeName).join(","),
        when(group.createdAtMs),
      ]),
    ),
  );
}

async function createGroup(options: UnderOption, name: string): Promise<void> {
  const answer = await withSession(options, async (session) =>
    session.client(GroupService).createGroup({
      clusterId: await session.clusterId(),
      name,
      parentId: await groupId(session, options.under ?? ""),
    }),
  );
  print(options, answer, () => `group ${answer.group?.name} has id ${answer.group?.id}`);
}

async function moveGroup(options: UnderOption, wanted: string): Promise<void> {
  const answer = await withSession(options, async (session) =>
    session.client(GroupService).moveGroup({
      clusterId: await session.clusterId(),
      groupId: await groupId(session, wanted),
      parentId: await groupId(session, options.under ?? ""),
    }),
  );
  print(
    options,
    answer,
    () => `group ${wanted} is ${options.under === undefined ? "a root" : `under ${options.under}`}`,
  );
}

async function assignNode(options: GlobalOptions, node: string, group: string | undefined): Promise<void> {
  const answer = await withSession(options, async (session) =>
    session.client(GroupService).assignGroup({
      clusterId: await session.clusterId(),
      nodeId: (await findNode(session, node)).id,
      groupId: await groupId(session, group ?? ""),
    }),
  );
  print(options, answer, () => `${node} is in ${group === undefined ? "no group" : `group ${group}`}`);
}

export function addGroupCommands(program: Command): void {
  const group = program
    .command("group")
    .description("groups of nodes: a tree for people, which grants nothing")
    .addHelpText(
      "after",
      groupExamples("weft group list", "weft group create rack-1 --under berlin", "weft group assign relay-1 rack-1"),
    );
  group
    .command("create <name>")
    .description("create a group")
    .option("--under <group>", "the group above it (default: none)")
    .addHelpText("after", "\nExample:\n  weft group create rack-1 --under berlin")
    .action(action(createGroup));
  group
    .command("list")
    .description("show the tree and who is in which group")
    .addHelpText("after", "\nExample:\n  weft group list")
    .action(action(listGroups));
  group
    .command("move <group>")
    .description("hang a group, with everything below it, under another one")
    .option("--under <group>", "the group above it (default: none, it becomes a root)")
    .addHelpText("after", "\nExample:\n  weft group move rack-1 --under hamburg")
    .action(action(moveGroup));
  group
    .command("remove <group>")
    .description("remove a group that has neither members nor groups below it")
    .addHelpText("after", "\nExample:\n  weft group remove rack-1")
    .action(
      action(async (options, wanted: string) => {
        await withSession(options, async (session) =>
          session
            .client(GroupService)
            .removeGroup({ clusterId: await session.clusterId(), groupId: await groupId(session, wanted) }),
        );
        print(options, { removed: wanted }, () => `group ${wanted} is removed`);
      }),
    );
  group
    .command("assign <node> [group]")
    .description("put a node into a group, out of the one it was in; without a group, out of all")
    .addHelpText("after", "\nExample:\n  weft group assign relay-1 rack-1")
    .action(action(assignNode));
}
