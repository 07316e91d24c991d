/** `weft doctor` on the hosts of a healthy fabric, and on the same hosts with a mistake made. */

import { once } from "node:events";
import { chmodSync, cpSync, readFileSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { createServer } from "node:tls";
import { beforeAll, expect, it } from "vitest";
import { certificatePem } from "../../../certs/material.ts";
import { gather } from "../../../cli/commands/doctor.ts";
import { type CheckName, diagnose } from "../../../cli/doctor/judgements.ts";
import { type Clock, systemClock } from "../../../lib/clock.ts";
import { loadOperatorContext, saveOperatorContext } from "../../../rpc/operator-context.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { makePki } from "../../harness/pki.ts";
import { knownAt } from "../../harness/stock-grpc.ts";

let world: TestFabric;
let nodeConfig: string;
let laptop: string;
beforeAll(async () => {
  world = await sharedFabric();
  const files = await world.addClient("doctors-laptop");
  laptop = dirname(files.cert);
  await Promise.all(["entry-1", "entry-2"].map((entry) => knownAt(world.publicAddress(entry), files)));
  nodeConfig = join(world.fabric.root, "nodes", "entry-1", "node.json");
}, fabricWithinMs);

/** The control of `weft up` is configured by flags: the same as a file. */
function controlConfig(): string {
  const { root, plan } = world.fabric;
  const file = join(world.scratch, "control.json");
  const places = { dataDir: join(root, "control", "data"), sealingKeyFile: join(root, "keys", "sealing.key") };
  writeFileSync(file, JSON.stringify({ ...places, ...plan.control }));
  return file;
}

function changed(name: string, file: string, change: (config: Record<string, unknown>) => object): string {
  const out = join(world.scratch, name);
  const config = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  writeFileSync(out, JSON.stringify(change(config)), { mode: 0o600 });
  return out;
}

async function findings(options: object, clock: Clock = systemClock): Promise<Partial<Record<CheckName, string>>> {
  const { checks } = diagnose(await gather({ context: world.fabric.contextDir, ...options }, {}, clock));
  const wrong = checks.filter(({ state }) => state === "problem");
  return Object.fromEntries(wrong.map(({ check, findings: [first] }) => [check, first?.problem ?? ""]));
}

const later = (ms: number): Clock => ({ ...systemClock, nowMs: () => systemClock.nowMs() + ms });

it("M-F12 a healthy fabric has nothing: its operator, a client, a node's host, control's host", async () => {
  const hosts = ["--node-config", nodeConfig, "--control-config", controlConfig(), "--identity", laptop];
  // Beats that a busy machine held up look like clocks that are off, until the next ones say otherwise.
  const health = { said: "", code: null as number | null };
  const isHealthy = async (): Promise<true> => {
    const ran = await world.weft("doctor", ...hosts, "--json");
    Object.assign(health, { said: ran.stdout, code: ran.code });
    expect(ran.stderr).toBe("");
    const { checks } = JSON.parse(ran.stdout) as { checks: { check: string; state: string }[] };
    // Everything was looked at, by somebody.
    expect(checks.filter(({ state }) => state !== "ok")).toEqual([]);
    return true;
  };
  await eventually(isHealthy, { withinMs: 60_000, everyMs: 500, what: "a fabric without a finding" });
  expect(health.code).toBe(0);
  expect(JSON.parse(health.said)).toMatchObject({
    ok: true,
    places: [{ kind: "operator context" }, { kind: "client" }, { kind: "node" }, { kind: "control" }],
  });
}, 90_000);

it("M-F12 the clock of this host is off, and a snapshot has become old", async () => {
  expect(await findings({ nodeConfig }, later(-30_000))).toEqual({
    clock: expect.stringMatching(/this host, against control at .* is (29|30|31) s behind/),
  });
  const old = await findings({ nodeConfig }, later(5 * 3_600_000));
  expect(old).toMatchObject({
    clock: expect.stringContaining("5 h ahead"),
    "old-snapshot": expect.stringContaining("5 h old"),
  });
}, 30_000);

it("M-F12 a snapshot was put back from a copy", async () => {
  const stateDir = join(world.scratch, "put-back");
  cpSync(join(world.fabric.root, "nodes", "entry-1", "state"), stateDir, { recursive: true });
  // What the folder held after the copy was made.
  const mark = join(stateDir, "snapshot-mark.json");
  const held = JSON.parse(readFileSync(mark, "utf8")) as { version: string };
  writeFileSync(mark, JSON.stringify({ ...held, version: String(BigInt(held.version) + 3n) }));
  const config = changed("put-back.json", nodeConfig, (before) => ({ ...before, stateDir }));
  expect(await findings({ nodeConfig: config })).toEqual({
    "old-snapshot": expect.stringContaining("is older than one it held before"),
  });
});

it("M-F12 a node has a role that its host does not allow", async () => {
  const config = changed("ceiling.json", nodeConfig, (before) => ({ ...before, ceiling: { roles: ["relay"] } }));
  expect(await findings({ nodeConfig: config })).toEqual({
    "wrong-role": expect.stringContaining(`the role entry, and the ceiling in ${config} does not allow that`),
  });
});

it("M-F12 control is not where it should be, or its name does not resolve", async () => {
  const away = changed("away.json", nodeConfig, (before) => ({ ...before, control: ["127.0.0.1:1"] }));
  expect(await findings({ nodeConfig: away })).toEqual({
    "control-unreachable": expect.stringContaining("ECONNREFUSED"),
  });
  const nameless = changed("nameless.json", nodeConfig, (before) => ({ ...before, control: ["control.invalid:7400"] }));
  expect(await findings({ nodeConfig: nameless })).toEqual({
    "name-resolution": expect.stringContaining("control.invalid does not resolve"),
  });
  // Control's own operator port is no port for nodes.
  const { operatorPort } = world.fabric.plan.control;
  const mixed = changed("mixed.json", nodeConfig, (before) => ({ ...before, control: [`127.0.0.1:${operatorPort}`] }));
  expect(Object.keys(await findings({ nodeConfig: mixed }))).toHaveLength(1);
}, 30_000);

it("M-F12 an operator's context is of another installation", async () => {
  const { dir: _dir, leaf, ...context } = loadOperatorContext(world.fabric.contextDir);
  const foreign = await makePki();
  const controlRoots = foreign.roots("control").roots.map(({ der }) => Buffer.from(der).toString("base64"));
  const clusters = context.clusters.map((cluster) => ({ ...cluster, controlRoots }));
  const dir = join(world.scratch, "foreign");
  saveOperatorContext(dir, { ...context, clusters, installationKeyHash: "0".repeat(64) }, leaf);
  expect(await findings({ context: dir })).toEqual({
    "ca-mismatch": expect.stringContaining("a certificate of a CA that is not known here"),
  });
}, 30_000);

it("M-F12 a replica in an operator's context is somebody else, while another one answers", async () => {
  const { dir: _dir, leaf, ...context } = loadOperatorContext(world.fabric.contextDir);
  const { keyPem, certificatePem: cert } = await (await makePki()).leaf("control", "ct-1", { dnsNames: ["localhost"] });
  const stranger = createServer({ key: keyPem, cert, minVersion: "TLSv1.3", ALPNProtocols: ["h2"] });
  stranger.on("tlsClientError", () => {});
  await once(stranger.listen(0, "127.0.0.1"), "listening");
  const operatorAddress = `127.0.0.1:${(stranger.address() as AddressInfo).port}`;
  const dir = join(world.scratch, "strange-replica");
  saveOperatorContext(dir, { ...context, replicas: [{ operatorAddress, publicAddress: context.publicAddress }] }, leaf);
  try {
    // Of this alone: control tells of nodes too, whose beats a busy machine may have held up.
    expect((await findings({ context: dir }))["ca-mismatch"]).toContain("a certificate of a CA that is not known here");
  } finally {
    stranger.close();
  }
}, 30_000);

it("M-F12 a client's folder names entries that are not there, holds roots of another installation, or shows its key", async () => {
  const copy = (name: string): string => {
    const dir = join(world.scratch, name);
    cpSync(laptop, dir, { recursive: true });
    return dir;
  };
  const ofClient = async (identity: string): Promise<Partial<Record<CheckName, string>>> =>
    await findings({ identity });
  const away = copy("laptop-away");
  const facts = JSON.parse(readFileSync(join(away, "client.json"), "utf8")) as object;
  writeFileSync(
    join(away, "client.json"),
    JSON.stringify({ ...facts, entries: ["127.0.0.1:1", "entry.invalid:7444"] }),
  );
  expect(await ofClient(away)).toEqual({
    "entry-unreachable": expect.stringContaining("ECONNREFUSED"),
    "name-resolution": expect.stringContaining("entry.invalid does not resolve"),
  });
  const foreign = copy("laptop-foreign");
  const { roots } = (await makePki()).roots("node");
  writeFileSync(join(foreign, "servers.pem"), roots.map(({ der }) => certificatePem(der)).join(""));
  expect(await ofClient(foreign)).toEqual({
    "ca-mismatch": expect.stringContaining("a certificate of a CA that is not known here"),
  });
  const open = copy("laptop-open");
  const key = join(open, "client.key");
  chmodSync(key, 0o644);
  try {
    expect(await ofClient(open)).toEqual({
      "key-permissions": expect.stringContaining("mode 0644: others can read it"),
    });
  } finally {
    chmodSync(key, 0o600);
  }
}, 30_000);
