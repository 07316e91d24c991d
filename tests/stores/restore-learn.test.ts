/** REVIEW 16: what a restored store learns back, from whom, and which certificates it takes back. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { IssuedLeaf } from "../../certs/ca.ts";
import type { Peer } from "../../certs/judge.ts";
import { generateEd25519, generateP256 } from "../../certs/keys.ts";
import { Allowlist } from "../../control/domain/allowlist.ts";
import { issueAndRecord } from "../../control/domain/issue.ts";
import { revokeNode } from "../../control/domain/node-changes.ts";
import { gapOf } from "../../control/domain/restore-gap.ts";
import { RestoreHold } from "../../control/domain/restore-hold.ts";
import { learnFrom } from "../../control/domain/restore-learn.ts";
import { restoreStore } from "../../control/domain/store-restore.ts";
import { listAlerts } from "../../control/store/alerts.ts";
import { writeBackupFile } from "../../control/store/backup-file.ts";
import { getNode } from "../../control/store/nodes.ts";
import { newestRestore } from "../../control/store/restores.ts";
import { listRevocations } from "../../control/store/revocations.ts";
import type { Sql } from "../../control/store/sql.ts";
import { signFeed } from "../../fabric/feed.ts";
import { RevocationFeedSchema, type SignedFeed } from "../../gen/weft/fabric/v1/feed_pb.ts";
import { limits } from "../../lib/limits.ts";
import {
  type AddedNode,
  addNode,
  type ControlCluster,
  controlCluster,
  openCluster,
} from "../harness/control-cluster.ts";
import { migratedPglite } from "../harness/shared-stores.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-learn-"));
let sql: Sql;
let before: ControlCluster;
let stays: AddedNode;
let thief: AddedNode;
let oldFeed: SignedFeed;
let files = 0;

beforeAll(async () => {
  sql = await migratedPglite();
});
afterAll(async () => {
  await sql.close();
  rmSync(folder, { recursive: true, force: true });
});

async function issue(
  cluster: ControlCluster,
  node: AddedNode,
): Promise<{ readonly leaf: IssuedLeaf; readonly peer: Peer }> {
  const keys = generateP256();
  const { ctx, authority, trustDomain, clusterId } = cluster;
  const order = { kind: "node", clusterId, subjectId: node.id, spkiDer: keys.spkiDer, status: "current" } as const;
  const leaf = await ctx.sql.tx((tx) => issueAndRecord(tx, { ctx, authority, trustDomain }, order));
  return { leaf, peer: { ...leaf, spkiDer: keys.spkiDer } };
}

/** A backup of now; `meanwhile` happens; the backup is restored, in place of the store or after its loss. */
async function restored(meanwhile: () => Promise<void>, { replace = false } = {}): Promise<ControlCluster> {
  files += 1;
  const file = join(folder, `backup-${files}`);
  const { ctx } = before;
  await writeBackupFile(file, sql, ctx.seal);
  await meanwhile();
  if (!replace) await sql.script("drop schema public cascade; create schema public");
  await restoreStore({ ...ctx }, { file, replace, dryRun: false });
  return await openCluster(ctx, before.clusterId, before.operator.id?.id ?? "");
}

beforeEach(async () => {
  await sql.script("drop schema public cascade; create schema public");
  before = await controlCluster(sql);
  stays = await addNode(before, "relay-1", { roles: ["relay"] });
  thief = await addNode(before, "relay-2", { roles: ["relay"] });
});

const revokeThief = async (): Promise<void> => {
  const { ctx, clusterId, trustDomain } = before;
  await revokeNode(ctx, { clusterId, node: thief.id, actor: before.operator.spiffe, reason: "stolen", trustDomain });
  oldFeed = (await before.feeds.current(clusterId)).feed;
};

const tell = (cluster: ControlCluster, nodeId: string, feeds: readonly SignedFeed[]): Promise<number> =>
  learnFrom(
    { ...cluster.ctx, authority: cluster.authority, hold: cluster.hold },
    {
      clusterId: cluster.clusterId,
      nodeId,
      feeds,
      auditSeq: 40,
      auditHash: null,
      snapshotEpoch: 1,
      snapshotVersion: 9,
    },
  );

const statements: string[] = [];

/** The store, writing down what is asked of it outside of transactions. */
const counting = (store: Sql): Sql =>
  new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (name === "query") statements.push(String(args[0]));
        return Reflect.apply(value, target, args) as unknown;
      };
    },
  });

describe("REVIEW-16 a restored store", () => {
  it("revokes again what its own signature says was revoked, with the leaves given out meanwhile", async () => {
    const cluster = await restored(revokeThief);
    const { ctx, clusterId, hold } = cluster;
    expect((await getNode(sql, clusterId, thief.id))?.identityStatus).toBe("active");
    expect(await hold.holds()).toBe(true);
    expect(await hold.awaits(clusterId, stays.id)).toBe(true);
    const { peer } = await issue(cluster, thief);
    expect(await tell(cluster, stays.id, [oldFeed])).toBeGreaterThan(0);
    expect((await getNode(sql, clusterId, thief.id))?.identityStatus).toBe("revoked");
    const allowlist = new Allowlist(ctx);
    expect(await allowlist.judge(peer.issuerKeyId, peer.serialHex)).toMatchObject({ detail: "CERTIFICATE_REVOKED" });
    allowlist.close();
    const revoked = await listRevocations(sql, ctx.seal, clusterId);
    expect(revoked.map(({ keyHash }) => keyHash)).toEqual(expect.arrayContaining([thief.keyHash, peer.keyHash]));
    // The thief is waited for no more, and everybody else has told.
    expect(await hold.awaits(clusterId, stays.id)).toBe(false);
    expect(await hold.holds()).toBe(false);
    expect(await newestRestore(sql)).toMatchObject({ settledHow: "answered" });
    expect(await tell(cluster, stays.id, [oldFeed])).toBe(0);
  });

  it("forgets no revocation that the store it replaces can still tell, and no token counts any more", async () => {
    await sql.query(
      `insert into join_token (id, cluster_id, secret_hash, expires_at_ms, max_uses, created_by)
       values ('tk-1', $1, 'aa', now_ms() + 60000, 1, 'test')`,
      [before.clusterId],
    );
    const cluster = await restored(revokeThief, { replace: true });
    expect((await getNode(sql, cluster.clusterId, thief.id))?.identityStatus).toBe("revoked");
    expect(await tell(cluster, stays.id, [oldFeed])).toBe(0);
    expect(await sql.query("select id from join_token where revoked_at_ms is null")).toEqual([]);
  });

  it("believes no feed that it did not sign itself", async () => {
    const cluster = await restored(revokeThief);
    const keys = generateEd25519();
    const forged = signFeed(
      { keyId: oldFeed.keyId, privateKey: keys.privateKey, statement: oldFeed.signingKey } as Parameters<
        typeof signFeed
      >[0],
      fromBinary(RevocationFeedSchema, oldFeed.payload),
    );
    const altered = {
      ...oldFeed,
      payload: oldFeed.payload.map((byte, at) => (at === oldFeed.payload.length - 1 ? byte ^ 1 : byte)),
    };
    expect(await tell(cluster, stays.id, [forged, altered])).toBe(0);
    expect((await getNode(sql, cluster.clusterId, thief.id))?.identityStatus).toBe("active");
  });

  it("holds nodes back until all have told, or for a bounded time, and says who was silent", async () => {
    const cluster = await restored(async () => {});
    await tell(cluster, stays.id, []);
    expect(await cluster.hold.holds()).toBe(true);
    await sql.query("update store_restore set restored_at_ms = restored_at_ms - $1::bigint", [
      limits.restoreAnswersWaitMs,
    ]);
    cluster.hold.forget();
    expect(await cluster.hold.holds()).toBe(false);
    expect(await newestRestore(sql)).toMatchObject({ settledHow: "waited" });
    const [alert] = await listAlerts(sql, cluster.clusterId, { all: false, limit: 10 });
    expect(alert).toMatchObject({ kind: "restore-gap", detail: expect.stringContaining("relay-2") });
    // What comes late counts as much.
    expect(await cluster.hold.awaits(cluster.clusterId, thief.id)).toBe(true);
  });

  it("takes back the newest leaf it forgot of a node it knows, and none of a stranger", async () => {
    let older: Peer | undefined;
    let newer: { readonly leaf: IssuedLeaf; readonly peer: Peer } | undefined;
    let stranger: Peer | undefined;
    const cluster = await restored(async () => {
      older = (await issue(before, stays)).peer;
      newer = await issue(before, stays);
      const late = await addNode(before, "late-1", { roles: ["relay"] });
      stranger = (await issue(before, late)).peer;
    });
    if (older === undefined || newer === undefined || stranger === undefined) throw new Error("leaves were issued");
    const { peer, leaf } = newer;
    const ahead = { ...peer, notBeforeMs: peer.notBeforeMs + 1_000 };
    expect(await cluster.hold.adopt(ahead, leaf.certificateDer)).toBe(true);
    expect(await cluster.hold.adopt(older, leaf.certificateDer)).toBe(false);
    expect((await getNode(sql, cluster.clusterId, stays.id))?.keyHash).toBe(peer.keyHash);
    expect(await cluster.hold.adopt(stranger, leaf.certificateDer)).toBe(false);
    const [alert] = await listAlerts(sql, cluster.clusterId, { all: false, limit: 10 });
    expect(alert?.detail).toContain(stranger.id.id);
    // Issued long before the backup: the store would know it if it had ever counted.
    const ancient = { ...peer, serialHex: "77", notBeforeMs: peer.notBeforeMs - 3_600_000 };
    expect(await cluster.hold.adopt(ancient, leaf.certificateDer)).toBe(false);
  });

  it("asks the store once about a member that has told, however often it comes and whoever tells after it", async () => {
    const { ctx, clusterId } = await restored(async () => undefined);
    const fresh = new RestoreHold({ ...ctx, sql: counting(ctx.sql) });
    for (const node of [stays, thief]) await tell({ ...before, ctx, hold: fresh }, node.id, []);
    expect(await fresh.holds()).toBe(false);
    statements.length = 0;
    for (const node of [stays, thief, stays, thief]) expect(await fresh.awaits(clusterId, node.id)).toBe(false);
    expect(statements).toEqual([]);
    // A replica that heard of it from the store only.
    const other = new RestoreHold({ ...ctx, sql: counting(ctx.sql) });
    for (const node of [stays, thief, stays, thief]) expect(await other.awaits(clusterId, node.id)).toBe(false);
    expect(statements.filter((text) => text.includes("from store_witness"))).toHaveLength(2);
    expect(statements.filter((text) => text.includes("from store_restore"))).toHaveLength(1);
  });

  it("asks nothing of anybody where nothing was restored", async () => {
    const hold = new RestoreHold(before.ctx);
    expect([await hold.holds(), await hold.awaits(before.clusterId, stays.id)]).toEqual([false, false]);
    expect(await tell(before, stays.id, [])).toBe(0);
  });
});

describe("the gap of a restore", () => {
  const backup = { clusterId: "cl-1", snapshotEpoch: 2, snapshotVersion: 10, feedEpoch: 2, feedSeq: 5 };
  const witness = {
    clusterId: "cl-1",
    nodeId: "nd-1",
    kind: "returned",
    auditSeq: 0,
    snapshotEpoch: 0,
    snapshotVersion: 0,
    feedEpoch: 0,
    feedSeq: 0,
    learnedCount: 0,
    seenAtMs: 0,
  } as const;

  it("is the most that any node has seen beyond the backup, and nothing from before it", () => {
    const restore = { backupAuditSeq: 100, positions: [backup] };
    const seen = [
      { ...witness, auditSeq: 130, snapshotEpoch: 2, snapshotVersion: 14, feedEpoch: 2, feedSeq: 5 },
      { ...witness, auditSeq: 90, snapshotEpoch: 1, snapshotVersion: 99, feedEpoch: 2, feedSeq: 7, learnedCount: 3 },
      { ...witness, kind: "unknown", nodeId: "nd-9" } as const,
    ];
    expect(gapOf(restore, seen, ["relay-3"])).toEqual({
      auditRecords: 30,
      snapshotVersions: 4,
      feedPositions: 2,
      revocationsLearned: 3,
      unknownNodeIds: ["nd-9"],
      silentNames: ["relay-3"],
    });
    expect(gapOf(restore, [], [])).toMatchObject({ auditRecords: 0, snapshotVersions: 0, feedPositions: 0 });
  });
});
