/**
 * LAW-C3 in every byte: whatever a client does with a fabric of real processes, over AccessService, PathService, trunks,
 * listeners, health and reflection, nothing that it receives names a node but its entries, an address but theirs, or anything
 * of another organization.
 */

import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { dirname, join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { beforeAll, expect, it } from "vitest";
import { type Client, connect } from "../../../client/connect.ts";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { ClusterService } from "../../../gen/weft/admin/v1/cluster_pb.ts";
import { NodeAdminService } from "../../../gen/weft/admin/v1/node_pb.ts";
import { OrganizationService } from "../../../gen/weft/admin/v1/organization_pb.ts";
import { PoolService } from "../../../gen/weft/admin/v1/pool_pb.ts";
import { ResourceService } from "../../../gen/weft/admin/v1/resource_pb.ts";
import { NodeRole, OriginAssurance, ResourceKind } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { type Snapshot, SnapshotEnvelopeSchema, SnapshotSchema } from "../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, type StockFiles, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { freePort } from "../../harness/loopback.ts";
import { overhear } from "../../harness/overheard.ts";
import { callUnary, connectOutcome, dialStock } from "../../harness/stock-grpc.ts";

let world: TestFabric;
let files: StockFiles;
/** What no client may ever see, with what it is. */
const secrets = new Map<string, string>();
let ownPoolId = "";

const planted = { organization: "visible-to-nobody", pool: "pool-unseen-4711", resource: "res-unseen-4712" };

function snapshotOf(name: string): Snapshot {
  const stored = readFileSync(join(world.fabric.root, "nodes", name, "state", "snapshot.bin"));
  return fromBinary(SnapshotSchema, fromBinary(SnapshotEnvelopeSchema, stored).payload);
}

/** Another organization with a pool, a resource and a client; and a resource of our own that nobody answers for. */
async function plant(): Promise<void> {
  await world.fabric.withSession(async (session) => {
    const clusterId = await session.clusterId();
    const { organizations } = await session.client(OrganizationService).listOrganizations({ clusterId });
    const demo = organizations.find(({ name }) => name === "demo")?.id ?? "";
    const { organization } = await session
      .client(OrganizationService)
      .createOrganization({ clusterId, name: planted.organization });
    const organizationId = organization?.id ?? "";
    const { pools } = await session.client(PoolService).listPools({ clusterId });
    // Not any pool of ours: other parts may have made one that nobody serves.
    ownPoolId = pools.find(({ name, organizationId }) => organizationId === demo && name === "demo-exit")?.id ?? "";
    const { pool } = await session.client(PoolService).createPool({ clusterId, organizationId, name: planted.pool });
    const target = { host: "127.0.0.1", kind: ResourceKind.TCP, minimumAssurance: OriginAssurance.ANONYMOUS };
    const add = { clusterId, ...target, service: "echo" };
    const theirs = { organizationId, poolId: pool?.id ?? "", name: planted.resource, port: await freePort() };
    const { resource } = await session.client(ResourceService).addResource({ ...add, ...theirs });
    const dead = { organizationId: demo, poolId: ownPoolId, name: "dead-here", port: await freePort() };
    const { resource: own } = await session.client(ResourceService).addResource({ ...add, ...dead });
    const rows = { organizationId, poolId: pool?.id, resourceId: resource?.id, ...planted };
    for (const [what, text] of Object.entries(rows)) secrets.set(text ?? "", `another organization's ${what}`);
    secrets.set(own?.id ?? "", "the id of a resource").set(demo, "the id of its organization");
    secrets.set(`127.0.0.1:${dead.port}`, "a target's address");
    const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId });
    for (const node of nodes) {
      // Which entries there are, and where, is what clients are told when they are made.
      if (node.roles.some(({ role }) => role === NodeRole.ENTRY)) continue;
      secrets.set(node.id, `the id of ${node.name}`).set(node.name, "the name of a node");
      for (const { host, port } of node.addresses) secrets.set(`${host}:${port}`, `where ${node.name} is`);
      if (node.operatorAddress !== "") secrets.set(node.operatorAddress, `the operator port of ${node.name}`);
    }
    const { cluster } = await session.client(ClusterService).getCluster({ clusterId });
    expect(cluster?.id).toBe(clusterId);
  });
  const stranger = await world.addClient("unseen-client-4713", planted.organization);
  secrets.set("unseen-client-4713", "another organization's client");
  const { subjectAltName = "" } = new X509Certificate(readFileSync(stranger.cert));
  secrets.set(/\/client\/([^\s,]+)/.exec(subjectAltName)?.[1] ?? "", "its id");
  const { plan } = world.fabric;
  for (const port of [plan.targets.webPort, plan.targets.echoPort])
    secrets.set(`127.0.0.1:${port}`, "a target's address");
  secrets.set(`127.0.0.1:${plan.control.publicPort}`, "where control is");
  // An entry has one certificate for all its doors: its own label stands in what it shows.
  for (const { name, role } of plan.nodes)
    if (role !== "entry") secrets.set(snapshotOf(name).self?.linkLabel ?? "", `the link label of ${name}`);
  // All of it was found out, or it would not be looked for.
  expect([...secrets.keys()].filter((text) => text.length < 7)).toEqual([]);
}

beforeAll(async () => {
  world = await sharedFabric();
  files = await world.addClient("listening-client");
  await plant();
}, 2 * fabricWithinMs);

/** Sends something through a channel and takes it back; how it fails is as good. */
async function tryChannel(client: Client, resource: string): Promise<string> {
  try {
    const channel = await client.open(resource);
    channel.write("hello");
    await new Promise((resolve, reject) => channel.once("data", resolve).once("error", reject));
    channel.destroy();
    return "echoed";
  } catch (thrown) {
    return (thrown as { detail?: string }).detail ?? String(thrown);
  }
}

function listen(port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host: "127.0.0.1", port }, () => socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    socket.once("data", () => socket.destroy());
    socket.on("error", () => {}).once("close", () => resolve());
  });
}

it("LAW-C3 no byte that a client receives names a node, an address or another organization", async () => {
  const entry = world.publicAddress("entry-1");
  await eventually(async () => (await connectOutcome(entry, files, "dead-here")).reason === "TARGET_REFUSED", {
    withinMs: 20_000,
    everyMs: 100,
  });
  const heard = overhear();
  const client = connect({ identity: dirname(files.cert), entries: [entry, world.publicAddress("entry-2")] });
  try {
    // PathService, trunks, and everything that can end a channel.
    expect(await tryChannel(client, "echo")).toBe("echoed");
    expect(await tryChannel(client, "dead-here")).toBe("TARGET_REFUSED");
    for (const name of [planted.resource, "no-such-thing", ...[...secrets.keys()].slice(0, 3)])
      expect(await tryChannel(client, name)).toBe("UNKNOWN_RESOURCE");
    await eventually(() =>
      client.trunks().some(({ attachments }) => attachments.some(({ active, ready }) => ready && !active)),
    );
    // A relay drains: paths move, and the client is told.
    expect((await world.weft("node", "drain", "relay-1")).code).toBe(0);
    await eventually(async () => (await tryChannel(client, "echo")) === "echoed");
    expect((await world.weft("node", "undrain", "relay-1")).code).toBe(0);
    // AccessService by a stock client, what it may and what it may not.
    for (const resource of ["echo", "dead-here", planted.resource, "no-such-thing"])
      await connectOutcome(entry, files, resource);
    const grpc = dialStock(entry, files);
    expect(await callUnary(grpc, Health.method.check, { service: "" })).toMatchObject({ status: 1 });
    for (const service of ["weft.node.v1.NodeService", "no.such.Service"])
      await callUnary(grpc, Health.method.check, { service }).catch(() => {});
    const refused = { code: expect.any(Number) };
    await expect(callUnary(grpc, NodeAdminService.method.listNodes, {})).rejects.toMatchObject(refused);
    await expect(callUnary(grpc, OrganizationService.method.listOrganizations, {})).rejects.toMatchObject(refused);
    grpc.close();
    // Plain listeners.
    for (const name of ["echo-entry-1", "web-entry-1"]) await listen(world.fabric.listenerPort(name));
  } finally {
    await client.close();
    heard.stop();
  }
  // The search can see: what the client is told, it was told.
  expect(heard.bytes).toBeGreaterThan(1_000);
  expect(heard.find(ownPoolId), "its own pool").toBeDefined();
  expect(heard.find(String(world.fabric.process("entry-1").facts.nodeId)), "its entry").toBeDefined();
  expect(secrets.size).toBeGreaterThan(20);
  const seen = [...secrets].flatMap(([text, what]) => {
    const where = heard.find(text);
    return where === undefined ? [] : [`${what} (${text}) in ${where}`];
  });
  expect(seen).toEqual([]);
}, 90_000);
