/**
 * The whole product as real processes, for the checks that need it: two replicas of control on a PostgreSQL of their own,
 * Redis where there is one, the nodes of `weft up`, and a tap on the wire to every relay.
 */

import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeSecretFile } from "../../certs/secret-file.ts";
import { type Fabric, type FabricOptions, startFabric } from "../../cli/up/fabric.ts";
import { askFabricNode, type Failover, onceEach, watchFailovers } from "../../cli/up/failovers.ts";
import type { GetStatusResponse } from "../../gen/weft/node/v1/node_pb.ts";
import { loadIdentity, type StoredIdentity } from "../../node/identity-store.ts";
import type { RedisServer } from "../stores/servers.ts";
import { type Detour, openDetour } from "./detour.ts";
import { openTap, type Tap } from "./tap.ts";

const weftBin = fileURLToPath(new URL("../../cli/bin.ts", import.meta.url));
/** As long as the longest check waits: one that waits for a rotation has its own, shorter patience. */
const commandWithinMs = 110_000;

/** A relay that hears control over a wire of its own. */
export const detouredNode = "relay-2";

/** What a command said. */
export interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface FabricWorld {
  readonly fabric: Fabric;
  /** A folder of this run's own. */
  readonly scratch: string;
  /** Of a client of the demo organization. */
  readonly clientDir: string;
  readonly redis: RedisServer | undefined;
  /** By relay. */
  readonly taps: ReadonlyMap<string, Tap>;
  /** The wire on which one node, `detouredNode`, hears control. */
  readonly detour: Detour;
  /** Every move of a trunk since the fabric stands, the newest last. */
  readonly moves: readonly Failover[];
  /** Runs `weft` as the fabric's operator, or over another context. */
  weft(...args: readonly string[]): Promise<Said>;
  /** The one JSON object a command prints. Throws with what it said when it fails. */
  json<T>(...args: readonly string[]): Promise<T>;
  status(node: string): Promise<GetStatusResponse>;
  identity(node: string): StoredIdentity;
  publicAddress(name: string): string;
  operatorAddress(name: string): string;
  close(): Promise<void>;
}

/** Runs `weft` over a context folder. */
function runWeft(contextDir: string, args: readonly string[]): Promise<Said> {
  const child = spawn(process.execPath, [weftBin, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: commandWithinMs,
    env: { ...process.env, WEFT_CONTEXT: contextDir },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString("utf8")));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString("utf8")));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
}

function addressOf(fabric: Fabric, name: string, port: "public" | "operator"): string {
  const address = fabric.process(name).facts[port];
  if (typeof address !== "string" || address === "") throw new Error(`${name} has no ${port} port`);
  return address;
}

function redisFile(scratch: string, redis: RedisServer | undefined): Partial<FabricOptions> {
  if (redis === undefined) return {};
  const file = join(scratch, "redis.url");
  writeSecretFile(file, `${redis.url}\n`);
  return { redisUrlFile: file };
}

function worldOver(
  parts: Pick<FabricWorld, "fabric" | "scratch" | "redis" | "taps" | "detour" | "moves"> & { readonly end: () => void },
): FabricWorld {
  const { fabric, scratch, end } = parts;
  const weft = (...args: readonly string[]): Promise<Said> => runWeft(fabric.contextDir, args);
  return {
    ...parts,
    clientDir: join(scratch, "client"),
    weft,
    async json<T>(...args: readonly string[]) {
      const { code, stdout, stderr } = await weft(...args, "--json");
      if (code !== 0) throw new Error(`weft ${args.join(" ")}: exit ${code}: ${stderr}`);
      return JSON.parse(stdout) as T;
    },
    status: (node) =>
      fabric.withSession((session) => askFabricNode(fabric, session, node, (client) => client.getStatus({}))),
    identity(node) {
      const stored = loadIdentity(join(fabric.root, "nodes", node, "state"));
      if (stored === undefined) throw new Error(`${node} has no identity`);
      return stored;
    },
    publicAddress: (name) => addressOf(fabric, name, "public"),
    operatorAddress: (name) => addressOf(fabric, name, "operator"),
    async close() {
      end();
      await fabric.stop();
      for (const wire of [...parts.taps.values(), parts.detour]) await wire.close();
      rmSync(scratch, { recursive: true, force: true });
    },
  };
}

/** Starts everything; `signal` gives up. */
export async function openFabricWorld(
  redis: RedisServer | undefined,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<FabricWorld> {
  const scratch = mkdtempSync(join(tmpdir(), "weft-conformance-"));
  chmodSync(scratch, 0o700);
  const taps = new Map<string, Tap>();
  let detour: Detour | undefined;
  const fabric = await startFabric({
    replicas: 2,
    embeddedPostgres: true,
    logLevel: "info",
    onProgress: say,
    signal,
    ...redisFile(scratch, redis),
    async placeOf(node, { control }) {
      if (node.role !== "relay" || node.publicPort === undefined) return {};
      // One that is started again is reached where it always was.
      const tap = taps.get(node.name) ?? (await openTap(node.publicPort));
      taps.set(node.name, tap);
      const advertised = { host: "127.0.0.1", port: tap.port };
      if (node.name !== detouredNode) return { advertised };
      detour ??= await openDetour(control.publicPort);
      return { advertised, control: `127.0.0.1:${detour.port}` };
    },
  }).catch(async (thrown: unknown) => {
    for (const tap of taps.values()) await tap.close();
    await detour?.close();
    rmSync(scratch, { recursive: true, force: true });
    throw thrown;
  });
  const moves: Failover[] = [];
  const watching = new AbortController();
  void watchFailovers(
    fabric,
    onceEach((move) => void moves.push(move)),
    watching.signal,
  );
  if (detour === undefined) throw new Error(`there is no ${detouredNode}`);
  const world = worldOver({ fabric, scratch, redis, taps, detour, moves, end: () => watching.abort() });
  const added = await world.weft(
    "identity",
    "add",
    "client",
    "conformance",
    "--organization",
    "demo",
    "--out",
    world.clientDir,
  );
  if (added.code === 0) return world;
  await world.close();
  throw new Error(`the client could not be added: ${added.stderr}`);
}
