/**
 * M-L1 M-L6 on real processes: three replicas of control behind one PostgreSQL and one Redis. All of them, the server's
 * backends and Redis are killed in an order drawn by lot, under a checked transfer that does not notice.
 */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { numberedBytes } from "../../cli/up/download.ts";
import { echoOnce } from "../../cli/up/fabric.ts";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { seededRandom, shuffled } from "../../lib/random.ts";
import { runs } from "../harness/counts.ts";
import { eventually } from "../harness/eventually.ts";
import { fabricWithinMs, startTestFabric, type TestFabric } from "../harness/fabric.ts";
import { requirePeer } from "../harness/peers.ts";
import { type RedisServer, startRedis } from "../harness/redis.ts";

const seed = Number(process.env["WEFT_SEED"] ?? 20_261_122);
const rounds = runs(1, 20);
const replicas = ["control-1", "control-2", "control-3"] as const;
const peer = requirePeer("redis", "replicas of control");
const dir = mkdtempSync(join(tmpdir(), "weft-replicas-"));
let redis: RedisServer | undefined;
let world: TestFabric;

beforeAll(async () => {
  redis = peer.missing ? undefined : await startRedis(peer.path);
  const redisUrlFile = join(dir, "redis.url");
  writeFileSync(redisUrlFile, redis?.url ?? "redis://127.0.0.1:1", { mode: 0o600 });
  world = await startTestFabric({ replicas: 3, embeddedPostgres: true, redisUrlFile });
}, fabricWithinMs);
afterAll(async () => {
  await world.stop();
  await redis?.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

/** A download at a steady pace; resolves with its bytes' hash, rejects when it is cut. */
function download(bytes: number, rate: number): Promise<string> {
  const port = world.fabric.listenerPort("web-entry-1");
  return new Promise((resolve, reject) => {
    const hash = createHash("sha256");
    get(`http://127.0.0.1:${port}/download?bytes=${bytes}&rate=${rate}`, (response) => {
      response.on("data", (chunk: Buffer) => hash.update(chunk));
      response.once("end", () => (response.complete ? resolve(hash.digest("hex")) : reject(new Error("cut short"))));
      response.once("error", reject);
    }).once("error", reject);
  });
}

function backends(): readonly number[] {
  const postmaster = String(world.fabric.process("postgres").facts["postgresPid"]);
  const out = execFileSync("ps", ["-o", "pid=", "--ppid", postmaster], { encoding: "utf8" });
  return out.trim().split(/\s+/).map(Number);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself meanwhile.
  }
}

async function killed(name: string): Promise<void> {
  kill(world.fabric.process(name).pid);
  await world.fabric.process(name).exited;
}

async function make(name: string): Promise<void> {
  await world.fabric.withSession(async (session) => {
    const clusterId = await session.clusterId();
    await session.client(OrganizationService).createOrganization({ clusterId, name }, { timeoutMs: 20_000 });
  });
}

const makes = (name: string): Promise<boolean> =>
  make(name).then(
    () => true,
    () => false,
  );

describe("M-L1 replicas of control", () => {
  it("are shown, and each of them serves", async () => {
    expect(world.fabric.processes.filter(({ role }) => role === "control").map(({ name }) => name)).toEqual(replicas);
    expect(await makes("before")).toBe(true);
  });

  it(
    "go, with their store and Redis, and come back, and no byte waits for them",
    async () => {
      const random = seededRandom(seed);
      const [bytes, rate] = [rounds * 6_000_000, 1_000_000];
      const expected = createHash("sha256").update(numberedBytes(0, bytes)).digest("hex");
      const transfer = download(bytes, rate);
      transfer.catch(() => undefined);
      for (let round = 0; round < rounds; round += 1) {
        const down: string[] = [];
        const faults: Record<string, () => Promise<void>> = {
          backends: async () => backends().forEach(kill),
          redis: async () => void (await (await redis?.interrupt())?.()),
        };
        for (const name of replicas)
          faults[name] = async () => {
            await killed(name);
            down.push(name);
          };
        for (const fault of shuffled(random, Object.keys(faults))) await faults[fault]?.();
        // With no control at all: new connections, from the snapshots the entries hold.
        for (const entry of ["echo-entry-1", "echo-entry-2"]) await echoOnce(world.fabric.listenerPort(entry), 10_000);
        expect(down).toHaveLength(replicas.length);
        await expect(make(`none-${round}`)).rejects.toMatchObject({ reason: "unavailable" });
        // Any one of them is enough.
        for (const name of shuffled(random, replicas)) await world.fabric.restart(name);
        await eventually(() => makes(`after-${round}`), { withinMs: 60_000, everyMs: 200 });
      }
      expect(await transfer).toBe(expected);
    },
    120_000 + rounds * 60_000,
  );

  it("LAW-C5 refuse what needs the store while it is away, with the reason, and go on by themselves", async () => {
    const postmaster = Number(world.fabric.process("postgres").facts["postgresPid"]);
    process.kill(postmaster, "SIGSTOP");
    const children = backends();
    for (const pid of children) process.kill(pid, "SIGSTOP");
    const refused = await make("frozen").catch((thrown: unknown) => thrown);
    await echoOnce(world.fabric.listenerPort("echo-entry-1"), 10_000);
    for (const pid of children) process.kill(pid, "SIGCONT");
    process.kill(postmaster, "SIGCONT");
    expect(refused).toMatchObject({ reason: "unavailable", detail: expect.stringMatching(/^STORE_/) });
    await eventually(() => makes("thawed"), { withinMs: 60_000, everyMs: 200 });
  }, 120_000);
});
