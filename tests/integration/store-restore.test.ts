/**
 * M-W15, REVIEW 16: yesterday's backup is restored under running nodes. Who was revoked since stays out, what was lost is
 * named, who was approved since is not believed, and nothing is given out before nodes have told what they know.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ControlConfig, loadControlConfig } from "../../control/config.ts";
import { dbMigrate, dbRestore, dbStatus } from "../../control/db.ts";
import { initControl } from "../../control/init.ts";
import { type RunningControl, startControl } from "../../control/main.ts";
import { AlertService } from "../../gen/weft/admin/v1/alert_pb.ts";
import { AuditService } from "../../gen/weft/admin/v1/audit_pb.ts";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { StoreService } from "../../gen/weft/admin/v1/store_pb.ts";
import { ControlService } from "../../gen/weft/control/v1/control_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { LeaseService } from "../../gen/weft/lease/v1/lease_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { loadNodeConfig } from "../../node/config.ts";
import { type NodeHandle, startNode } from "../../node/main.ts";
import { rpcClient } from "../../rpc/client.ts";
import type { ClosableTransport } from "../../rpc/operator-transport.ts";
import { controlFlags, operatorOf } from "../harness/control-process.ts";
import { eventually } from "../harness/eventually.ts";
import { type JoinedNode, joinNode } from "../harness/joined-node.ts";
import { leave } from "../harness/left-behind.ts";
import { freePort } from "../harness/loopback.ts";
import { type Databases, migratedDirectory, sharedPostgres } from "../harness/shared-stores.ts";

const dir = mkdtempSync(join(tmpdir(), "weft-restore-"));
const contextDir = join(dir, "context");
const backup = join(dir, "yesterday.weft");
let config: ControlConfig;
let control: RunningControl;
let operator: ClosableTransport;
let clusterId: string;
let server: Databases;
const nodes = new Map<string, JoinedNode>();
const running = new Map<string, NodeHandle>();

const of = (name: string): JoinedNode => {
  const node = nodes.get(name);
  if (node === undefined) throw new Error(`there is no ${name}`);
  return node;
};

async function admit(name: string, role: NodeRole): Promise<void> {
  const plan = { operator, publicAddress: control.publicAddress, clusterId, name, roles: [role] };
  nodes.set(name, await joinNode(plan));
}

async function run(name: string): Promise<void> {
  const flags = {
    stateDir: of(name).stateDir,
    control: [`127.0.0.1:${config.publicPort}`],
    publicPort: 0,
    operatorPort: 0,
    logLevel: "silent",
  };
  const node = await startNode(loadNodeConfig({ env: {}, flags }), {
    version: "test",
    pid: process.pid,
    rssPeakBytes: () => 0,
    log: silentLog,
  });
  running.set(name, node);
}

async function start(): Promise<void> {
  control = await startControl(config, { log: silentLog });
  operator = operatorOf(contextDir, control.operatorAddress);
}

async function stop(): Promise<void> {
  operator.close();
  await control.close(0);
}

async function failureOf(call: Promise<unknown>): Promise<string | undefined> {
  try {
    await call;
    return undefined;
  } catch (thrown) {
    return thrown instanceof WeftError ? thrown.detail : String(thrown);
  }
}

beforeAll(async () => {
  server = await sharedPostgres();
  const ports = { publicPort: await freePort(), operatorPort: await freePort() };
  config = loadControlConfig({ env: {}, flags: { ...controlFlags(dir), ...ports } });
  await migratedDirectory(join(dir, "data"));
  const outcome = await initControl(config, { operatorName: "admin", contextDir }, { log: silentLog });
  clusterId = outcome.cluster.id;
  await start();
  await admit("relay-1", NodeRole.RELAY);
  await admit("relay-2", NodeRole.RELAY);
  await admit("egress-1", NodeRole.EGRESS);
  for (const name of ["relay-1", "egress-1"]) await run(name);
}, 60_000);

afterAll(async () => {
  await Promise.all([...running.values()].map((node) => node[Symbol.asyncDispose]()));
  await stop();
  await server.stop();
  leave(dir);
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

const status = async () => (await rpcClient(StoreService, operator).getStoreStatus({})).status;
const identityOf = async (name: string) =>
  (await rpcClient(NodeAdminService, operator).listNodes({ clusterId })).nodes.find(({ id }) => id === of(name).nodeId);

test("a backup is taken while control runs, and then the world goes on", async () => {
  const pieces: Uint8Array[] = [];
  for await (const { piece } of rpcClient(StoreService, operator).backupStore({}, { timeoutMs: 0 })) pieces.push(piece);
  writeFileSync(backup, Buffer.concat(pieces), { mode: 0o600 });
  expect(JSON.parse(readFileSync(backup, "utf8").split("\n")[0] ?? "")).toMatchObject({ weft: "backup", format: 1 });

  await rpcClient(OrganizationService, operator).createOrganization({ clusterId, name: "acme" });
  await rpcClient(NodeAdminService, operator).revokeNode({ clusterId, nodeId: of("relay-2").nodeId, reason: "stolen" });
  await admit("late-1", NodeRole.RELAY);
  // Both nodes hold the feed that names relay-2, on disk, before control goes.
  for (const name of ["relay-1", "egress-1"]) {
    const feed = join(of(name).stateDir, "revoked.bin");
    await eventually(() => readFileSync(feed).includes(of("relay-2").nodeId), {
      withinMs: 20_000,
      what: `the feed at ${name}`,
    });
  }
}, 40_000);

test("L2 restored, it stands above every epoch there was, and holds nodes back until they have told", async () => {
  const before = await status();
  await Promise.all([...running.values()].map((node) => node[Symbol.asyncDispose]()));
  running.clear();
  await stop();
  await expect(
    dbRestore(config, { file: backup, replace: false, dryRun: false }, { log: silentLog }),
  ).rejects.toMatchObject({ detail: "STORE_NOT_EMPTY" });
  // The disk is lost: nobody but nodes knows what happened since.
  const { publicPort, operatorPort } = config;
  const flags = { ...controlFlags(dir), dataDir: join(dir, "new-disk"), publicPort, operatorPort };
  config = loadControlConfig({ env: {}, flags });
  const { done } = await dbRestore(config, { file: backup, replace: false, dryRun: false }, { log: silentLog });
  await start();
  expect(BigInt(done?.epoch ?? 0)).toBeGreaterThan(before?.epoch ?? 0n);

  // Yesterday's store believes the thief: it is let in as far as telling what it knows, and no further.
  const thief = of("relay-2").transport(control.publicAddress);
  const leases = rpcClient(LeaseService, thief);
  expect(await failureOf(leases.acquire({ name: "l", bootId: "b", ttlMs: 5_000n }))).toBe("RESTORE_SETTLING");
  const aborter = new AbortController();
  const seen: string[] = [];
  const watching = (async () => {
    const watch = rpcClient(ControlService, thief).watchSnapshot({}, { signal: aborter.signal });
    for await (const { message } of watch) seen.push(message.case ?? "");
  })().catch(() => undefined);
  await eventually(() => seen.includes("feed"));
  expect(await status()).toMatchObject({ restore: { waiting: true, restoreId: done?.restoreId } });
  // The last one approved is a stranger, with a certificate of this very installation.
  const late = of("late-1").transport(control.publicAddress);
  expect(await failureOf(rpcClient(ControlService, late).reportWorkloads({}))).not.toBeUndefined();
  expect(seen).not.toContain("snapshot");
  aborter.abort();
  await watching;
  thief.close();
  late.close();
}, 40_000);

test("REVIEW-16 nodes tell: who was revoked is out again, what was lost is named", async () => {
  for (const name of ["relay-1", "egress-1"]) await run(name);
  await eventually(async () => (await status())?.restore?.waiting === false, {
    withinMs: 25_000,
    what: "both answers",
  });
  expect(await identityOf("relay-2")).toMatchObject({ identityStatus: "revoked" });
  const thief = of("relay-2").transport(control.publicAddress);
  expect(
    await failureOf(rpcClient(LeaseService, thief).acquire({ name: "l", bootId: "b", ttlMs: 5_000n })),
  ).not.toBeUndefined();
  thief.close();
  const restore = (await status())?.restore;
  expect(restore).toMatchObject({ settledHow: "answered", unknownNodeIds: [of("late-1").nodeId], silentNodeNames: [] });
  expect(Number(restore?.revocationsLearned)).toBeGreaterThan(0);
  expect(Number(restore?.lostAuditRecords)).toBeGreaterThan(0);
  expect(Number(restore?.lostFeedPositions)).toBeGreaterThan(0);
  const { alerts } = await rpcClient(AlertService, operator).listAlerts({ clusterId });
  const alert = alerts.find(({ kind }) => kind === "restore-gap");
  expect(alert?.detail).toContain(of("late-1").nodeId);
  const { records } = await rpcClient(AuditService, operator).listAudit({});
  expect(records.map(({ action }) => action)).toEqual(
    expect.arrayContaining(["store.restored", "restore.learned", "restore.settled"]),
  );
  await rpcClient(StoreService, operator).acceptRestore({ restoreId: restore?.restoreId ?? "" });
  expect(
    (await rpcClient(AlertService, operator).listAlerts({ clusterId })).alerts.map(({ kind }) => kind),
  ).not.toContain("restore-gap");
}, 60_000);

test("M-W18 the installation moves to PostgreSQL, and its nodes go on without a human", async () => {
  const before = await status();
  await stop();
  const urlFile = join(dir, "postgres.url");
  writeFileSync(urlFile, `${await server.database()}\n`, { mode: 0o600 });
  const order = { toPostgresUrlFile: urlFile, dryRun: false };
  await dbMigrate(config, { ...order, dryRun: true }, { log: silentLog });
  const report = await dbMigrate(config, order, { log: silentLog });
  expect(BigInt(report.auditSeq)).toBeGreaterThanOrEqual(before?.auditSeq ?? 0n);
  expect(await failureOf(startControl(config, { log: silentLog }))).toBe("STORE_MOVED");
  expect(await dbStatus(config, { log: silentLog })).toMatchObject({
    moved: expect.stringContaining("departed: postgres://127.0.0.1"),
  });
  const { publicPort, operatorPort } = config;
  config = loadControlConfig({ env: {}, flags: { ...controlFlags(dir, urlFile), publicPort, operatorPort } });
  await start();
  // The same leaves, the same names, the next beat.
  for (const name of ["relay-1", "egress-1"]) {
    await eventually(async () => ((await identityOf(name))?.snapshotEpoch ?? 0n) >= ((await status())?.epoch ?? 1n), {
      withinMs: 40_000,
      what: `${name} at the new store`,
    });
  }
  expect((await status())?.trustDomain).toBe(before?.trustDomain);
}, 90_000);
