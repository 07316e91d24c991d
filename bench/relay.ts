/**
 * What a relay costs: the relay process of a real fabric against HAProxy that ends mutual TLS on both sides and speaks
 * HTTP/2 there, as a proxy of gRPC does, HAProxy that passes TLS on unread (what the kernel alone costs), and a relay written
 * with `@grpc/grpc-js`. The same two edges carry the same trunk through each; runs take turns, medians count. HAProxy that
 * ends TLS and copies bytes without knowing HTTP is measured too, and told beside the result.
 *
 *   npm run bench -- relay [rounds] --json
 *
 * The relay has core 0 for itself, the edges share core 1, so the edges are the limit and what differs is the relay's CPU
 * per byte. CPU is what /proc says of the processes; bytes are counted by the far edge.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { rootsOf } from "../certs/bundle.ts";
import { freePorts } from "../cli/up/layout.ts";
import { KiB } from "../lib/limits.ts";
import { loadIdentity } from "../node/identity-store.ts";
import { placedNumbers, readCommandLine } from "./load/options.ts";
import { quantile, round } from "./load/statistics.ts";
import { BenchChild, cpuSeconds, pin } from "./peers/child.ts";
import {
  grpcConfig,
  haproxyVersion,
  type ProxyFiles,
  passthroughConfig,
  requireHaproxy,
  startHaproxy,
  terminatingConfig,
} from "./peers/haproxy.ts";
import type { Route } from "./peers/route.ts";
import { type Stage, serverName, setStage } from "./peers/stage.ts";

const [rounds] =
  readCommandLine("usage: npm run bench -- relay [ROUNDS=5] [--json]", (args) => {
    if (args.includes("--help")) return undefined;
    return placedNumbers(args, [{ name: "ROUNDS", start: 5, min: 1 }]) as readonly [number];
  }) ?? process.exit();
const warmMs = 700;
const measureMs = 2_500;
const channels = 4;
const relayCore = 0;
const edgesCore = 1;

interface Contender {
  readonly name: string;
  readonly pid: number;
  readonly route: Route;
}

interface Run {
  readonly mbPerS: number;
  readonly cpuSPerGb: number;
  readonly edgesCpuSPerGb: number;
}

const say = (line: string): void => void process.stderr.write(`relay: ${line}\n`);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
/** The certificate and key of relay-1 as files: what stands in its place shows what it would show. */
function writeFiles(stage: Stage, folder: string): ProxyFiles & { readonly key: string; readonly leaf: string } {
  const stored = loadIdentity(stage.stateDir("relay-1"));
  if (stored === undefined) throw new Error("relay-1 has no identity");
  const { leaf, bundle } = stored.identity;
  const roots = rootsOf(bundle, "node").roots.map(({ pem }) => pem);
  const write = (name: string, text: string): string => {
    const file = join(folder, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  return {
    folder,
    identity: write("identity.pem", `${leaf.certificatePem}\n${leaf.keyPem}`),
    roots: write("roots.pem", roots.join("\n")),
    key: write("key.pem", leaf.keyPem),
    leaf: write("leaf.pem", leaf.certificatePem),
  };
}

async function startContenders(stage: Stage, program: string, folder: string): Promise<Contender[]> {
  const files = writeFiles(stage, folder);
  const { terminatedPort, directPort } = stage;
  const relayId = stage.nodeId("relay-1");
  const [tcpPort = 0, h2Port = 0, passPort = 0] = await freePorts(3);
  const ended = (port: number): Route => ({ kind: "tls", port, serverName, peerId: relayId, terminated: true });
  const tcp = await startHaproxy(
    program,
    "haproxy_tcp",
    files,
    tcpPort,
    terminatingConfig(tcpPort, terminatedPort, files),
  );
  const h2 = await startHaproxy(program, "haproxy", files, h2Port, grpcConfig(h2Port, terminatedPort, files));
  const pass = await startHaproxy(
    program,
    "haproxy_passthrough",
    files,
    passPort,
    passthroughConfig(passPort, directPort, serverName),
  );
  const grpc = BenchChild.start("grpc-relay.ts");
  const grpcPort = await grpc.call<number>("start", { farPort: terminatedPort, files });
  return [
    { name: "weft", pid: stage.fabric.process("relay-1").pid, route: stage.path("relay-1") },
    { name: "haproxy_tcp", pid: tcp.pid, route: ended(tcpPort) },
    { name: "haproxy", pid: h2.pid, route: ended(h2Port) },
    { name: "haproxy_passthrough", pid: pass.pid, route: { ...stage.direct, port: passPort } },
    { name: "grpc_js", pid: grpc.pid, route: ended(grpcPort) },
  ];
}

interface Sample {
  readonly atMs: number;
  readonly bytes: number;
  readonly relayCpuS: number;
  readonly edgesCpuS: number;
}

async function sample(stage: Stage, relayPid: number): Promise<Sample> {
  const { atMs, bytes } = await stage.far.call<{ atMs: number; bytes: number[] }>("swallowed");
  const edgesCpuS = cpuSeconds(stage.near.pid) + cpuSeconds(stage.far.pid);
  return { atMs, bytes: sum(bytes), relayCpuS: cpuSeconds(relayPid), edgesCpuS };
}

async function measure(stage: Stage, contender: Contender): Promise<Run> {
  await stage.far.call("forget");
  await stage.near.call("pour", { route: contender.route, channels, bytes: 64 * KiB });
  await pause(warmMs);
  const before = await sample(stage, contender.pid);
  await pause(measureMs);
  const after = await sample(stage, contender.pid);
  await stage.near.call("stopPouring");
  const bytes = after.bytes - before.bytes;
  const gigabytes = bytes / 1e9;
  return {
    mbPerS: bytes / 1e3 / (after.atMs - before.atMs),
    cpuSPerGb: (after.relayCpuS - before.relayCpuS) / gigabytes,
    edgesCpuSPerGb: (after.edgesCpuS - before.edgesCpuS) / gigabytes,
  };
}

function medianRun(runs: readonly Run[]): { mb_per_s: number; cpu_s_per_gb: number; edges_cpu_s_per_gb: number } {
  const of = (figure: (run: Run) => number, digits: number): number => round(quantile(runs.map(figure), 0.5), digits);
  return {
    mb_per_s: of(({ mbPerS }) => mbPerS, 1),
    cpu_s_per_gb: of(({ cpuSPerGb }) => cpuSPerGb, 3),
    edges_cpu_s_per_gb: of(({ edgesCpuSPerGb }) => edgesCpuSPerGb, 3),
  };
}

async function compare(stage: Stage, contenders: readonly Contender[]): Promise<Record<string, Run[]>> {
  const runs: Record<string, Run[]> = Object.fromEntries(contenders.map(({ name }) => [name, []]));
  for (const { pid } of contenders) pin(pid, relayCore);
  for (const { pid } of [stage.near, stage.far]) pin(pid, edgesCore);
  for (let turn = 1; turn <= rounds; turn += 1) {
    for (const contender of contenders) {
      const run = await measure(stage, contender);
      runs[contender.name]?.push(run);
      const { mbPerS, cpuSPerGb } = run;
      say(`round ${turn} ${contender.name.padEnd(20)} ${mbPerS.toFixed(0)} MB/s, ${cpuSPerGb.toFixed(3)} CPU-s per GB`);
    }
  }
  return runs;
}

function report(runs: Readonly<Record<string, readonly Run[]>>): void {
  const of = (name: string): ReturnType<typeof medianRun> => medianRun(runs[name] ?? []);
  const weft = of("weft");
  const haproxy = of("haproxy");
  const passthrough = of("haproxy_passthrough");
  const grpcJs = of("grpc_js");
  for (const name of Object.keys(runs)) {
    const { mb_per_s: speed, cpu_s_per_gb: cpu, edges_cpu_s_per_gb: edges } = of(name);
    say(`${name.padEnd(20)} ${speed} MB/s, relay ${cpu} CPU-s per GB, both edges ${edges}`);
  }
  const versus = (other: { cpu_s_per_gb: number }): number => round(weft.cpu_s_per_gb / other.cpu_s_per_gb, 3);
  const result = {
    weft,
    haproxy,
    haproxy_passthrough: passthrough,
    grpc_js: grpcJs,
    cpu_vs_haproxy: versus(haproxy),
    cpu_vs_passthrough: versus(passthrough),
    cpu_vs_grpc_js: versus(grpcJs),
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

const program = requireHaproxy(say);
say(`HAProxy ${haproxyVersion(program)}, Node ${process.version}, OpenSSL ${process.versions.openssl}`);
const folder = mkdtempSync(join(tmpdir(), "weft-bench-"));
let stage: Stage | undefined;
try {
  stage = await setStage(say);
  report(await compare(stage, await startContenders(stage, program, folder)));
} finally {
  await stage?.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
