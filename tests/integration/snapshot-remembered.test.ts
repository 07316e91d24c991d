/** Views that remember what they were made of: what they give is what reading everything gives. Two replicas, one PostgreSQL. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Authority } from "../../control/domain/authority.ts";
import { ViewReader } from "../../control/domain/cluster-view.ts";
import { changeMembership, grantRole, revokeNode, withdrawRole } from "../../control/domain/node-changes.ts";
import { startRotation } from "../../control/domain/rotation.ts";
import { insertIdentity } from "../../control/store/identities.ts";
import { publishMeasurements } from "../../control/store/links.ts";
import type { Queryable, Sql, SqlParam } from "../../control/store/sql.ts";
import { WeftError } from "../../lib/errors.ts";
import { randomLabel, seededRandom } from "../../lib/random.ts";
import { type AddedNode, addNode, type ControlCluster } from "../harness/control-cluster.ts";
import { runs } from "../harness/counts.ts";
import { createPool } from "../harness/placed.ts";
import { startTwoReplicas, type TwoReplicas } from "../harness/two-replicas.ts";

let stage: TwoReplicas;
let cluster: ControlCluster;
let replica: ControlCluster;
let orgX: string;
let orgY: string;
let entryY: AddedNode;
let relay: AddedNode;
let egress: AddedNode;

beforeAll(async () => {
  stage = await startTwoReplicas();
  ({ cluster, replica, orgX, orgY, entryY, relay, egress } = stage);
});
afterAll(() => stage.stop());

describe("a view that remembers", () => {
  const bump = () => cluster.ctx.sql.query("update cluster set snapshot_version = snapshot_version + 1");
  const anew = async () =>
    await new ViewReader({ ...replica.ctx, authority: replica.authority }).read(cluster.clusterId);

  /** Any change of any of the long tables, by the functions that make them, on one replica or the other. */
  function changes(random: ReturnType<typeof seededRandom>) {
    const { clusterId } = cluster;
    const at = { clusterId, actor: "t" };
    const either = () => pick([cluster, replica]);
    const added: AddedNode[] = [];
    const poolIds: string[] = [];
    const pick = <T>(of: readonly T[]): T => of[Math.floor(random.float() * of.length)] as T;
    const some = () => pick([relay, egress, entryY, ...added]);
    const orgs = ["", orgX, orgY];
    let made = 0;
    const nextName = (): string => {
      made += 1;
      return `made-${made}`;
    };
    return [
      async () => added.push(await addNode(either(), nextName(), { roles: [pick(["relay", "egress"])] })),
      async () =>
        await grantRole(either().ctx, { ...at, node: some().id, role: "storage", organizationId: pick(orgs) }),
      async () =>
        await withdrawRole(either().ctx, { ...at, node: some().id, role: "storage", organizationId: pick(orgs) }),
      async () =>
        await changeMembership(either().ctx, { ...at, node: some().id, status: pick(["active", "disabled"]) }),
      async () => {
        const node = added.pop();
        if (node === undefined) return;
        const { ctx, trustDomain } = either();
        await revokeNode(ctx, { ...at, node: node.id, reason: "r", trustDomain });
      },
      async () => {
        const rttMs = Math.floor(random.float() * 100);
        const links = [{ fromNodeId: some().id, toNodeId: some().id, rttMs, measuredAtMs: 1 }];
        const health = pick(["online", "stale"] as const);
        const { sql } = either().ctx;
        await sql.tx((tx) => publishMeasurements(tx, clusterId, { links, nodes: [{ nodeId: some().id, health }] }));
        await bump();
      },
      async () => poolIds.push(await createPool(either(), orgX, nextName(), [egress.id])),
      async () => await insertClient(either(), orgX),
    ];
  }

  const refused = (thrown: unknown): void => expect(thrown).toBeInstanceOf(WeftError);

  async function insertClient({ ctx, clusterId }: ControlCluster, organizationId: string): Promise<void> {
    const id = `id-${randomLabel(ctx.random, 16)}`;
    const fields = {
      id,
      kind: "client",
      scope: clusterId,
      organizationId,
      name: id,
      keyHash: id,
      createdBy: "t",
    } as const;
    await ctx.sql.tx((tx) => insertIdentity(tx, ctx.seal, fields));
    await bump();
  }

  it("is what reading everything anew gives, after whatever changes by whichever replica", async () => {
    const reader = new ViewReader({ ...cluster.ctx, authority: cluster.authority });
    const random = seededRandom(11);
    const possible = changes(random);
    await reader.read(cluster.clusterId);
    const steps = runs(24, 400);
    let changed = 0;
    for (let step = 0; step < steps; step += 1) {
      const count = 1 + Math.floor(random.float() * 3);
      for (let each = 0; each < count; each += 1)
        await possible[Math.floor(random.float() * possible.length)]?.().then(() => {
          changed += 1;
        }, refused);
      expect(await reader.read(cluster.clusterId), `step ${step}`).toEqual(await anew());
    }
    expect(changed).toBeGreaterThan(steps);
  });

  it("keeps the objects of what has not changed", async () => {
    const reader = new ViewReader({ ...cluster.ctx, authority: cluster.authority });
    const before = (await reader.read(cluster.clusterId))?.view;
    await bump();
    const same = (await reader.read(cluster.clusterId))?.view;
    for (const part of ["nodes", "links", "pools", "resources", "listeners", "clients", "bundle"] as const) {
      expect(same?.[part] === before?.[part], part).toBe(true);
    }
    const node = { clusterId: cluster.clusterId, actor: "t", node: relay.id };
    await changeMembership(cluster.ctx, { ...node, status: "disabled" });
    const after = (await reader.read(cluster.clusterId))?.view;
    await changeMembership(cluster.ctx, { ...node, status: "active" });
    const others = after?.nodes.filter(({ nodeId }) => nodeId !== relay.id) ?? [];
    expect(others.length).toBeGreaterThan(2);
    expect(others.every((each) => before?.nodes.includes(each))).toBe(true);
  });

  it("LAW-C1 finds any edit of a row it remembers at the next reading, and goes on once the row is right again", async () => {
    const { sql } = cluster.ctx;
    const victim = await addNode(cluster, "victim", { roles: ["relay"] });
    const reader = new ViewReader({ ...cluster.ctx, authority: cluster.authority });
    const right = await reader.read(cluster.clusterId);
    const edits = [
      ["node", "id", "name = name || 'x'"],
      ["node", "id", "trust_level = trust_level + 1"],
      ["node", "id", "mac = sha256(mac)"],
      ["membership", "node_id", "mac = sha256(mac)"],
      ["role_assignment", "node_id", "assigned_by = assigned_by || 'x'"],
    ] as const;
    for (const [table, key, edit] of edits) {
      await sql.query(`create table was as select * from ${table} where ${key} = $1`, [victim.id]);
      await sql.query(`update ${table} set ${edit} where ${key} = $1`, [victim.id]);
      for (let time = 0; time < 2; time += 1) {
        await expect(reader.read(cluster.clusterId), `${table}: ${edit}`).rejects.toMatchObject({
          detail: "TRUST_ROW_UNAUTHENTIC",
        });
      }
      await sql.query(
        `update ${table} t set (${edit.split(" ")[0]}) = (select ${edit.split(" ")[0]} from was) where ${key} = $1`,
        [victim.id],
      );
      await sql.query("drop table was");
      expect(await reader.read(cluster.clusterId)).toEqual(right);
    }
    // Gone is gone, also for whoever remembers it.
    await sql.query("delete from role_assignment where node_id = $1", [victim.id]);
    expect(
      (await reader.read(cluster.clusterId))?.view.nodes.find(({ nodeId }) => nodeId === victim.id)?.roles,
    ).toEqual([]);
    expect(await reader.read(cluster.clusterId)).toEqual(await anew());
  });
});

/** A store in which `fn` happens right after the first statement that matches. */
function interrupted(inner: Sql, pattern: RegExp, fn: () => Promise<unknown>): Sql {
  let waits = true;
  const asked = (q: Queryable): Queryable["query"] =>
    async function query<Row extends object>(text: string, params?: readonly SqlParam[]): Promise<Row[]> {
      const rows = await q.query<Row>(text, params);
      if (waits && pattern.test(text)) {
        waits = false;
        await fn();
      }
      return rows;
    };
  const tx: Sql["tx"] = (work, options) =>
    inner.tx((own) => work({ query: asked(own), afterCommit: (hint) => own.afterCommit(hint) }), options);
  return Object.assign(Object.create(inner) as Sql, { query: asked(inner), tx });
}

it("a trust bundle is of one moment, also when a rotation begins while it is read", async () => {
  const { clusterId, ctx } = cluster;
  const before = await cluster.authority.bundle(clusterId);
  const order = { clusterId, kind: "pool", actor: "t", manual: true } as const;
  const begin = () => startRotation({ ...replica.ctx, authority: replica.authority }, order);
  const during = await new Authority({ ...ctx, sql: interrupted(ctx.sql, /from cluster\b/, begin) }).bundle(clusterId);
  const after = await cluster.authority.bundle(clusterId);
  expect(after.message.version).toBe(before.message.version + 1n);
  const same = during.message.version === before.message.version ? before : after;
  expect(Buffer.from(during.bytes).equals(same.bytes)).toBe(true);
});
