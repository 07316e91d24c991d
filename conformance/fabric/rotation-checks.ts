/** Trust that changes while bytes run: roots and keys that rotate, and what goes on while control cannot be heard. */

import { X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { certificatePem } from "../../certs/material.ts";
import { echoOnce } from "../../cli/up/fabric.ts";
import { VerifiedStream } from "../../cli/up/stream.ts";
import { controlServerName } from "../../fabric/server-names.ts";
import { type Check, holds } from "../check.ts";
import { until } from "../until.ts";
import { rawCall, type Shown } from "./raw-call.ts";
import type { FabricWorld } from "./world.ts";

const bytesPerSecond = 2_000_000;
const finishWithinMs = 15_000;

/** Does something while a verified transfer runs, and requires every byte of it. */
async function besideTransfer<T>(world: FabricWorld, work: () => Promise<T>): Promise<readonly [T, string]> {
  const stream = new VerifiedStream(world.fabric.listenerPort("echo-entry-1"), bytesPerSecond);
  const done = await work().catch(async (thrown: unknown) => {
    await stream.finish(0);
    throw thrown;
  });
  const { equal } = await stream.finish(finishWithinMs);
  const { fault, verifiedBytes } = stream.counts();
  holds(equal, fault ?? `only ${verifiedBytes} bytes came back`);
  return [done, `${(verifiedBytes / 1e6).toFixed(1)} MB equal by hash`];
}

/** The leaf a node has now, as somebody who copied its folder would show it. */
function leafOf(world: FabricWorld, node: string): Shown {
  const { leaf } = world.identity(node).identity;
  return { certificatePem: certificatePem(leaf.certificateDer), keyPem: leaf.keyPem };
}

/** What a neighbour and control answer to a node's leaf: the status of a call, or how the connection ended. */
async function answersTo(world: FabricWorld, shown: Shown): Promise<readonly string[]> {
  const { clusterSlug, leaf } = world.identity("relay-1").identity;
  const { subjectAltName = "" } = new X509Certificate(leaf.certificateDer);
  const link = { shown, serverName: /DNS:(link-[^,\s]+)/.exec(subjectAltName)?.[1] ?? "" };
  const control = `127.0.0.1:${world.fabric.plan.control.publicPort}`;
  const node = { shown, serverName: controlServerName(clusterSlug) };
  return [
    await rawCall(world.publicAddress("relay-1"), "/weft.probe.v1.ProbeService/Probe", link),
    await rawCall(control, "/weft.heartbeat.v1.HeartbeatService/Beat", node),
  ];
}

/** Whether a call was let in, whatever it came to. */
const isServed = (answer: string): boolean => answer.startsWith("grpc") && !["grpc 7", "grpc 16"].includes(answer);

async function rootRotated(world: FabricWorld): Promise<string> {
  const old = leafOf(world, "entry-1");
  const atFirst = await answersTo(world, old);
  holds(atFirst.every(isServed), `a leaf in use is answered ${atFirst.join(", ")}`);
  const serialsOf = (): Map<string, string> =>
    new Map(world.fabric.plan.nodes.map(({ name }) => [name, world.identity(name).identity.leaf.serialHex]));
  const before = serialsOf();
  const startedMs = performance.now();
  const [said, bytes] = await besideTransfer(world, () =>
    world.weft("ca", "rotate", "--kind", "node", "--wait", "--timeout", "100s"),
  );
  holds(said.code === 0, said.stderr);
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
  const kept = [...serialsOf()].flatMap(([name, serial]) => (before.get(name) === serial ? [name] : []));
  holds(before.size > 0 && kept.length === 0, `the old leaf is still what ${kept.join(", ")} has`);
  const now = await answersTo(world, leafOf(world, "entry-1"));
  holds(now.every(isServed), `the new leaf is answered ${now.join(", ")}`);
  const after = await answersTo(world, old);
  holds(!after.some((answer) => answer.startsWith("grpc")), `the old leaf is answered ${after.join(", ")}`);
  return `the root of nodes replaced in ${seconds} s, ${bytes}; the old leaf is refused at a node and at control`;
}

async function keysRotated(world: FabricWorld): Promise<string> {
  const said = await world.weft("ca", "rotate", "--kind", "signing");
  holds(said.code === 0, said.stderr);
  const versionOf = async (): Promise<bigint> => (await world.status("relay-1")).snapshotVersion;
  const before = await versionOf();
  await world.json("resource", "add", "conformance-signed", "--pool", "demo-exit", "--target", "127.0.0.1:9");
  await until(async () => (await versionOf()) > before, "a node takes a snapshot by the new key");
  return "new keys for snapshots, feeds and contracts; nodes take what they sign";
}

async function snapshotsVerified(world: FabricWorld): Promise<string> {
  const stateDir = join(world.fabric.root, "nodes", "entry-1", "state");
  const file = join(stateDir, "snapshot.bin");
  const good = await world.weft("snapshot", "verify", file);
  holds(good.code === 0, `${good.stdout} ${good.stderr}`);
  const bytes = readFileSync(file);
  const altered = Buffer.from(bytes);
  const at = altered.indexOf("echo");
  altered[at] = (altered[at] ?? 0) ^ 1;
  const copy = join(world.scratch, "altered-snapshot.bin");
  writeFileSync(copy, altered);
  const bad = await world.weft("snapshot", "verify", copy, "--state-dir", stateDir);
  holds(at > 0 && bad.code !== 0, "an altered snapshot passes");
  return "a node's own snapshot verifies offline, one with an altered byte does not";
}

const graceText = "15s";

async function offlineModes(world: FabricWorld): Promise<string> {
  await world.json("policy", "offline", "set", "fail-closed", "--grace", graceText, "--resource", "web");
  const [web, echo] = ["web-entry-1", "echo-entry-1"].map((name) => world.fabric.listenerPort(name)) as [
    number,
    number,
  ];
  const fetched = async (): Promise<boolean> =>
    await fetch(`http://127.0.0.1:${web}/`, { signal: AbortSignal.timeout(3_000), headers: { connection: "close" } })
      .then((answer) => answer.ok)
      .catch(() => false);
  await until(fetched, "web is served before control is gone");
  const replicas = world.fabric.processes.filter(({ role }) => role === "control");
  for (const { pid } of replicas) process.kill(pid, "SIGSTOP");
  const startedMs = performance.now();
  try {
    await until(async () => !(await fetched()), "the closed one stops", { withinMs: 35_000, everyMs: 250 });
    const ms = Math.round(performance.now() - startedMs);
    await echoOnce(echo, 10_000);
    return `control gone: fail-closed (${graceText}) stopped after ${(ms / 1_000).toFixed(1)} s, continue-for goes on`;
  } finally {
    for (const { pid } of replicas) process.kill(pid, "SIGCONT");
    await world.json("policy", "offline", "remove", "--resource", "web");
    await until(fetched, "web is served again", { withinMs: 30_000 });
  }
}

export const rotationChecks: readonly Check<FabricWorld>[] = [
  {
    id: "C17.root-rotated",
    law: "THR-C17",
    title: "the root of nodes is replaced under a transfer",
    run: rootRotated,
    withinMs: 110_000,
  },
  { id: "S5.keys-rotated", law: "THR-S5", title: "online signing keys are replaced", run: keysRotated },
  { id: "A12.verified", law: "M-A12", title: "a node's snapshot, verified by a stranger", run: snapshotsVerified },
  {
    id: "A13.offline-modes",
    law: "M-A13",
    title: "two policies while control stands still",
    run: offlineModes,
    withinMs: 90_000,
  },
];
