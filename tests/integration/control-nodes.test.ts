/** Nodes at control: joined, beating, watching, revoked; and two replicas that share one PostgreSQL. */

import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadControlConfig } from "../../control/config.ts";
import { initControl } from "../../control/init.ts";
import { type RunningControl, startControl } from "../../control/main.ts";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health_pb.ts";
import { AuditService } from "../../gen/weft/admin/v1/audit_pb.ts";
import { MembershipService, NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { ControlService } from "../../gen/weft/control/v1/control_pb.ts";
import { NodeHealth, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { HeartbeatService } from "../../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { LeaseService } from "../../gen/weft/lease/v1/lease_pb.ts";
import { RoutingService } from "../../gen/weft/routing/v1/routing_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { rpcClient } from "../../rpc/client.ts";
import { controlFlags, operatorOf, startTestControl, type TestControl } from "../harness/control-process.ts";
import { eventually } from "../harness/eventually.ts";
import { type JoinedNode, joinNode } from "../harness/joined-node.ts";
import { type PostgresServer, startPostgres } from "../harness/postgres.ts";

const beat = { bootId: "b1", seq: 1n, sentAtMs: BigInt(Date.now()), load: 0.1, version: "test" };

describe("one control, embedded store", () => {
  let control: TestControl;
  let entry: JoinedNode;
  let relay: JoinedNode;

  const joined = (name: string, ...roles: NodeRole[]): Promise<JoinedNode> =>
    joinNode({
      operator: control.operator(),
      publicAddress: control.running.publicAddress,
      clusterId: control.outcome.cluster.id,
      name,
      roles,
    });

  beforeAll(async () => {
    control = await startTestControl();
    entry = await joined("entry-1", NodeRole.ENTRY);
    relay = await joined("relay-1", NodeRole.RELAY);
  });
  afterAll(async () => {
    await control[Symbol.asyncDispose]();
  });

  test("a joined node beats and an operator sees it online", async () => {
    const transport = entry.transport(control.running.publicAddress);
    const answer = await rpcClient(HeartbeatService, transport).beat(beat);
    expect(answer.health).toBe(NodeHealth.ONLINE);
    const { nodes } = await rpcClient(NodeAdminService, control.operator()).listNodes({ clusterId: entry.clusterId });
    expect(nodes.find(({ id }) => id === entry.nodeId)).toMatchObject({ name: "entry-1", health: NodeHealth.ONLINE });
    expect(nodes.find(({ id }) => id === relay.nodeId)?.health).toBe(NodeHealth.MISSING);
    transport.close();
  });

  test("LAW-C2 a node asks for its own routes only; a sibling's do not exist", async () => {
    const transport = entry.transport(control.running.publicAddress);
    const routing = rpcClient(RoutingService, transport);
    for (const asked of [
      { clusterId: entry.clusterId, fromNodeId: relay.nodeId, resource: "x" },
      { clusterId: "cl-other", fromNodeId: entry.nodeId, resource: "x" },
    ]) {
      await expect(routing.resolveRoutes(asked)).rejects.toMatchObject({ reason: "not_found", detail: "NOT_FOUND" });
    }
    await expect(
      routing.reportLinks({ links: [{ fromNodeId: relay.nodeId, toNodeId: entry.nodeId, rttMs: 1 }] }),
    ).rejects.toMatchObject({ name: "WeftError" });
    await expect(routing.explainRoute({ clusterId: entry.clusterId, resource: "x" })).rejects.toMatchObject({
      reason: "unimplemented",
    });
    transport.close();
  });

  test("watches its own snapshot and the feed, and hears of a change", async () => {
    const transport = entry.transport(control.running.publicAddress);
    const aborter = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      const watch = rpcClient(ControlService, transport).watchSnapshot({}, { signal: aborter.signal });
      for await (const { message } of watch) if (message.case !== undefined) seen.push(message.case);
    })().then(
      () => undefined,
      (error: unknown) => error,
    );
    await eventually(() => seen.includes("snapshot") && seen.includes("feed"));
    const before = seen.length;
    await joined("relay-2", NodeRole.RELAY);
    await eventually(() => seen.slice(before).includes("snapshot"));
    aborter.abort();
    expect(await watching).toMatchObject({ reason: "canceled" });
    transport.close();
  });

  test("a disabled member is refused everything but renewing and watching", async () => {
    const admin = rpcClient(MembershipService, control.operator());
    const { clusterId, nodeId } = relay;
    const transport = relay.transport(control.running.publicAddress);
    await admin.disableMembership({ clusterId, nodeId });
    const leases = rpcClient(LeaseService, transport);
    const refused = { reason: "permission_denied", detail: "MEMBERSHIP_DISABLED" };
    const failure = (call: Promise<unknown>): Promise<unknown> =>
      call.then(
        () => undefined,
        (error: unknown) => error,
      );
    await eventually(
      async () => {
        const thrown = await failure(leases.acquire({ name: "l", bootId: "b", ttlMs: 5_000n }));
        return thrown instanceof WeftError && thrown.detail === refused.detail;
      },
      { withinMs: 1_000, what: "the refusal" },
    );
    await expect(rpcClient(HeartbeatService, transport).beat(beat)).rejects.toMatchObject(refused);
    await admin.enableMembership({ clusterId, nodeId });
    await eventually(
      async () => (await rpcClient(HeartbeatService, transport).beat(beat)).health === NodeHealth.ONLINE,
      {
        withinMs: 1_000,
      },
    );
    transport.close();
  });

  test("LAW-I4 a revoked node's watch ends and its calls are refused within a second", async () => {
    const doomed = await joined("relay-3", NodeRole.RELAY);
    const transport = doomed.transport(control.running.publicAddress);
    let ended: unknown;
    let messages = 0;
    const watching = (async () => {
      for await (const _message of rpcClient(ControlService, transport).watchSnapshot({})) messages += 1;
    })().catch((error: unknown) => {
      ended = error;
    });
    await eventually(() => messages > 0);
    const { clusterId, nodeId } = doomed;
    await rpcClient(NodeAdminService, control.operator()).revokeNode({ clusterId, nodeId, reason: "test" });
    await eventually(() => ended !== undefined, { withinMs: 1_000, what: "the end of the watch" });
    expect(ended).toMatchObject({ reason: "unauthenticated" });
    await watching;
    await expect(rpcClient(HeartbeatService, transport).beat(beat, { timeoutMs: 2_000 })).rejects.toMatchObject({
      name: "WeftError",
    });
    transport.close();
    const { records } = await rpcClient(AuditService, control.operator()).listAudit({});
    expect(records.map(({ action }) => action)).toContain("node.revoked");
  });
});

describe("two replicas, one PostgreSQL, no Redis", () => {
  let postgres: PostgresServer;
  let dir: string;
  const replicas: RunningControl[] = [];
  let clusterId: string;

  beforeAll(async () => {
    postgres = await startPostgres();
    dir = mkdtempSync(join(tmpdir(), "weft-replicas-"));
    const urlFile = join(dir, "postgres-url");
    writeFileSync(urlFile, await postgres.database(), { mode: 0o600 });
    const config = loadControlConfig({ env: {}, flags: controlFlags(dir, urlFile) });
    const order = { operatorName: "admin", contextDir: join(dir, "context") };
    const other = { ...config, sealingKeyFile: join(dir, "other", "sealing.key") };
    const outcomes = await Promise.allSettled([
      initControl(config, order, { log: silentLog }),
      initControl(other, { ...order, contextDir: join(dir, "other-context") }, { log: silentLog }),
    ]);
    const won = outcomes.findIndex(({ status }) => status === "fulfilled");
    const lost = outcomes.find(({ status }) => status === "rejected");
    expect(lost).toMatchObject({ reason: { detail: "INSTALLATION_EXISTS" } });
    if (won === 1) {
      copyFileSync(other.sealingKeyFile, config.sealingKeyFile);
      rmSync(join(dir, "context"), { recursive: true, force: true });
    }
    const outcome = outcomes[won];
    if (outcome?.status !== "fulfilled") throw new Error("nobody initialized");
    contextDir = join(dir, won === 1 ? "other-context" : "context");
    clusterId = outcome.value.cluster.id;
    for (let i = 0; i < 2; i += 1) replicas.push(await startControl(config, { log: silentLog }));
  });
  let contextDir: string;
  afterAll(async () => {
    for (const replica of replicas) await replica.close(0);
    await postgres.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test("LAW-I4 joined at one, approved at the other, revoked at one and refused by both", async () => {
    const [one, two] = replicas;
    if (one === undefined || two === undefined) throw new Error("two replicas are needed");
    const atTwo = operatorOf(contextDir, two.operatorAddress);
    const atOne = operatorOf(contextDir, one.operatorAddress);
    const node = await joinNode({
      operator: atTwo,
      publicAddress: one.publicAddress,
      clusterId,
      name: "entry-1",
      roles: [NodeRole.ENTRY],
    });
    const transports = [node.transport(one.publicAddress), node.transport(two.publicAddress)];
    for (const transport of transports) {
      expect((await rpcClient(HeartbeatService, transport).beat(beat)).health).toBe(NodeHealth.ONLINE);
    }
    await rpcClient(NodeAdminService, atOne).revokeNode({ clusterId, nodeId: node.nodeId, reason: "test" });
    for (const transport of transports) {
      await eventually(
        async () => {
          const thrown: unknown = await rpcClient(HeartbeatService, transport)
            .beat(beat, { timeoutMs: 1_000 })
            .catch((error: unknown) => error);
          return thrown instanceof Error;
        },
        { withinMs: 5_000, what: "the refusal" },
      );
    }
    for (const closable of [...transports, atOne, atTwo]) closable.close();
  });

  test("LAW-C5 without the store nothing is decided, callers are told so, and it comes back", async () => {
    const [one] = replicas;
    if (one === undefined) throw new Error("a replica is needed");
    const operator = operatorOf(contextDir, one.operatorAddress);
    const nodes = rpcClient(NodeAdminService, operator);
    expect((await nodes.listNodes({ clusterId })).nodes).toHaveLength(1);
    const restore = await postgres.interrupt();
    await expect(nodes.listNodes({ clusterId })).rejects.toMatchObject({ reason: "unavailable" });
    // A newcomer cannot be judged either: it is told why, and the process goes on.
    const newcomer = operatorOf(contextDir, one.operatorAddress);
    await expect(
      rpcClient(NodeAdminService, newcomer).listNodes({ clusterId }, { timeoutMs: 2_000 }),
    ).rejects.toMatchObject({ reason: "unavailable", detail: "STORE_UNAVAILABLE" });
    newcomer.close();
    expect(one.surfaces.operator.sessionCount()).toBeGreaterThan(0);
    // Its health is that it waits for its store, and says so.
    const health = rpcClient(Health, operator);
    await eventually(
      async () =>
        (await health.check({ service: "" }).catch((error: unknown) => (error as WeftError).detail)) ===
        "STORE_UNAVAILABLE",
    );
    await restore();
    await eventually(async () => (await nodes.listNodes({ clusterId })).nodes.length === 1);
    await eventually(async () => (await health.check({ service: "" })).status === ServingStatus.SERVING);
    operator.close();
  });
});
