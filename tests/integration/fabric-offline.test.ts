/**
 * M-A12 M-A13 on real processes: control, PostgreSQL and Redis all end, for longer than half a leaf's life, under four offline
 * modes at once. THR-S4: what is frozen goes on as its policy says, and then it is closed.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { askNode } from "../../cli/node-port.ts";
import { echoOnce } from "../../cli/up/fabric.ts";
import { ListenerService } from "../../gen/weft/admin/v1/listener_pb.ts";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { PolicyService } from "../../gen/weft/admin/v1/policy_pb.ts";
import { PoolService } from "../../gen/weft/admin/v1/pool_pb.ts";
import { ResourceService } from "../../gen/weft/admin/v1/resource_pb.ts";
import { OfflineMode, OriginAssurance, ResourceKind } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { GetStatusResponse } from "../../gen/weft/node/v1/node_pb.ts";
import { limits } from "../../lib/limits.ts";
import { isSoak } from "../harness/counts.ts";
import { eventually, throughout } from "../harness/eventually.ts";
import { fabricWithinMs, type StockFiles, startTestFabric, type TestFabric } from "../harness/fabric.ts";
import { freePort } from "../harness/loopback.ts";
import { requirePeer } from "../harness/peers.ts";
import { type RedisServer, startRedis } from "../harness/redis.ts";
import { connectOutcome } from "../harness/stock-grpc.ts";
import { activeRelay, standbyReady } from "../harness/trunks.ts";

/** The shortest there is; in long runs the default of a minute. */
const graceMs = isSoak ? limits.failClosedAfterMs : limits.offlineBoundMinMs;
/** Half of it is longer than the outage takes to close what closes, and what is left of it longer than the rest of the test. */
const leafLifeSeconds = (2 * graceMs) / 1_000 + 26;

const { CONTINUE, CONTINUE_FOR, EXISTING_ONLY, FAIL_CLOSED } = OfflineMode;
const hourMs = 3_600_000n;
/** One organization each, with one resource and its listener; the last one inherits the cluster's policy. */
const organizations = [
  { name: "goes-on", policy: { mode: CONTINUE }, keeps: true, opens: true },
  { name: "for-a-while", policy: { mode: CONTINUE_FOR, continueForMs: hourMs }, keeps: true, opens: true },
  { name: "existing", policy: { mode: EXISTING_ONLY, graceMs: BigInt(graceMs) }, keeps: true, opens: false },
  { name: "closed", policy: undefined, keeps: false, opens: false },
] as const;
/** Beside the first organization's own resource, under another policy: its paths stay, its channels do not. */
const mixed = { name: "closed-beside", keeps: false, opens: false } as const;
const places = [...organizations, mixed];

const peer = requirePeer("redis", "an outage of everything");
const dir = mkdtempSync(join(tmpdir(), "weft-offline-"));
const ports = new Map<string, number>();
/** The first organization's listener at the entry that restarts, and two of its clients, one of them revoked. */
let elsewherePort: number;
let clients: { readonly good: StockFiles; readonly revoked: StockFiles };
let redis: RedisServer | undefined;
let world: TestFabric;
let clusterId: string;

async function provision(): Promise<void> {
  const { plan } = world.fabric;
  const entryNodeId = String(world.fabric.process("entry-1").facts.nodeId);
  const egresses = plan.nodes.filter(({ role }) => role === "egress").map(({ name }) => world.fabric.process(name));
  await world.fabric.withSession(async (session) => {
    clusterId = await session.clusterId();
    const at = { clusterId };
    const add = async (organizationId: string, poolId: string, name: string): Promise<void> => {
      const target = { host: "127.0.0.1", port: plan.targets.echoPort, kind: ResourceKind.TCP, service: "echo" };
      const about = { ...at, organizationId, name };
      const assured = { minimumAssurance: OriginAssurance.ANONYMOUS };
      const { resource } = await session
        .client(ResourceService)
        .addResource({ ...about, poolId, ...target, ...assured });
      const bound = { entryNodeId, resourceId: resource?.id ?? "", bindHost: "127.0.0.1", bindPort: 0 };
      await session.client(ListenerService).addListener({ ...about, ...bound });
      if (name !== "goes-on") return;
      const elsewhere = { ...bound, entryNodeId: String(world.fabric.process("entry-2").facts.nodeId) };
      const other = { ...elsewhere, bindPort: elsewherePort, name: "elsewhere" };
      await session.client(ListenerService).addListener({ ...about, ...other });
    };
    for (const { name, policy } of organizations) {
      const { organization } = await session.client(OrganizationService).createOrganization({ ...at, name });
      const organizationId = organization?.id ?? "";
      const { pool } = await session.client(PoolService).createPool({ ...at, organizationId, name });
      const poolId = pool?.id ?? "";
      for (const { facts } of egresses)
        await session.client(PoolService).addPoolNode({ ...at, poolId, nodeId: String(facts.nodeId) });
      await add(organizationId, poolId, name);
      if (policy !== undefined) await session.client(PolicyService).setOfflinePolicy({ ...at, organizationId, policy });
      if (name !== "goes-on") continue;
      await add(organizationId, poolId, mixed.name);
      const closed = { mode: FAIL_CLOSED, graceMs: BigInt(graceMs) };
      await session.client(PolicyService).setOfflinePolicy({ ...at, resourceId: mixed.name, policy: closed });
    }
  });
  const set = await world.weft("policy", "offline", "set", "fail-closed", "--grace", `${graceMs / 1_000}s`);
  expect(set.stderr).toBe("");
}

/** Two clients of the first organization; one is revoked before anything goes. */
async function makeClients(): Promise<void> {
  clients = {
    good: await world.addClient("good", "goes-on"),
    revoked: await world.addClient("revoked", "goes-on"),
  };
  for (const files of Object.values(clients)) await eventually(() => servesAt("entry-2", files), { withinMs: 20_000 });
  const ran = await world.weft("identity", "revoke", "revoked", "--reason", "test");
  expect(ran.stderr).toBe("");
  await eventually(async () => !(await servesAt("entry-2", clients.revoked)), { withinMs: 20_000 });
}

/** Whether an entry lets a client have the resource of the first organization. */
async function servesAt(entry: string, files: StockFiles): Promise<boolean> {
  const { code } = await connectOutcome(world.publicAddress(entry), files, "goes-on");
  return code === 0;
}

/** What a node says of itself, asked without control. */
async function statusOf(name: string): Promise<GetStatusResponse> {
  return await world.fabric.withSession(async (session) => {
    const id = String(world.fabric.process(name).facts.nodeId);
    return await askNode(session, { id, clusterId, address: world.operatorAddress(name) }, (client) =>
      client.getStatus({}),
    );
  });
}

beforeAll(async () => {
  redis = peer.missing ? undefined : await startRedis(peer.path);
  const redisUrlFile = join(dir, "redis.url");
  writeFileSync(redisUrlFile, redis?.url ?? "redis://127.0.0.1:1", { mode: 0o600 });
  world = await startTestFabric({ embeddedPostgres: true, redisUrlFile, leafLives: { leafLifeSeconds } });
  elsewherePort = await freePort();
  await provision();
  await eventually(
    async () => {
      for (const { name, boundAddress } of (await statusOf("entry-1")).listeners)
        ports.set(name, Number(boundAddress.split(":").at(-1) || 0));
      for (const { name } of places) await echoOnce(ports.get(name) ?? 0);
      return true;
    },
    { withinMs: 30_000, everyMs: 100, what: "bytes through every resource" },
  );
  await makeClients();
}, 2 * fabricWithinMs);
afterAll(async () => {
  await world?.stop();
  await redis?.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

/** A connection that is kept, and asked again and again whether bytes still come back. */
class Kept {
  readonly socket: Socket;
  closed = false;
  #answer: (() => void) | undefined;

  constructor(port: number) {
    this.socket = connect({ host: "127.0.0.1", port, noDelay: true });
    this.socket.on("error", () => {});
    this.socket.once("close", () => (this.closed = true));
    this.socket.on("data", () => this.#answer?.());
  }

  async echoes(): Promise<boolean> {
    if (this.closed) return false;
    return await new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), 10_000);
      const done = (works: boolean): void => {
        clearTimeout(timer);
        this.socket.off("close", lost);
        resolve(works);
      };
      const lost = (): void => done(false);
      this.socket.once("close", lost);
      this.#answer = () => done(true);
      this.socket.write("!");
    });
  }
}

const opens = (name: string): Promise<boolean> =>
  echoOnce(ports.get(name) ?? 0, 5_000).then(
    () => true,
    () => false,
  );

/** New channels open where they may, however long a busy host takes for it, and nowhere else. */
async function expectOpening(): Promise<void> {
  for (const { name, opens: mayOpen } of places)
    if (mayOpen) await eventually(() => opens(name), { withinMs: 15_000, what: `a new channel to ${name}` });
    else expect(await opens(name), name).toBe(false);
}

/** Ends control, its database's server and Redis, at once and for good. */
async function endEverythingBehind(): Promise<void> {
  const control = world.fabric.processes.filter(({ role }) => role === "control");
  for (const { pid } of control) process.kill(pid, "SIGKILL");
  process.kill(Number(world.fabric.process("postgres").facts["postgresPid"]), "SIGQUIT");
  await redis?.interrupt();
  await Promise.all(control.map(({ exited }) => exited));
}

describe("control, PostgreSQL and Redis are gone", () => {
  it("M-A13 REVIEW-7 and every resource goes on as its own policy says, while a relay dies, past half a leaf's life", async () => {
    const kept = new Map(places.map(({ name }) => [name, new Kept(ports.get(name) ?? 0)]));
    for (const [name, connection] of kept) expect(await connection.echoes(), name).toBe(true);
    await standbyReady(world, "entry-1");
    await endEverythingBehind();
    const goneAtMs = performance.now();

    // Frozen: nothing has changed for anybody yet.
    for (const { name } of places) expect(await opens(name), name).toBe(true);

    // An entry restarts with nobody to ask: it goes on from its disk, and what was revoked stays revoked.
    process.kill(world.fabric.process("entry-2").pid, "SIGKILL");
    await world.fabric.restart("entry-2");
    await eventually(() => echoOnce(elsewherePort), {
      withinMs: 20_000,
      everyMs: 50,
      what: "the entry that restarted",
    });
    expect(await servesAt("entry-2", clients.good)).toBe(true);
    for (const entry of ["entry-1", "entry-2"]) expect(await servesAt(entry, clients.revoked), entry).toBe(false);

    // Closed: what its policy ends, ends, and nothing else does.
    for (const { name, keeps } of places) {
      if (keeps) continue;
      const within = { withinMs: graceMs + 20_000, everyMs: 50, what: `the end of what was open to ${name}` };
      await eventually(() => kept.get(name)?.closed, within);
    }
    await expectOpening();
    for (const { name, keeps } of places) expect(await kept.get(name)?.echoes(), name).toBe(keeps);

    const halfALeafMs = (leafLifeSeconds * 1_000) / 2;
    await throughout(halfALeafMs - (performance.now() - goneAtMs), () => kept.get("existing")?.closed === false);
    const { offline } = await statusOf("entry-1");
    expect(Number(offline?.staleMs)).toBeGreaterThan(halfALeafMs);
    const [cluster, ...others] = offline?.states ?? [];
    expect(cluster).toMatchObject({ mode: FAIL_CLOSED, newChannels: false, existing: false });
    const answers = others.filter(({ organizationId }) => organizationId !== "");
    // Paths: of the two that go on, and of the one that keeps what is open.
    expect(answers.map(({ newChannels, existing }) => `${newChannels} ${existing}`).sort()).toEqual([
      ...["false true", "true true", "true true"],
    ]);

    // A relay dies: trunks move, and new ones are made, with nobody to ask.
    const relay = await activeRelay(world, "entry-1");
    process.kill(world.fabric.process(relay).pid, "SIGKILL");
    for (const { name, keeps } of places)
      expect(await kept.get(name)?.echoes(), `${name} without ${relay}`).toBe(keeps);
    await expectOpening();
    expect(await activeRelay(world, "entry-1")).not.toBe(relay);
    for (const { socket } of kept.values()) socket.destroy();
  }, 180_000);
});
