/** The primary is lost and a standby promoted, again and again, while replicas issue, revoke, fence and record. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { storeStatus } from "../../control/domain/store-status.ts";
import { appendAudit } from "../../control/store/audit.ts";
import { recordBeats } from "../../control/store/beats.ts";
import { replaceProofs } from "../../control/store/link-proofs.ts";
import { recordSamples } from "../../control/store/links.ts";
import { openPostgres } from "../../control/store/pg.ts";
import type { Sql } from "../../control/store/sql.ts";
import { meetPrimary } from "../../control/store/terms.ts";
import { WeftError } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { addNode, type ControlCluster, controlCluster, openCluster, storeContext } from "../harness/control-cluster.ts";
import { runs } from "../harness/counts.ts";
import { eventually } from "../harness/eventually.ts";
import { ReplicatedPostgres } from "../harness/replicated-postgres.ts";
import { checkTerms } from "../harness/term-checker.ts";
import { type Kind, Ledger } from "../harness/told.ts";

const FAILOVERS = runs(3, 100);
const kinds: readonly Kind[] = ["fence", "serial", "revocation"];
const opened: Sql[] = [];
let pair: ReplicatedPostgres;
let replicas: readonly ControlCluster[];

beforeAll(async () => {
  pair = await ReplicatedPostgres.start();
  const first = await controlCluster(open());
  const operator = first.operator.id?.id ?? "";
  const second = await openCluster(storeContext(open()), first.clusterId, operator);
  replicas = [first, second];
  for (const { ctx } of replicas) await ctx.sql.onPrimary(async (tx, at) => void (await meetPrimary(tx, ctx, at)));
});
afterAll(async () => {
  for (const sql of opened) await sql.close();
  await pair.stop();
});

function open(): Sql {
  const sql = openPostgres({ url: pair.url, log: silentLog, statementTimeoutMs: 500 });
  opened.push(sql);
  return sql;
}

/** Changes things at every replica until told to stop; only "not now" may be said to it. */
function load(ledger: Ledger, refusals: Map<string, number>): () => Promise<void> {
  let stopping = false;
  const worker = async (replica: ControlCluster, start: number): Promise<void> => {
    for (let at = start; !stopping; at += 1) {
      try {
        await ledger.change(replica, kinds[at % kinds.length] ?? "fence");
      } catch (thrown) {
        if (!(thrown instanceof WeftError) || thrown.reason !== "unavailable") throw thrown;
        refusals.set(thrown.detail, (refusals.get(thrown.detail) ?? 0) + 1);
      }
    }
  };
  const workers = replicas.flatMap((replica) => kinds.map((_, at) => worker(replica, at)));
  return async () => {
    stopping = true;
    await Promise.all(workers);
  };
}

it("names its primary, the timeline and who is in sync", async () => {
  const [replica] = replicas;
  if (replica === undefined) throw new Error("no replica");
  expect(await storeStatus(replica.ctx.sql)).toMatchObject({
    primary: true,
    timeline: 1,
    members: [{ state: "streaming", inSync: true, lagBytes: expect.any(Number) }],
  });
});

it("LAW-C4 M-L6 a commit whose standby is waited for in vain counts as unknown, however the wait ends", async () => {
  const ledger = new Ledger();
  const [replica] = replicas;
  if (replica === undefined) throw new Error("no replica");
  await ledger.change(replica, "serial");
  await pair.stopStandby();
  for (const end of ["pg_cancel_backend", "pg_terminate_backend"]) {
    const change = ledger.change(replica, "serial");
    const ended = expect(change).rejects.toMatchObject({ reason: "unavailable", detail: "STORE_COMMIT_UNKNOWN" });
    await eventually(
      async () =>
        (await pair.primary(`select ${end}(pid) from pg_stat_activity where wait_event = 'SyncRep'`)).length > 0,
    );
    await ended;
  }
  // Nothing is told of as made while no standby has it; and nobody waits for ever.
  await expect(ledger.change(replica, "revocation")).rejects.toMatchObject({ reason: "unavailable" });
  expect(ledger.count).toBe(1);
  await pair.startStandby();
  await eventually(() => ledger.change(replica, "revocation").then(() => true));
  expect(await ledger.missingFrom(replica.ctx.sql)).toEqual([]);
}, 60_000);

it("M-L6 what nodes only report waits for no standby", async () => {
  const [replica] = replicas;
  if (replica === undefined) throw new Error("no replica");
  const nodes = [await addNode(replica, "relay-1"), await addNode(replica, "relay-2")];
  const [from = "", to = ""] = nodes.map(({ id }) => id);
  const { clusterId, ctx } = replica;
  // Put in past the services, which would have recorded their serials.
  for (const { id, serialHex: serial } of nodes)
    await ctx.sql.tx((tx) =>
      appendAudit(tx, { actor: "test", action: "added", object: `node/${id}`, after: { serial } }),
    );
  await pair.stopStandby();
  const beat = {
    ...{
      clusterId,
      nodeId: from,
      bootId: "b",
      seq: 1,
      sentAtMs: Date.now(),
      halfTripMs: 0,
      driftPpm: null,
      load: 0,
      draining: false,
    },
    ...{ snapshotEpoch: 1, snapshotVersion: 1, feedEpoch: 1, feedSeq: 0, capabilities: [], version: "", listeners: [] },
    ...{ operatorAddress: "", auditSeq: 0, auditHash: null },
  };
  expect(await recordBeats(ctx.sql, [beat])).toHaveLength(1);
  const link = { fromNodeId: from, toNodeId: to, measuredAtMs: Date.now(), rttMs: 1 };
  await recordSamples(ctx.sql, clusterId, [link]);
  const proof = { fromNodeId: from, toNodeId: to, state: "up", reverse: false, lastSuccessAtMs: 1 } as const;
  await replaceProofs(ctx.sql, clusterId, from, [{ ...proof, lastFailure: "", lastFailureAtMs: 0 }]);
  expect(await pair.primary("select from pg_stat_activity where wait_event = 'SyncRep'")).toEqual([]);
  await pair.startStandby();
  await eventually(() => new Ledger().change(replica, "revocation").then(() => true));
}, 60_000);

it(
  "M-L6 LAW-F2 no fence, serial, revocation or audit record that a caller was told of goes back",
  async () => {
    const ledger = new Ledger();
    const refusals = new Map<string, number>();
    const stop = load(ledger, refusals);
    const more = async (count: number): Promise<void> => {
      const target = ledger.count + count;
      await eventually(() => ledger.count >= target, { withinMs: 60_000, what: "changes after a failover" });
    };
    try {
      await more(30);
      for (let round = 0; round < FAILOVERS; round += 1) {
        await pair.failover();
        await pair.rebuild();
        await more(30);
      }
    } finally {
      await stop();
    }
    const [{ ctx } = { ctx: undefined }] = replicas;
    if (ctx === undefined) throw new Error("no replica");
    const findings = await checkTerms(ctx.sql, ctx.seal);
    const said = [...refusals].map(([detail, count]) => `${detail} ${count}`).join(", ");
    console.info(
      `${FAILOVERS} failovers: ${ledger.count} changes told, refused: ${said}; ${findings.records} records, ${findings.terms} terms`,
    );
    expect(await ledger.missingFrom(ctx.sql)).toEqual([]);
    expect(findings.wrong).toEqual([]);
    expect(findings.terms).toBe(FAILOVERS + 1);
    expect(refusals.size).toBeGreaterThan(0);
  },
  60_000 + FAILOVERS * 30_000,
);
