/**
 * The control plane of a fabric: one control with a store of its own in a folder, or replicas behind one PostgreSQL, which is
 * somebody else's or started here.
 */

import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { writeSecretFile } from "../../certs/secret-file.ts";
import { WeftError } from "../../lib/errors.ts";
import { systemRandom } from "../../lib/random.ts";
import packageFacts from "../../package.json" with { type: "json" };
import { loadOperatorContext, saveOperatorReplicas } from "../../rpc/operator-context.ts";
import type { Layout, Plan } from "./layout.ts";
import { type Child, type ChildSpec, type OnSpawn, runChild, startChild } from "./processes.ts";
import { forgetTemplates, putEmptyStore } from "./store-template.ts";

export interface ControlPlaneOptions {
  /** Files (0600) with the URLs of stores that are there already. */
  readonly postgresUrlFile?: string;
  readonly redisUrlFile?: string;
  readonly logLevel?: "debug" | "info" | "warn" | "error";
  /** Whether the folder goes away in the end. */
  readonly temporary: boolean;
  readonly leafLives?: LeafLifeSettings;
  /** Whether it shows metrics, on any free port. */
  readonly metrics?: boolean;
  /** Base URL of the OTLP/HTTP receiver that gets its traces. */
  readonly traces?: string;
  /** Puts an empty embedded store into a new folder, for who has one ready; control makes it otherwise, which takes seconds. */
  readonly putStore?: (directory: string) => Promise<void>;
}

/** How long leaves live, for fabrics in which they are to end soon. */
export interface LeafLifeSettings {
  readonly leafLifeSeconds?: number;
  readonly clientLeafLifeSeconds?: number;
}

/** Leaves room for a socket's name in the 104 bytes that macOS gives its path. */
const socketFolderMaxChars = 50;

/** "control", or with several replicas "control-1" and so on. */
export function replicaNames({ control, replicas }: Plan): readonly string[] {
  return [control, ...replicas].map((_, at) => (replicas.length === 0 ? "control" : `control-${at + 1}`));
}

/** Where nodes reach every replica. */
export function publicAddresses(plan: Plan): string[] {
  return [plan.control, ...plan.replicas].map(({ publicPort }) => `127.0.0.1:${publicPort}`);
}

/** Starts the embedded PostgreSQL the plan asks for, if any. */
export async function startStore(layout: Layout, plan: Plan, onSpawn: OnSpawn): Promise<Child | undefined> {
  if (plan.postgresPort === undefined) return undefined;
  const passwordFile = join(layout.keys, "postgres.password");
  mkdirSync(layout.keys, { recursive: true, mode: 0o700 });
  if (!existsSync(passwordFile)) {
    const password = Buffer.from(systemRandom.bytes(24)).toString("base64url");
    writeSecretFile(passwordFile, password);
    writeSecretFile(layout.postgresUrl, `postgres://weft:${password}@127.0.0.1:${plan.postgresPort}/postgres\n`);
  }
  // As root the server is somebody else, who has to get through here; what is in it stays closed.
  if (process.getuid?.() === 0) chmodSync(layout.root, 0o711);
  return await startChild(
    {
      name: "postgres",
      role: "store",
      script: "cli/up/postgres.ts",
      args: [layout.postgresData, String(plan.postgresPort), passwordFile],
      logs: layout.logs,
    },
    onSpawn,
  );
}

function postgresUrlFileOf(layout: Layout, plan: Plan, options: ControlPlaneOptions): string | undefined {
  return plan.postgresPort === undefined ? options.postgresUrlFile : layout.postgresUrl;
}

function specOf(layout: Layout, plan: Plan, at: number, options: ControlPlaneOptions): ChildSpec {
  const place = [plan.control, ...plan.replicas][at];
  const urlFile = postgresUrlFileOf(layout, plan, options);
  const settings = [
    urlFile === undefined ? ["--data-dir", layout.controlData] : ["--postgres-url-file", urlFile],
    options.redisUrlFile === undefined ? [] : ["--redis-url-file", options.redisUrlFile],
    ["--sealing-key-file", layout.sealingKey],
    ["--public-port", String(place?.publicPort)],
    ["--operator-port", String(place?.operatorPort)],
    ["--log-level", options.logLevel ?? "info"],
    lifeFlags(options.leafLives),
    options.metrics === true ? ["--metrics-port", "0"] : [],
    options.traces === undefined ? [] : ["--traces-endpoint", options.traces],
    ["--dev"],
  ].flat();
  return {
    name: replicaNames(plan)[at] ?? "control",
    role: "control",
    script: "control/bin.ts",
    runtimeFlags: urlFile === undefined ? embeddedFlags(options.temporary) : [],
    args: settings,
    logs: layout.logs,
    // The lock of its store is a socket: in a folder that goes away, it goes too, even when control is killed. Paths of
    // sockets are short, so a folder somebody named is not used.
    ...(options.temporary && layout.root.length <= socketFolderMaxChars ? { temporary: layout.root } : {}),
  };
}

/**
 * What control with the embedded store runs with (docs/decisions/0005). Optimizing a database in WebAssembly takes more than
 * what starting a fabric asks of it, which an installation that goes away does not earn back.
 */
function embeddedFlags(isBrief: boolean): readonly string[] {
  const { controlFlags, briefControlFlags } = packageFacts.config;
  return isBrief ? [...controlFlags, ...briefControlFlags] : controlFlags;
}

function lifeFlags({ leafLifeSeconds, clientLeafLifeSeconds }: LeafLifeSettings = {}): string[] {
  return [
    ...(leafLifeSeconds === undefined ? [] : ["--leaf-life-seconds", String(leafLifeSeconds)]),
    ...(clientLeafLifeSeconds === undefined ? [] : ["--client-leaf-life-seconds", String(clientLeafLifeSeconds)]),
  ];
}

/** An empty store for what will go away again; control makes a lasting one itself. */
async function putStore(layout: Layout, options: ControlPlaneOptions, onSpawn: OnSpawn): Promise<void> {
  if (options.putStore !== undefined) await options.putStore(layout.controlData);
  else if (options.temporary) await putEmptyStore(layout.controlData, layout.logs, onSpawn);
}

/** Makes the installation when it is new, then starts every replica. */
export async function startControlPlane(
  layout: Layout,
  plan: Plan,
  isNew: boolean,
  options: ControlPlaneOptions,
  onSpawn: OnSpawn,
): Promise<Child[]> {
  mkdirSync(layout.keys, { recursive: true, mode: 0o700 });
  if (isNew) {
    mkdirSync(layout.context, { recursive: true, mode: 0o700 });
    const spec = specOf(layout, plan, 0, options);
    if (postgresUrlFileOf(layout, plan, options) === undefined) await putStore(layout, options, onSpawn);
    const args = ["init", ...spec.args, "--context-dir", layout.context];
    const runtimeFlags = postgresUrlFileOf(layout, plan, options) === undefined ? embeddedFlags(true) : [];
    try {
      await runChild({ ...spec, runtimeFlags, args }, onSpawn);
    } catch (error) {
      // Should it be the store that it began with, the next start makes its own.
      await forgetTemplates();
      throw error;
    }
    const replicas = plan.replicas.map(({ publicPort, operatorPort }) => ({
      publicAddress: `127.0.0.1:${publicPort}`,
      operatorAddress: `127.0.0.1:${operatorPort}`,
    }));
    if (replicas.length > 0) saveOperatorReplicas(loadOperatorContext(layout.context), replicas);
  }
  // One after the other would be no safer: migrations and terms are raced for by design.
  return await Promise.all(replicaNames(plan).map((_, at) => startReplica(layout, plan, at, options, onSpawn)));
}

export async function startReplica(
  layout: Layout,
  plan: Plan,
  at: number,
  options: ControlPlaneOptions,
  onSpawn: OnSpawn,
): Promise<Child> {
  const spec = specOf(layout, plan, at, options);
  return await startChild({ ...spec, args: ["run", ...spec.args] }, onSpawn);
}

/** What the operator asked for must be what a kept folder was made with. */
export function requireSameShape(
  plan: Plan,
  wanted: { readonly replicas?: number; readonly embeddedPostgres?: boolean; readonly postgresUrlFile?: string },
): void {
  const replicas = plan.replicas.length + 1;
  const embedded = plan.postgresPort !== undefined;
  const differs =
    (wanted.replicas !== undefined && wanted.replicas !== replicas) ||
    (wanted.embeddedPostgres === true && !embedded) ||
    (wanted.postgresUrlFile !== undefined && (embedded || !plan.ownPostgres)) ||
    (plan.ownPostgres && wanted.postgresUrlFile === undefined);
  if (!differs) return;
  const store = plan.ownPostgres
    ? "your own PostgreSQL (--postgres-file)"
    : embedded
      ? "--postgres embedded"
      : "no PostgreSQL";
  throw new WeftError(
    "failed_precondition",
    `this folder was made with --replicas ${replicas} and ${store}; say the same, or use another --data folder`,
    { detail: "UP_DATA_OTHER" },
  );
}
