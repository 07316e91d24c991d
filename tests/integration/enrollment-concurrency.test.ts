import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createWorld,
  enrollRequest,
  freshHost,
  Replica,
  strangerOf,
  type World,
} from "../../conformance/stores/plane.ts";
import { openPostgres } from "../../control/store/pg.ts";
import type { Sql } from "../../control/store/sql.ts";
import { WeftError } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { runs } from "../harness/counts.ts";
import { type PostgresServer, startPostgres } from "../harness/postgres.ts";

describe("two replicas on one PostgreSQL", () => {
  let server: PostgresServer;
  let pools: Sql[];
  let world: World;
  let replicas: Replica[];

  beforeAll(async () => {
    server = await startPostgres();
    const url = await server.database();
    pools = [openPostgres({ url, log: silentLog }), openPostgres({ url, log: silentLog })];
    const [first, second] = pools as [Sql, Sql];
    world = await createWorld(first);
    replicas = [world.replica, new Replica(second, world.sealingKey)];
  });
  afterAll(async () => {
    for (const sql of pools) await sql.close();
    await server.stop();
  });

  const strangers = () => replicas.map((replica) => replica.as(strangerOf(world.clusterId)).enrollment);

  it("LAW-I3 THR-E1 fifty concurrent uses of a single-use token with fifty keys make exactly one request", async () => {
    for (let round = 0, rounds = runs(3, 200); round < rounds; round += 1) {
      const { text, token } = await world.operator.tokens.createToken({ clusterId: world.clusterId });
      const hosts = await Promise.all(Array.from({ length: 50 }, () => freshHost()));
      const doors = strangers();
      const outcomes = await Promise.allSettled(
        hosts.map((host, at) => doors[at % 2]?.enroll(enrollRequest(text, host))),
      );
      expect(outcomes.filter((each) => each.status === "fulfilled")).toHaveLength(1);
      for (const each of outcomes) {
        if (each.status !== "rejected") continue;
        expect(each.reason).toBeInstanceOf(WeftError);
        expect(each.reason).toMatchObject({ reason: "permission_denied", detail: "JOIN_TOKEN_REFUSED" });
      }
      const rows = await world.sql.query("select 1 from join_request where token_id = $1", [token?.id ?? ""]);
      expect(rows).toHaveLength(1);
    }
  });

  it("LAW-I3 a token for seven uses makes seven requests out of thirty concurrent ones", async () => {
    const { text, token } = await world.operator.tokens.createToken({ clusterId: world.clusterId, maxUses: 7 });
    const hosts = await Promise.all(Array.from({ length: 30 }, () => freshHost()));
    const doors = strangers();
    await Promise.allSettled(hosts.map((host, at) => doors[at % 2]?.enroll(enrollRequest(text, host))));
    const rows = await world.sql.query("select 1 from join_request where token_id = $1", [token?.id ?? ""]);
    expect(rows).toHaveLength(7);
    const [used] = await world.sql.query("select used_count from join_token where id = $1", [token?.id ?? ""]);
    expect(used).toEqual({ used_count: 7 });
  });

  it("gives one host one request, however many replicas it asks at once", async () => {
    const { text } = await world.operator.tokens.createToken({ clusterId: world.clusterId, maxUses: 5 });
    const host = await freshHost();
    const doors = strangers();
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, at) => doors[at % 2]?.enroll(enrollRequest(text, host))),
    );
    expect(new Set(answers.map((each) => each?.requestId)).size).toBe(1);
  });

  it("THR-E10 approvals on two replicas have one outcome, one node and one serial", async () => {
    const { text } = await world.operator.tokens.createToken({ clusterId: world.clusterId });
    const host = await freshHost();
    const { requestId } = await world.stranger.enrollment.enroll(enrollRequest(text, host));
    const { request } = await world.operator.requests.getRequest({ clusterId: world.clusterId, requestId });
    const { keyHash = new Uint8Array(), addresses = [], requestedRoles: roles = [] } = request ?? {};
    const order = { clusterId: world.clusterId, requestId, keyHash, addresses, roles, name: "edge-1" };
    const operators = replicas.map((replica) => replica.as(world.operatorCaller).requests);
    const outcomes = await Promise.allSettled([0, 1, 0, 1, 0, 1].map((at) => operators[at]?.approveRequest(order)));
    expect(outcomes.filter((each) => each.status === "fulfilled")).toHaveLength(1);
    expect(await world.sql.query("select 1 from node where key_hash = $1", [host.keys.keyHash])).toHaveLength(1);
    expect(await world.sql.query("select 1 from certificate where key_hash = $1", [host.keys.keyHash])).toHaveLength(1);
  });

  it("LAW-C5 changes nothing without the store, says so, and goes on when it is back", async () => {
    const { text } = await world.operator.tokens.createToken({ clusterId: world.clusterId });
    const host = await freshHost();
    const restore = await server.interrupt();
    const refused = world.stranger.enrollment.enroll(enrollRequest(text, host));
    await expect(refused).rejects.toMatchObject({ reason: "unavailable", retry: "later" });
    const { allowlist } = new Replica(world.sql, world.sealingKey).deps;
    await expect(allowlist.judge("00", "00")).rejects.toMatchObject({ reason: "unavailable" });
    await restore();
    const { requestId } = await world.stranger.enrollment.enroll(enrollRequest(text, host));
    expect(requestId).toMatch(/^[a-z2-7]{26}$/);
  });
});

describe("opening a PostgreSQL", () => {
  it("THR-P1 refuses a remote server without verified TLS, and nonsense", () => {
    const open = (url: string, caPem?: string) => () =>
      openPostgres({ url, log: silentLog, ...(caPem === undefined ? {} : { caPem }) });
    expect(open("postgres://u:p@db.example.com/weft")).toThrow(/verified/);
    expect(open("postgres://u:p@db.example.com/weft?sslmode=require", "pem")).toThrow(/verified/);
    expect(open("postgres://u:p@127.0.0.1.example.com/weft")).toThrow(/verified/);
    expect(open("mysql://localhost/weft")).toThrow(/connection string/);
    expect(open("nonsense")).toThrow(/connection string/);
  });
});
