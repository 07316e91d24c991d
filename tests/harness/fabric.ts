/**
 * A whole fabric of real processes for a test file, started by the function behind `weft up`: start it once in `beforeAll`,
 * stop it in `afterAll`. `stop` fails when a process, a listening port or the temporary folder outlives the fabric.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { certificatePem } from "../../certs/material.ts";
import { type Fabric, type FabricOptions, startFabric } from "../../cli/up/fabric.ts";
import { loadIdentity } from "../../node/identity-store.ts";
import { eventually } from "./eventually.ts";
import { type Secret, secretsInFile } from "./leak-search.ts";
import { leaksOfProcesses, leave, noteLeaks, secretsBelow } from "./left-behind.ts";
import { migratedDirectory } from "./shared-stores.ts";

export const repository = fileURLToPath(new URL("../../", import.meta.url));

/** PEM files as stock TLS clients take them. */
export interface StockFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** What a program that was run said. */
export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface TestFabric {
  readonly fabric: Fabric;
  /** A folder of the test's own, gone after `stop`. */
  readonly scratch: string;
  readonly operator: StockFiles;
  /** host:port as the process announced it. */
  publicAddress(name: string): string;
  operatorAddress(name: string): string;
  /** Key and leaf of a node of the fabric, as stock files. */
  nodeFiles(name: string): StockFiles;
  /** Adds a client identity through the CLI. */
  addClient(name: string, organization?: string): Promise<StockFiles>;
  /** Runs `weft` as the fabric's operator. */
  weft(...args: readonly string[]): Promise<Ran>;
  stop(): Promise<void>;
}

const clients = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of clients) child.kill("SIGKILL");
});

/** Runs a program to its end; kills it after `withinMs`. */
export function run(
  program: string,
  args: readonly string[],
  options: { readonly stdin?: string; readonly withinMs?: number; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Ran> {
  const child = spawn(program, args, {
    stdio: ["pipe", "pipe", "pipe"],
    timeout: options.withinMs ?? 30_000,
    env: { ...process.env, ...options.env },
  });
  clients.add(child);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.on("error", () => {});
  child.stdin.end(options.stdin ?? "");
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      clients.delete(child);
      resolve({ code, stdout, stderr });
    });
  });
}

function hostOf(fabric: Fabric, name: string, port: "public" | "operator"): string {
  const address = fabric.process(name).facts[port];
  if (typeof address !== "string" || address === "") throw new Error(`${name} has no ${port} port`);
  return address;
}

function writeNodeFiles(fabric: Fabric, scratch: string, ca: string, name: string): StockFiles {
  const stored = loadIdentity(join(fabric.root, "nodes", name, "state"));
  if (stored === undefined) throw new Error(`${name} has no identity`);
  const { leaf } = stored.identity;
  const files = { ca, cert: join(scratch, `${name}.crt`), key: join(scratch, `${name}.key`) };
  writeFileSync(files.cert, certificatePem(leaf.certificateDer));
  writeFileSync(files.key, leaf.keyPem, { mode: 0o600 });
  return files;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Processes whose command line or environment names the fabric's folder; empty where there is no /proc. */
function processesOf(root: string): string[] {
  if (!existsSync("/proc/self/cmdline")) return [];
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      return line.includes(root) ? [`${pid} ${line}`] : [];
    } catch {
      return [];
    }
  });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

async function leftovers(fabric: Fabric): Promise<string[]> {
  const { plan } = fabric;
  const ports = [
    plan.control.publicPort,
    plan.control.operatorPort,
    plan.targets.webPort,
    plan.targets.echoPort,
    ...plan.listeners.map(({ port }) => port),
    ...plan.nodes.flatMap(({ publicPort }) => publicPort ?? []),
  ];
  const open = await Promise.all(ports.map(async (port) => ((await accepts(port)) ? [`port ${port} accepts`] : [])));
  const alive = fabric.processes.filter(({ pid }) => isAlive(pid)).map(({ name, pid }) => `${name} (${pid}) runs`);
  return [...open.flat(), ...alive, ...processesOf(fabric.root)];
}

/** The token of a node, which it uses up before anybody could look: noted when its process is about to start. */
function overhearTokens(options: FabricOptions, tokens: Secret[]): FabricOptions {
  return {
    ...options,
    async placeOf(node, plan, root) {
      const file = join(root, "nodes", node.name, "join.token");
      if (existsSync(file)) tokens.push(...secretsInFile(`the token of ${node.name}`, readFileSync(file, "utf8")));
      return (await options.placeOf?.(node, plan, root)) ?? {};
    },
  };
}

/** Searches what a fabric leaves, while its processes run: their arguments and environments are theirs only so long. */
function searchFabric({ root, processes }: Fabric, sinceMs: number, tokens: readonly Secret[]): void {
  noteLeaks(leaksOfProcesses(processes, [...secretsBelow(root), ...tokens]));
  leave(root, sinceMs, tokens);
}

/** Starts a fabric; resolves once bytes come back through every entry. Give the hook at least `fabricWithinMs`. */
export async function startTestFabric(options: FabricOptions = {}): Promise<TestFabric> {
  const tokens: Secret[] = [];
  // What a store is begun from is nobody's; what was written since is searched in the end.
  let sinceMs = Date.now();
  const putStore = async (directory: string): Promise<void> => {
    await migratedDirectory(directory);
    sinceMs = Date.now();
  };
  const fabric = await startFabric({ logLevel: "warn", metrics: true, putStore, ...overhearTokens(options, tokens) });
  const scratch = mkdtempSync(join(tmpdir(), "weft-test-"));
  chmodSync(scratch, 0o700);
  const operatorFile = (file: string): string => join(fabric.contextDir, file);
  const operator = {
    ca: operatorFile("servers.pem"),
    cert: operatorFile("operator.crt"),
    key: operatorFile("operator.key"),
  };
  const weft = (...args: readonly string[]): Promise<Ran> =>
    run(process.execPath, [join(repository, "cli/bin.ts"), ...args], { env: { WEFT_CONTEXT: fabric.contextDir } });
  return {
    fabric,
    scratch,
    operator,
    weft,
    publicAddress: (name) => hostOf(fabric, name, "public"),
    operatorAddress: (name) => hostOf(fabric, name, "operator"),
    nodeFiles: (name) => writeNodeFiles(fabric, scratch, operator.ca, name),
    async addClient(name, organization = "demo") {
      const dir = join(scratch, name);
      const added = await weft("identity", "add", "client", name, "--organization", organization, "--out", dir);
      if (added.code !== 0) throw new Error(`the client could not be added: ${added.stderr}`);
      return { ca: join(dir, "servers.pem"), cert: join(dir, "client.crt"), key: join(dir, "client.key") };
    },
    async stop() {
      searchFabric(fabric, sinceMs, tokens);
      leave(scratch, 0, secretsBelow(fabric.root));
      await fabric.stop();
      rmSync(scratch, { recursive: true, force: true });
      await eventually(async () => (await leftovers(fabric)).length === 0, { withinMs: 3_000, everyMs: 100 }).catch(
        async () => {
          throw new Error(`the fabric left something behind: ${(await leftovers(fabric)).join("; ")}`);
        },
      );
      if (options.data === undefined && existsSync(fabric.root)) throw new Error(`${fabric.root} is still there`);
    },
  };
}

let shared: Promise<TestFabric> | undefined;

/**
 * The one fabric of a test file, for parts that take turns with it (tests/integration/on-fabric/): whoever asks first waits
 * for its start. A part has names of its own for what it adds, takes away what others would notice, and brings back what it
 * kills; one that leaves something dead or revoked comes last. The file ends with `stopSharedFabric`. Where the fabric is to be
 * a special one, the file itself asks first, with options.
 */
export function sharedFabric(options: FabricOptions = {}): Promise<TestFabric> {
  shared ??= startTestFabric(options);
  return shared;
}

export async function stopSharedFabric(): Promise<void> {
  await (await shared)?.stop();
}

/** What a hook that starts a fabric may take. */
export const fabricWithinMs = 90_000;
