/**
 * A whole fabric on this machine as real processes: control, nodes, demo targets. `weft up`, the tests and the benches
 * start it through this one function, so it cannot rot.
 */

import { mkdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { writeSecretFile } from "../../certs/secret-file.ts";
import { WeftError } from "../../lib/errors.ts";
import { replaceFile } from "../../lib/files.ts";
import packageFacts from "../../package.json" with { type: "json" };
import { type Session, withSession } from "../session.ts";
import {
  type ControlPlaneOptions,
  type LeafLifeSettings,
  publicAddresses,
  replicaNames,
  requireSameShape,
  startControlPlane,
  startReplica,
  startStore,
} from "./control-plane.ts";
import {
  type ControlShape,
  type Layout,
  layoutOf,
  markFinished,
  type NodePlan,
  openPlan,
  type Plan,
} from "./layout.ts";
import { type Child, endedError, startChild } from "./processes.ts";
import { approve, provisionNodes, provisionResources, tokenFor } from "./provision.ts";
import { temporaryRoot } from "./temporary-root.ts";

/** Where a node's process runs and how it is reached, when that is not simply this host's loopback. */
export interface NodePlace {
  /** Address its public port is bound to; loopback when absent. */
  readonly host?: string;
  /** What others are told to dial, when something stands in front of the port. */
  readonly advertised?: { readonly host: string; readonly port: number };
  /** Where it dials control, when something stands in between. */
  readonly control?: string;
  /** Program and arguments the process is started through, such as `ip netns exec NAME`. */
  readonly through?: readonly string[];
  /** Whether it shows metrics; as the others when absent. */
  readonly metrics?: boolean;
}

export interface FabricOptions extends ControlShape, Pick<ControlPlaneOptions, "putStore"> {
  /** Kept folder; a temporary one, removed at the end, when absent. */
  readonly data?: string;
  readonly logLevel?: "debug" | "info" | "warn" | "error";
  /** File (0600) with the URL of a Redis for hints between replicas. */
  readonly redisUrlFile?: string;
  readonly leafLives?: LeafLifeSettings;
  /** Whether its processes show metrics, each on any free port of loopback. */
  readonly metrics?: boolean;
  /** Base URL of the OTLP/HTTP receiver that gets the traces of all of them. */
  readonly traces?: string;
  /** One line per step. */
  readonly onProgress?: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Asked once for every node before it starts: lets tests and benches stand between processes. `root`: the fabric's folder. */
  readonly placeOf?: (node: NodePlan, plan: Plan, root: string) => Promise<NodePlace>;
}

export interface Fabric {
  readonly root: string;
  readonly contextDir: string;
  readonly plan: Plan;
  /** Control first, then the nodes in the plan's order, then a store. What was started again stands in its old place. */
  readonly processes: readonly Child[];
  /** Milliseconds from the call to the first byte through an entry. */
  readonly upMs: number;
  process(name: string): Child;
  /** Starts a node or a replica of control again whose process has ended; resolves once it is ready. */
  restart(name: string): Promise<Child>;
  listenerPort(name: string): number;
  withSession<T>(work: (session: Session) => Promise<T>): Promise<T>;
  /** Ends every process in order: entries, relays, egresses, control, targets; then removes a temporary folder. */
  stop(): Promise<void>;
}

/** How long everything may take to stand. */
const readyWithinMs = 60_000;

/** Everything that was started, so that a failed start leaves nothing behind. */
class Started {
  readonly #stops: { name: string; stop: () => Promise<void> }[] = [];
  #isStopping = false;

  add = (child: { name: string; stop: () => Promise<void> }): void => {
    this.#stops.push(child);
    // A start that was given up may still be on its way to the next process.
    if (this.#isStopping) void child.stop();
  };

  async stopAll(): Promise<void> {
    this.#isStopping = true;
    // Nodes drain side by side; control and targets go when nobody needs them any more, and the store last.
    const turnOf = (name: string): number =>
      name === "postgres" ? 2 : /^(control(-\d+)?|targets)$/.test(name) ? 1 : 0;
    for (const turn of [0, 1, 2]) {
      await Promise.all(this.#stops.filter(({ name }) => turnOf(name) === turn).map(({ stop }) => stop()));
    }
  }
}

function nodeConfig(layout: Layout, plan: Plan, node: NodePlan, place: NodePlace, options: FabricOptions): object {
  const host = place.host ?? "127.0.0.1";
  const address = node.publicPort === undefined ? [] : [place.advertised ?? { host, port: node.publicPort }];
  return {
    stateDir: join(layout.nodeDir(node.name), "state"),
    control: place.control === undefined ? publicAddresses(plan) : [place.control],
    ...(node.publicPort === undefined ? { dialOutOnly: true } : { publicHost: host, publicPort: node.publicPort }),
    region: "local",
    ...((place.metrics ?? options.metrics) === true ? { metricsPort: 0 } : {}),
    ...(options.traces === undefined ? {} : { tracesEndpoint: options.traces }),
    dev: true,
    logLevel: options.logLevel ?? "info",
    // The demo targets are on loopback, which an egress refuses unless its own ceiling lists it; so it does Unix sockets.
    ceiling: {
      roles: [node.role],
      targets: [{ cidr: "127.0.0.0/8" }],
      unixPrefixes: [join(layout.root, "sockets")],
    },
    join: {
      tokenFile: join(layout.nodeDir(node.name), "join.token"),
      name: node.name,
      roles: [node.role],
      addresses: address,
    },
  };
}

async function startNode(
  layout: Layout,
  plan: Plan,
  node: NodePlan,
  options: FabricOptions,
  enroll: ((announced: { requestId: string; keyFingerprint: string }) => Promise<string>) | undefined,
  started: Started,
): Promise<Child> {
  const file = join(layout.nodeDir(node.name), "node.json");
  const place = (await options.placeOf?.(node, plan, layout.root)) ?? {};
  replaceFile(file, `${JSON.stringify(nodeConfig(layout, plan, node, place, options), null, 2)}\n`);
  let failed: (thrown: unknown) => void = () => {};
  const refused = new Promise<never>((_, reject) => {
    failed = reject;
  });
  refused.catch(() => {});
  const child = startChild(
    {
      name: node.name,
      role: node.role,
      script: "node/bin.ts",
      runtimeFlags: packageFacts.config.dataPlaneFlags,
      args: ["--config", file],
      ...(place.through === undefined ? {} : { through: place.through }),
      logs: layout.logs,
      onLine: (line) => {
        if (line.pending !== true || enroll === undefined) return;
        enroll({ requestId: String(line.requestId), keyFingerprint: String(line.keyFingerprint) }).catch(failed);
      },
    },
    started.add,
  );
  return await Promise.race([child, refused]);
}

/** One echo through a listener: resolves with the milliseconds it took, rejects when the path does not stand. */
export function echoOnce(port: number, withinMs = 2_000): Promise<number> {
  return new Promise((resolveMs, reject) => {
    const startedMs = performance.now();
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    const timer = setTimeout(() => socket.destroy(new Error("no echo in time")), withinMs);
    socket.once("connect", () => socket.write("?"));
    socket.once("data", () => {
      clearTimeout(timer);
      resolveMs(performance.now() - startedMs);
      socket.end();
    });
    socket.once("error", (thrown) => {
      clearTimeout(timer);
      reject(thrown);
    });
    socket.once("close", () => {
      clearTimeout(timer);
      reject(new Error("closed before an echo"));
    });
  });
}

async function untilCarrying(plan: Plan, options: FabricOptions): Promise<void> {
  const deadlineMs = performance.now() + readyWithinMs;
  const echoes = plan.listeners.filter(({ resource }) => resource === "echo");
  for (const listener of echoes) {
    for (;;) {
      options.signal?.throwIfAborted();
      try {
        await echoOnce(listener.port);
        break;
      } catch (cause) {
        if (performance.now() > deadlineMs)
          throw new WeftError(
            "deadline_exceeded",
            `no bytes come through ${listener.entry} after ${readyWithinMs / 1000} s; see the logs`,
            { detail: "UP_NO_PATH", cause },
          );
        await delay(100);
      }
    }
  }
}

async function enrollAll(
  layout: Layout,
  plan: Plan,
  options: FabricOptions,
  started: Started,
  say: (line: string) => void,
): Promise<Child[]> {
  return await withSession({ context: layout.context }, async (session) => {
    const made = await provisionResources(session, plan);
    const nodeIds = new Map<string, string>();
    const children = await Promise.all(
      plan.nodes.map(async (node) => {
        mkdirSync(layout.nodeDir(node.name), { recursive: true, mode: 0o700 });
        writeSecretFile(join(layout.nodeDir(node.name), "join.token"), await tokenFor(session, node));
        const enroll = async (announced: { requestId: string; keyFingerprint: string }): Promise<string> => {
          const nodeId = await approve(session, node, announced);
          nodeIds.set(node.name, nodeId);
          say(`${node.name} enrolled as ${nodeId}`);
          return nodeId;
        };
        return await startNode(layout, plan, node, options, enroll, started);
      }),
    );
    await provisionNodes(session, plan, made, nodeIds);
    return children;
  });
}

interface Standing {
  readonly plan: Plan;
  readonly processes: Child[];
}

function processNamed(processes: readonly Child[], name: string): Child {
  const found = processes.find((child) => child.name === name);
  if (found === undefined) throw new Error(`no process is named ${name}`);
  return found;
}

/** Starts one process of a standing fabric again, in the place of the process that ended. */
async function startAgain(
  layout: Layout,
  { plan, processes }: Standing,
  name: string,
  options: FabricOptions,
  started: Started,
): Promise<Child> {
  const node = plan.nodes.find((planned) => planned.name === name);
  const replica = replicaNames(plan).indexOf(name);
  const before = processNamed(processes, name);
  await before.exited;
  if (node === undefined && replica < 0) throw new Error(`${name} cannot be started again`);
  const child =
    node === undefined
      ? await startReplica(layout, plan, replica, controlOptions(options), started.add)
      : await startNode(layout, plan, node, options, undefined, started);
  processes[processes.indexOf(before)] = child;
  return child;
}

function startTargets(layout: Layout, plan: Plan, started: Started): Promise<Child> {
  return startChild(
    {
      name: "targets",
      role: "target",
      script: "cli/up/targets.ts",
      runtimeFlags: packageFacts.config.dataPlaneFlags,
      args: [String(plan.targets.webPort), String(plan.targets.echoPort)],
      logs: layout.logs,
    },
    started.add,
  );
}

/** Rejects as soon as one of them ends: nobody waits for a path that cannot come to stand. */
function firstEnd(processes: readonly Child[]): Promise<never> {
  return Promise.race(
    processes.map(async ({ name, exited, lastWords }) => {
      const { code, signal } = await exited;
      throw endedError(name, lastWords(), code, signal);
    }),
  );
}

function controlOptions(options: FabricOptions): ControlPlaneOptions {
  const { data, logLevel, postgresUrlFile, redisUrlFile, leafLives, metrics, traces, putStore } = options;
  return {
    temporary: data === undefined,
    ...(leafLives === undefined ? {} : { leafLives }),
    ...(metrics === undefined ? {} : { metrics }),
    ...(traces === undefined ? {} : { traces }),
    ...(logLevel === undefined ? {} : { logLevel }),
    ...(postgresUrlFile === undefined ? {} : { postgresUrlFile }),
    ...(redisUrlFile === undefined ? {} : { redisUrlFile }),
    ...(putStore === undefined ? {} : { putStore }),
  };
}

async function bringUp(layout: Layout, options: FabricOptions, started: Started): Promise<Standing> {
  const say = options.onProgress ?? ((): void => {});
  const { plan, isNew } = await openPlan(layout, options);
  requireSameShape(plan, options);
  say(isNew ? `starting control in ${layout.root}` : `starting what ${layout.root} holds`);
  const store = await startStore(layout, plan, started.add);
  const [controls] = await Promise.all([
    startControlPlane(layout, plan, isNew, controlOptions(options), started.add),
    startTargets(layout, plan, started),
  ]);
  options.signal?.throwIfAborted();
  say(`control is up; starting ${plan.nodes.length} nodes`);
  const nodes = isNew
    ? await enrollAll(layout, plan, options, started, say)
    : await Promise.all(plan.nodes.map((node) => startNode(layout, plan, node, options, undefined, started)));
  if (isNew) markFinished(layout, plan);
  say("waiting for the first bytes through both entries");
  const processes = [...controls, ...nodes, ...(store === undefined ? [] : [store])];
  await Promise.race([untilCarrying(plan, options), firstEnd(processes)]);
  return { plan, processes };
}

/** Rejects with the signal's reason once it is given. */
function givenUp(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    if (signal?.aborted === true) reject(signal.reason);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/**
 * Brings a fabric up and resolves once bytes come back through every entry.
 * @throws WeftError when a part does not start; everything that did start has ended by then.
 */
export async function startFabric(options: FabricOptions = {}): Promise<Fabric> {
  const startedMs = performance.now();
  const root = options.data === undefined ? temporaryRoot(options.onProgress ?? (() => {})) : resolve(options.data);
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const layout = layoutOf(root);
  const started = new Started();
  const removeTemporary = (): void => {
    if (options.data === undefined) rmSync(root, { recursive: true, force: true });
  };
  // For an exit that waits for nothing; the processes are ended by cli/up/processes.ts.
  process.on("exit", removeTemporary);
  const stop = async (): Promise<void> => {
    await started.stopAll();
    removeTemporary();
    process.off("exit", removeTemporary);
  };
  try {
    const standing = bringUp(layout, options, started);
    const stood = await Promise.race([standing, givenUp(options.signal)]);
    const { plan, processes } = stood;
    return {
      root,
      contextDir: layout.context,
      plan,
      processes,
      upMs: performance.now() - startedMs,
      process: (name) => processNamed(processes, name),
      restart: (name) => startAgain(layout, stood, name, options, started),
      listenerPort: (name) => plan.listeners.find((listener) => listener.name === name)?.port ?? 0,
      withSession: (work) => withSession({ context: layout.context }, work),
      stop,
    };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}
