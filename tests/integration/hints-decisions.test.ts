/**
 * LAW-C4 LAW-I3: whatever Redis is or says, replicas decide the same. One script of decisions, under every kind of Redis: used
 * tokens stay used, revoked operators are refused everywhere, nothing is decided twice.
 */

import { connect, createServer, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeCsr } from "../../certs/csr.ts";
import { generateP256 } from "../../certs/keys.ts";
import {
  createWorld,
  enrollRequest,
  freshHost,
  Replica,
  strangerOf,
  type World,
} from "../../conformance/stores/plane.ts";
import { redisHints } from "../../control/hints/redis.ts";
import type { Sql } from "../../control/store/sql.ts";
import { IdentityKind } from "../../gen/weft/admin/v1/identity_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { eventually } from "../harness/eventually.ts";
import { requirePeer } from "../harness/peers.ts";
import { type RedisServer, startRedis } from "../harness/redis.ts";
import { migratedPglite } from "../harness/shared-stores.ts";

const peer = requirePeer("redis", "decisions whatever Redis says");

/** A Redis for one script, and what is done to it between any two decisions. */
interface Weather {
  readonly url: string;
  readonly between: () => Promise<void>;
  readonly end: () => Promise<void>;
}

const nothing = async (): Promise<void> => undefined;

/** Anything that listens and answers as it likes. */
async function impostor(answer: (socket: Socket) => void): Promise<Weather> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("data", () => answer(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const end = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { url: `redis://127.0.0.1:${address.port}`, between: nothing, end };
}

/** One command to a real server, as plain RESP. */
function command(server: RedisServer, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, "127.0.0.1", () => socket.write(`${text}\r\n`));
    socket.once("data", () => {
      socket.destroy();
      resolve();
    });
    socket.once("error", reject);
  });
}

async function real(between: (server: RedisServer) => Promise<void>, before = ""): Promise<Weather> {
  const server = await startRedis(peer.path);
  if (before !== "") await command(server, before);
  const end = async (): Promise<void> => {
    server.signal("SIGCONT");
    await server.stop();
  };
  return { url: server.url, between: () => between(server), end };
}

const flood = "*3\r\n$7\r\nmessage\r\n$13\r\nweft:hints:v1\r\n$16\r\ncertificates:all\r\n".repeat(1_000);

const weathers: Readonly<Record<string, () => Promise<Weather>>> = {
  absent: async () => ({ url: "redis://127.0.0.1:1", between: nothing, end: nothing }),
  "answering with wrong types": () => impostor((socket) => void socket.write(":1\r\n*-1\r\n$-1\r\n%1\r\n+OK\r\n_\r\n")),
  "answering with errors": () => impostor((socket) => void socket.write("-NOPERM no\r\n".repeat(5))),
  "answering without end": () => impostor((socket) => void socket.write(`$900000000\r\n${"x".repeat(4_000_000)}`)),
  "flooding with hints": () => impostor((socket) => void socket.write(flood)),
  silent: () => impostor(() => undefined),
};

const realWeathers: Readonly<Record<string, () => Promise<Weather>>> = {
  well: () => real(nothing),
  "flushed all the time": () => real((server) => command(server, "FLUSHALL")),
  "evicting everything": () =>
    real((server) => command(server, "PUBLISH weft:hints:v1 certificates:all"), "CONFIG SET maxmemory 1"),
  "failing over": () => real(async (server) => await (await server.interrupt())()),
  frozen: () => real(async (server) => server.signal("SIGSTOP")),
};

describe("LAW-C4 replicas decide the same with a Redis that is", () => {
  let sql: Sql;
  let world: World;
  let scripts = 0;
  beforeAll(async () => {
    sql = await migratedPglite();
    world = await createWorld(sql);
  }, 60_000);
  afterAll(() => sql.close());

  /** What was decided, in words. */
  async function script(weather: Weather): Promise<readonly string[]> {
    scripts += 1;
    const hints = [0, 1].map(() => redisHints({ url: weather.url, clock: systemClock, log: silentLog }));
    const replicas = hints.map((each) => new Replica(sql, world.sealingKey, { hints: each }));
    try {
      return await decide(replicas, weather);
    } finally {
      for (const each of hints) await each.close();
    }
  }

  async function decide(replicas: readonly Replica[], weather: Weather): Promise<readonly string[]> {
    const [one, two] = replicas;
    if (one === undefined || two === undefined) throw new Error("two replicas are needed");
    const decisions: string[] = [];
    const { text } = await one.as(world.operatorCaller).tokens.createToken({ clusterId: world.clusterId });
    // I3: a token is used once, wherever and whenever it is shown again.
    for (const replica of [one, two, one]) {
      await weather.between();
      decisions.push(await outcome(enroll(replica, text)));
    }
    const { text: raced } = await two.as(world.operatorCaller).tokens.createToken({ clusterId: world.clusterId });
    const race = await Promise.all([one, two, one, two].map((replica) => outcome(enroll(replica, raced))));
    decisions.push(race.sort().join());
    await weather.between();
    decisions.push(...(await revoke(one, two, weather)));
    return decisions;
  }

  /** An operator who is on both allowlists is revoked at one, and no longer on the other. */
  async function revoke(one: Replica, two: Replica, weather: Weather): Promise<readonly string[]> {
    const csr = await makeCsr(generateP256());
    const about = { kind: IdentityKind.OPERATOR, name: `second-${scripts}`, csr, clusterId: world.clusterId };
    const { identity } = await one.as(world.operatorCaller).identities.addIdentity(about);
    const [row] = await sql.query<{ issuer: string; serial: string }>(
      "select issuer_key_id as issuer, serial from certificate where subject_id = $1",
      [identity?.id ?? ""],
    );
    const judge = async (replica: Replica): Promise<boolean> =>
      (await replica.deps.allowlist.judge(row?.issuer ?? "", row?.serial ?? "")).allowed;
    const before = [await judge(one), await judge(two)];
    await weather.between();
    const identityId = identity?.id ?? "";
    await one
      .as(world.operatorCaller)
      .identities.revokeIdentity({ identityId, clusterId: world.clusterId, reason: "" });
    const here = await judge(one);
    await eventually(async () => !(await judge(two)), { what: "the refusal at the other replica" });
    return [`allowed ${before.join()}`, `after revoking ${here},${await judge(two)}`];
  }

  async function enroll(replica: Replica, text: string): Promise<unknown> {
    return await replica.as(strangerOf(world.clusterId)).enrollment.enroll(enrollRequest(text, await freshHost()));
  }

  async function outcome(call: Promise<unknown>): Promise<string> {
    return await call.then(
      () => "granted",
      (thrown: unknown) => (thrown instanceof WeftError ? `${thrown.reason}` : String(thrown)),
    );
  }

  const expected = [
    "granted",
    "permission_denied",
    "permission_denied",
    "granted,permission_denied,permission_denied,permission_denied",
    "allowed true,true",
    "after revoking false,false",
  ];

  for (const [name, make] of Object.entries({ ...weathers, ...(peer.missing ? {} : realWeathers) })) {
    it(name, async () => {
      const weather = await make();
      try {
        expect(await script(weather)).toEqual(expected);
      } finally {
        await weather.end();
      }
    }, 60_000);
  }
});
