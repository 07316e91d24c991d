/**
 * Control under the load of many nodes: `npm run bench -- control [--nodes 10000] [--connections 1000] [--seconds 30]
 * [--rate 2400] --json`. One control process as shipped, on a real PostgreSQL with its ordinary durability; the identities
 * are issued by a bulk job, then every connection is a node's own over mutual TLS. Three phases: beats in an open loop,
 * changes of policy watched by all connected nodes, and hosts that join by tokens that approve them.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { toBinary } from "@bufbuild/protobuf";
import { loadControlConfig } from "../control/config.ts";
import { initControl } from "../control/init.ts";
import { openContext, openOutside, openSeal, openStore } from "../control/open-context.ts";
import { ClusterService } from "../gen/weft/admin/v1/cluster_pb.ts";
import { QosService } from "../gen/weft/admin/v1/qos_pb.ts";
import { TokenService } from "../gen/weft/admin/v1/token_pb.ts";
import { ChannelClass, NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import { TrustBundleSchema } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { Closers } from "../lib/closers.ts";
import { rpcClient } from "../rpc/client.ts";
import { controlFlags, operatorOf } from "../tests/harness/control-process.ts";
import { startPostgres } from "../tests/harness/postgres.ts";
import { seedFleet } from "./load/fleet.ts";
import { benchOptions } from "./load/options.ts";
import { say } from "./load/progress.ts";
import { quantile, round } from "./load/statistics.ts";
import { BenchChild, cpuSeconds, tether } from "./peers/child.ts";

const usage = `npm run bench -- control [--nodes 10000] [--connections 1000] [--seconds 30] [--rate 2400] --json
  example: npm run bench -- control --nodes 1000 --seconds 10`;

const changes = 8;
const joinSeconds = 10;
const tokenUses = 100;
const tokens = 20;

interface Options {
  readonly nodes: number;
  readonly connections: number;
  readonly seconds: number;
  /** Beats offered a second, all connections together. */
  readonly rate: number;
}

/** Undefined when the words make no sense. */
function optionsOf(words: readonly string[]): Options | undefined {
  const defaults = { nodes: "10000", connections: "1000", seconds: "30", rate: "2400" };
  const values = benchOptions(words, defaults);
  if (values === undefined) return undefined;
  const options = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]));
  const { nodes = 0, connections = 0, seconds = 0, rate = 0 } = options;
  const whole = [nodes, connections, seconds, rate].every((each) => Number.isInteger(each) && each > 0);
  return whole && connections <= nodes && nodes <= 100_000 ? { nodes, connections, seconds, rate } : undefined;
}

interface ControlProcess {
  readonly pid: number;
  readonly publicAddress: string;
  readonly operatorAddress: string;
  stop(): Promise<void>;
}

/** Control as it is shipped, as a process of its own. */
async function startControlProcess(flags: Readonly<Record<string, unknown>>): Promise<ControlProcess> {
  const script = fileURLToPath(new URL("../control/bin.ts", import.meta.url));
  const words = Object.entries(flags).flatMap(([name, value]) => [
    `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    String(value),
  ]);
  const child = tether(spawn(process.execPath, [script, "run", ...words], { stdio: ["ignore", "pipe", "inherit"] }));
  for await (const line of createInterface({ input: child.stdout as Readable })) {
    const said = JSON.parse(line) as { ready?: boolean; public?: string; operator?: string };
    if (said.ready !== true) continue;
    const stop = async (): Promise<void> => {
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    };
    return { pid: child.pid ?? 0, publicAddress: said.public ?? "", operatorAddress: said.operator ?? "", stop };
  }
  throw new Error("control ended before it was ready");
}

type Fleet = BenchChild;

async function beat(fleet: Fleet, control: ControlProcess, postgresPid: number, { rate, seconds }: Options) {
  await fleet.call("beats", { perSecond: rate / 2, seconds: 3 });
  const before = cpuSeconds(control.pid);
  const report = await fleet.call<{ answered: number; failed: number; firstError: string; delaysMs: Float64Array }>(
    "beats",
    { perSecond: rate, seconds },
  );
  const share = (cpuSeconds(control.pid) - before) / seconds;
  say(
    `beats: ${report.answered} answered, ${report.failed} failed ${report.firstError}, control ${share.toFixed(2)} of a core (postgres ${postgresPid})`,
  );
  const delays = [...report.delaysMs];
  return {
    heartbeats_per_s: round(report.answered / seconds),
    p99_ms: round(quantile(delays, 0.99)),
    failed: report.failed,
  };
}

/** One change of policy after the other; per node, from the call that makes it until its snapshot is there. */
async function fanOut(
  fleet: Fleet,
  operator: ReturnType<typeof operatorOf>,
  clusterId: string,
  { connections }: Options,
) {
  await fleet.call("watch");
  const reached = async (version: bigint): Promise<number[]> => {
    for (let waited = 0; waited < 400; waited += 1) {
      const atMs = await fleet.call<number[]>("reached", { version });
      if (atMs.length >= connections) return atMs;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error("a change did not reach every node");
  };
  const cluster = async () => (await rpcClient(ClusterService, operator).getCluster({ clusterId })).cluster;
  await reached((await cluster())?.snapshotVersion ?? 0n);
  const delays: number[] = [];
  for (let turn = 1; turn <= changes; turn += 1) {
    const startedMs = Date.now();
    const priority = turn + 1;
    await rpcClient(QosService, operator).setQosPolicy({ clusterId, class: ChannelClass.BULK, priority });
    const atMs = await reached((await cluster())?.snapshotVersion ?? 0n);
    // Operators change things one by one; what comes faster is taken together.
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    const mine = atMs.map((each) => each - startedMs);
    say(`change ${turn}: p50 ${quantile(mine, 0.5)} ms, p99 ${quantile(mine, 0.99)} ms`);
    delays.push(...mine);
  }
  return { p50: round(quantile(delays, 0.5)), p99: round(quantile(delays, 0.99)), nodes: connections };
}

async function enrol(fleet: Fleet, operator: ReturnType<typeof operatorOf>, clusterId: string): Promise<number> {
  const texts: string[] = [];
  for (let index = 0; index < tokens; index += 1) {
    const scope = { roles: [NodeRole.EGRESS], namePrefix: "join-", autoApprove: true, maxUses: tokenUses };
    texts.push((await rpcClient(TokenService, operator).createToken({ clusterId, ...scope })).text);
  }
  const order = {
    tokens: texts,
    usesPerToken: tokenUses,
    seconds: joinSeconds,
    width: 16,
    prepared: tokens * tokenUses,
  };
  const report = await fleet.call<{ joined: number; failed: number; firstError: string }>("joins", order);
  say(`enrollments: ${report.joined} in ${joinSeconds} s, ${report.failed} failed ${report.firstError}`);
  return round(report.joined / joinSeconds);
}

async function measure(options: Options): Promise<Record<string, unknown>> {
  const dir = mkdtempSync(join(tmpdir(), "weft-bench-control-"));
  await using closers = new Closers();
  closers.add("folder", () => rmSync(dir, { recursive: true, force: true }));
  const server = await startPostgres({ durable: true });
  closers.add("postgres", () => server.stop());
  const urlFile = join(dir, "postgres.url");
  writeFileSync(urlFile, await server.database(), { mode: 0o600 });
  const flags = { ...controlFlags(dir, urlFile), logLevel: "warn" };
  const config = loadControlConfig({ env: {}, flags });
  const contextDir = join(dir, "context");
  const outcome = await initControl(config, { operatorName: "bench", contextDir });
  const outside = openOutside(config, {});
  const sql = await openStore(config, {}, outside.log, closers);
  const ctx = await openContext(config, {}, { sql, outside, sealingKey: openSeal(config) }, closers);
  const [version] = await sql.query<{ server_version: string }>("show server_version");
  say(`PostgreSQL ${version?.server_version}; issuing ${options.nodes} identities`);
  const nodes = await seedFleet(ctx, outcome.cluster, options.nodes, (made) => {
    if (made % 2_000 === 0) say(`${made} identities`);
  });
  const control = await startControlProcess(flags);
  closers.add("control", () => control.stop());
  const fleet = BenchChild.start("node-fleet.ts");
  closers.add("fleet", () => fleet.stop());
  const bundle = toBinary(TrustBundleSchema, outcome.bundle);
  const chosen = nodes.slice(0, options.connections);
  const address = control.publicAddress;
  const connected = await fleet.call<number>("connect", { address, bundle, nodes: chosen });
  say(`${connected} connections over mutual TLS`);
  const { failed, ...beats } = await beat(fleet, control, server.pid, options);
  const operator = operatorOf(contextDir, control.operatorAddress);
  closers.add("operator", () => operator.close());
  const snapshotFanout = await fanOut(fleet, operator, outcome.cluster.id, options);
  await fleet.call("stopWatching");
  const enrollments = await enrol(fleet, operator, outcome.cluster.id);
  if (failed > 0 || connected < options.connections) process.exitCode = 1;
  return {
    postgres: version?.server_version.split(" ")[0] ?? "",
    mtls: true,
    nodes: options.nodes,
    seconds: options.seconds,
    ...beats,
    enrollments_per_s: enrollments,
    snapshot_fanout_ms: snapshotFanout,
  };
}

const options = optionsOf(process.argv.slice(2));
if (options === undefined) {
  process.stderr.write(`${usage}\n`);
  process.exitCode = process.argv.includes("--help") ? 0 : 2;
} else {
  process.stdout.write(`${JSON.stringify(await measure(options))}\n`);
}
