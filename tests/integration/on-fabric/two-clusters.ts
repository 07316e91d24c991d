/**
 * Two clusters of one installation, one host enrolled into both: what belongs to one is nothing to the other. Every refusal
 * stands beside the same attempt in the right cluster, which succeeds.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { certificatePem } from "../../../certs/material.ts";
import { HeartbeatService } from "../../../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { LeaseService } from "../../../gen/weft/lease/v1/lease_pb.ts";
import { loadIdentity } from "../../../node/identity-store.ts";
import { eventually } from "../../harness/eventually.ts";
import {
  fabricWithinMs,
  repository,
  run,
  type StockFiles,
  sharedFabric,
  type TestFabric,
} from "../../harness/fabric.ts";
import { freePort } from "../../harness/loopback.ts";
import { type ServerProcess, startServer } from "../../harness/server-process.ts";
import { callUnary, connectOutcome, dialStock } from "../../harness/stock-grpc.ts";

const clusters = ["default", "second"] as const;
type Cluster = (typeof clusters)[number];
const other: Readonly<Record<Cluster, Cluster>> = { default: "second", second: "default" };

interface Membership {
  readonly agent: ServerProcess;
  readonly stateDir: string;
  readonly address: string;
  readonly node: StockFiles;
  readonly client: StockFiles;
}

let world: TestFabric;
const memberships = new Map<Cluster, Membership>();

function membership(cluster: Cluster): Membership {
  const found = memberships.get(cluster);
  if (found === undefined) throw new Error(`this host is no member of ${cluster}`);
  return found;
}

async function weft<T>(...args: readonly string[]): Promise<T> {
  const ran = await world.weft(...args, "--json");
  if (ran.code !== 0) throw new Error(`weft ${args.join(" ")}: ${ran.stderr}`);
  return JSON.parse(ran.stdout) as T;
}

interface RequestRow {
  readonly id: string;
  readonly nodeName: string;
  readonly keyFingerprint: string;
}

async function approve(cluster: Cluster, name: string): Promise<void> {
  const pending = await eventually(
    async () => {
      const list = ["request", "list", "--state", "pending", "--cluster", cluster];
      const { requests } = await weft<{ requests: RequestRow[] }>(...list);
      return requests.find(({ nodeName }) => nodeName === name);
    },
    { withinMs: 20_000, everyMs: 200, what: `a request of ${name} in ${cluster}` },
  );
  const fingerprint = ["--fingerprint", pending.keyFingerprint];
  await weft("request", "approve", pending.id, ...fingerprint, "--cluster", cluster);
}

/** PEM files of the node's leaf, with the roots of its own cluster. */
function stockFilesOf(cluster: Cluster, stateDir: string, ca: string): StockFiles {
  const leaf = loadIdentity(stateDir)?.identity.leaf;
  if (leaf === undefined) throw new Error(`${stateDir} holds no identity`);
  const files = { ca, cert: join(world.scratch, `${cluster}.crt`), key: join(world.scratch, `${cluster}.key`) };
  writeFileSync(files.cert, certificatePem(leaf.certificateDer));
  writeFileSync(files.key, leaf.keyPem, { mode: 0o600 });
  return files;
}

/** Makes this host an entry of a cluster: token, request, approval, agent; and adds a client of the cluster. */
async function enroll(cluster: Cluster): Promise<Membership> {
  const { scratch } = world;
  const stateDir = join(scratch, `state-${cluster}`);
  const tokenFile = join(scratch, `${cluster}.token`);
  await weft("organization", "create", "shared", "--cluster", cluster);
  await weft("token", "create", "--roles", "entry", "--out", tokenFile, "--cluster", cluster);
  const port = await freePort();
  const config = join(scratch, `${cluster}.json`);
  const settings = {
    stateDir,
    control: [world.publicAddress("control")],
    publicPort: port,
    dev: true,
    logLevel: "warn",
    join: { tokenFile, name: "same-host", roles: ["entry"], addresses: [{ host: "127.0.0.1", port }] },
  };
  writeFileSync(config, JSON.stringify(settings));
  const [agent] = await Promise.all([
    startServer({
      program: process.execPath,
      args: [join(repository, "node/bin.ts"), "--config", config],
      ready: '"ready":true',
      stopSignal: "SIGTERM",
    }),
    approve(cluster, "same-host"),
  ]);
  const dir = join(scratch, `client-${cluster}`);
  await weft("identity", "add", "client", "both", "--organization", "shared", "--out", dir, "--cluster", cluster);
  const client = { ca: join(dir, "servers.pem"), cert: join(dir, "client.crt"), key: join(dir, "client.key") };
  return { agent, stateDir, address: `127.0.0.1:${port}`, client, node: stockFilesOf(cluster, stateDir, client.ca) };
}

beforeAll(async () => {
  world = await sharedFabric();
  await weft("cluster", "create", "second");
  for (const cluster of clusters) memberships.set(cluster, await enroll(cluster));
  writeFileSync(bothRoots(), clusters.map((cluster) => controlRoots(cluster)).join(""));
}, fabricWithinMs * 2);
afterAll(async () => {
  for (const { agent } of memberships.values()) await agent.stop();
}, fabricWithinMs);

describe("one host in two clusters", () => {
  it("is a different node in each, and neither cluster lists the other's", async () => {
    const names = async (cluster: Cluster): Promise<string[]> => {
      const { nodes } = await weft<{ nodes: { name: string }[] }>("node", "list", "--cluster", cluster);
      return nodes.map(({ name }) => name).sort();
    };
    expect(await names("second")).toEqual(["same-host"]);
    expect(await names("default")).toHaveLength(8);
    const ids = clusters.map((cluster) => loadIdentity(membership(cluster).stateDir)?.identity.nodeId);
    expect(new Set(ids).size).toBe(2);
  });

  it.each(clusters)("LAW-C1 control takes its certificate for %s in that cluster only", async (cluster) => {
    const ask = async (door: Cluster): Promise<number> => {
      const grpc = dialControl(cluster, door);
      try {
        await callUnary(grpc, LeaseService.method.get, { name: "nobody-holds-it" });
        return status.OK;
      } catch (error) {
        return (error as { code: number }).code;
      } finally {
        grpc.close();
      }
    };
    expect(await ask(cluster)).toBe(status.NOT_FOUND);
    expect([status.UNAVAILABLE, status.UNAUTHENTICATED]).toContain(await ask(other[cluster]));
  });

  it.each(clusters)("LAW-C1 its entry in %s serves clients of that cluster only", async (cluster) => {
    const { address, client } = membership(cluster);
    const stranger = { ...membership(other[cluster]).client, ca: client.ca };
    // Known, and told so: the name does not exist in its organization.
    const known = await eventually(async () => {
      const outcome = await connectOutcome(address, client, "anything");
      return outcome.code === status.NOT_FOUND && outcome;
    });
    expect(known.reason).toBe("UNKNOWN_RESOURCE");
    const refused = await connectOutcome(address, stranger, "anything");
    expect([status.UNAVAILABLE, status.UNAUTHENTICATED, status.PERMISSION_DENIED]).toContain(refused.code);
    expect(refused.reason).not.toBe("UNKNOWN_RESOURCE");
  });

  it.each(clusters)("LAW-C1 a client of %s does not believe the other cluster's entry", async (cluster) => {
    const outcome = await connectOutcome(membership(other[cluster]).address, membership(cluster).client, "anything");
    expect(outcome.code).toBe(status.UNAVAILABLE);
    expect(outcome.message).toMatch(/certificate/);
  });

  it("a token of one cluster opens no other", async () => {
    const file = join(world.scratch, "moved.token");
    await weft("token", "create", "--roles", "relay", "--out", file, "--cluster", "default");
    const text = readFileSync(file, "utf8");
    expect(text.startsWith("weft1.default.")).toBe(true);
    writeFileSync(file, text.replace("weft1.default.", "weft1.second."));
    const joined = await run(process.execPath, [
      join(repository, "cli/bin.ts"),
      "join",
      ...["--control", world.publicAddress("control"), "--token-file", file, "--state", join(world.scratch, "moved")],
      ...["--roles", "relay", "--name", "moved", "--dial-out-only"],
    ]);
    expect(joined.code).not.toBe(0);
    expect(joined.stdout).toBe("");
    for (const cluster of clusters) {
      const { requests } = await weft<{ requests: RequestRow[] }>("request", "list", "--cluster", cluster);
      expect(requests.map(({ nodeName }) => nodeName)).not.toContain("moved");
    }
  });

  it("revoking it in one cluster leaves the other alone", async () => {
    await weft("node", "revoke", "same-host", "--cluster", "second");
    const beat = async (cluster: Cluster): Promise<number> => {
      const grpc = dialControl(cluster, cluster);
      try {
        await callUnary(grpc, HeartbeatService.method.beat, {});
        return status.OK;
      } catch (error) {
        return (error as { code: number }).code;
      } finally {
        grpc.close();
      }
    };
    await eventually(async () => [status.UNAVAILABLE, status.UNAUTHENTICATED].includes(await beat("second")), {
      what: "control to refuse the revoked node",
    });
    expect(await beat("default")).toBe(status.INVALID_ARGUMENT);
    const { client, address } = membership("default");
    expect((await connectOutcome(address, client, "anything")).reason).toBe("UNKNOWN_RESOURCE");
  });
});

function bothRoots(): string {
  return join(world.scratch, "both.pem");
}

/** As the node of `cluster`, at control's door for `door`. Control's roots of both are trusted: what is asked is whom it trusts. */
function dialControl(cluster: Cluster, door: Cluster) {
  const files = { ...membership(cluster).node, ca: bothRoots() };
  return dialStock(world.publicAddress("control"), files, `control.${door}.weft.internal`);
}

/** Control's roots of a cluster as the membership's trust bundle has them. */
function controlRoots(cluster: Cluster): string {
  const roots = loadIdentity(membership(cluster).stateDir)?.identity.bundle.roots ?? [];
  return roots.map(({ certificateDer }) => certificatePem(certificateDer)).join("");
}
