/** M-L5: replicas, nodes, PostgreSQL and Redis started in any order find each other; one that is alone says what it waits for. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Child, startChild } from "../../cli/up/processes.ts";
import { loadControlConfig } from "../../control/config.ts";
import { initControl } from "../../control/init.ts";
import { startControl } from "../../control/main.ts";
import { TokenService } from "../../gen/weft/admin/v1/token_pb.ts";
import { silentLog } from "../../lib/log.ts";
import { seededRandom, shuffled } from "../../lib/random.ts";
import { rpcClient } from "../../rpc/client.ts";
import { operatorOf } from "../harness/control-process.ts";
import { runs } from "../harness/counts.ts";
import { eventually } from "../harness/eventually.ts";
import { freePort } from "../harness/loopback.ts";
import { requirePeer } from "../harness/peers.ts";
import { type PostgresServer, startPostgres } from "../harness/postgres.ts";
import { type RedisServer, startRedis } from "../harness/redis.ts";

const withinMs = 120_000;
const redisPeer = requirePeer("redis", "cold starts");
type Line = Readonly<Record<string, unknown>>;

const dir = mkdtempSync(join(tmpdir(), "weft-cold-"));
let postgres: PostgresServer;
let redis: RedisServer;
let clusterId = "";
const ports = { public: 0, operator: 0 };
const running: (() => Promise<void>)[] = [];

function settings(): string[] {
  return [
    ...["--postgres-url-file", join(dir, "postgres.url"), "--redis-url-file", join(dir, "redis.url")],
    ...["--sealing-key-file", join(dir, "sealing.key"), "--log-level", "warn", "--dev"],
    ...["--public-port", String(ports.public), "--operator-port", String(ports.operator)],
  ];
}

function config() {
  return loadControlConfig({
    env: {},
    flags: {
      postgresUrlFile: join(dir, "postgres.url"),
      sealingKeyFile: join(dir, "sealing.key"),
      publicPort: ports.public,
      operatorPort: ports.operator,
      dev: true,
    },
  });
}

beforeAll(async () => {
  postgres = await startPostgres();
  ports.public = await freePort();
  ports.operator = await freePort();
  writeFileSync(join(dir, "postgres.url"), await postgres.database(), { mode: 0o600 });
  if (!redisPeer.missing) redis = await startRedis(redisPeer.path);
  writeFileSync(join(dir, "redis.url"), redisPeer.missing ? "redis://127.0.0.1:1" : redis.url, { mode: 0o600 });
  const outcome = await initControl(config(), { operatorName: "admin", contextDir: join(dir, "context") });
  clusterId = outcome.cluster.id;
}, 60_000);
afterAll(async () => {
  await Promise.all(running.map((stop) => stop()));
  await postgres.stop();
  if (!redisPeer.missing) await redis.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

function launch(name: string, script: string, args: readonly string[]): { lines: Line[]; child: Promise<Child> } {
  const lines: Line[] = [];
  const spec = {
    name,
    role: name,
    script,
    args,
    logs: join(dir, "logs"),
    onLine: (line: Line) => void lines.push(line),
  };
  const child = startChild(spec, ({ stop }) => void running.push(stop));
  child.catch(() => undefined);
  return { lines, child };
}

/** A token for a node, made while control stands; then control goes. */
async function tokenFile(name: string): Promise<string> {
  const control = await startControl(config(), { log: silentLog });
  const operator = operatorOf(join(dir, "context"), control.operatorAddress);
  const { text } = await rpcClient(TokenService, operator).createToken({ clusterId });
  operator.close();
  await control.close(0);
  const file = join(dir, `${name}.token`);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

function nodeConfig(name: string, token: string): string {
  const file = join(dir, `${name}.json`);
  const wish = { tokenFile: token, name, roles: ["entry"] };
  const facts = {
    stateDir: join(dir, name),
    control: [`127.0.0.1:${ports.public}`],
    dialOutOnly: true,
    join: wish,
    dev: true,
  };
  writeFileSync(file, JSON.stringify(facts));
  return file;
}

describe("M-L5 a cold start", () => {
  it("waits for what is not there, says for what, and converges in whatever order the rest comes", async () => {
    const orders = runs(1, 12);
    for (let seed = 1; seed <= orders; seed += 1) {
      const name = `node-${seed}`;
      const token = await tokenFile(name);
      const startPostgresAgain = await postgres.interrupt();
      const startRedisAgain = redisPeer.missing ? async () => undefined : await redis.interrupt();
      let node: ReturnType<typeof launch> | undefined;
      let control: ReturnType<typeof launch> | undefined;
      const starts = {
        // The order that a quick run takes: everybody before whom he needs.
        node: async () => {
          node = launch(name, "node/bin.ts", ["--config", nodeConfig(name, token)]);
          if (control === undefined)
            await eventually(() => node?.lines.some((line) => line.waiting === "control"), { withinMs });
        },
        control: async () => {
          control = launch(`control-${seed}`, "control/bin.ts", ["run", ...settings()]);
          if (!isUp) await eventually(() => control?.lines.some((line) => line.waiting === "store"), { withinMs });
        },
        postgres: async () => {
          await startPostgresAgain();
          isUp = true;
        },
        redis: startRedisAgain,
      };
      let isUp = false;
      const given = ["node", "control", "postgres", "redis"] as const;
      for (const each of seed === 1 ? given : shuffled(seededRandom(seed), given)) await starts[each]();
      const ready = await control?.child;
      expect(ready?.facts).toMatchObject({ ready: true });
      // The node has got through to it: an operator could approve now.
      await eventually(() => node?.lines.some((line) => line.pending === true), { withinMs });
      if (seed === 1) {
        expect(control?.lines[0]).toMatchObject({ waiting: "store", detail: "STORE_UNAVAILABLE", attempts: 1 });
        expect(String(control?.lines[0]?.error)).toContain("ECONNREFUSED");
      }
      for (const stop of running.splice(0)) await stop();
    }
  }, 300_000);

  it("ends at once with what no waiting cures", async () => {
    const args = settings().map((word) => (word.endsWith("sealing.key") ? join(dir, "no.key") : word));
    const { lines, child } = launch("keyless", "control/bin.ts", ["run", ...args]);
    await expect(child).rejects.toThrow(/exit 78/);
    expect(lines).toEqual([]);
  });
});
