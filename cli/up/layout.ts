/**
 * What `weft up` brings up, and where it keeps it. The plan is written once into the folder: a second start with the same
 * `--data` finds the same names, ports and identities.
 */

import { readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { z } from "zod";
import { WeftError } from "../../lib/errors.ts";
import { readFileIfAny, replaceFile } from "../../lib/files.ts";
import { randomInt, systemRandom } from "../../lib/random.ts";
import { ownerFile } from "./temporary-root.ts";

const nodePlan = z.object({
  name: z.string(),
  role: z.enum(["entry", "relay", "egress"]),
  /** Undefined for the dial-out-only node. */
  publicPort: z.number().optional(),
});

const replicaPlan = z.object({ publicPort: z.number(), operatorPort: z.number() });

const planSchema = z.object({
  control: replicaPlan,
  /** Further replicas of control. */
  replicas: z.array(replicaPlan).default([]),
  /** Of the PostgreSQL that is started here; undefined without one. */
  postgresPort: z.number().optional(),
  /** Whether the store is a PostgreSQL of the operator's own. */
  ownPostgres: z.boolean().default(false),
  targets: z.object({ webPort: z.number(), echoPort: z.number() }),
  listeners: z.array(
    z.object({ name: z.string(), entry: z.string(), resource: z.enum(["web", "echo"]), port: z.number() }),
  ),
  nodes: z.array(nodePlan),
  /** Whether every node got its identity; a start that did not get so far is begun anew. */
  finished: z.boolean().default(true),
});

export type Plan = z.output<typeof planSchema>;
export type NodePlan = z.output<typeof nodePlan>;

/** Where everything of one fabric lives. */
export interface Layout {
  readonly root: string;
  readonly controlData: string;
  readonly keys: string;
  readonly sealingKey: string;
  readonly postgresData: string;
  /** File with the URL of the PostgreSQL that is started here. */
  readonly postgresUrl: string;
  readonly context: string;
  readonly logs: string;
  nodeDir(name: string): string;
}

export function layoutOf(root: string): Layout {
  return {
    root,
    controlData: join(root, "control", "data"),
    keys: join(root, "keys"),
    sealingKey: join(root, "keys", "sealing.key"),
    postgresData: join(root, "postgres", "data"),
    postgresUrl: join(root, "keys", "postgres.url"),
    context: join(root, "operator"),
    logs: join(root, "logs"),
    nodeDir: (name) => join(root, "nodes", name),
  };
}

/** Ports below the range the system gives to outgoing connections, so that none is taken between choosing and binding. */
const firstPort = 18_000;
const lastPort = 31_000;

/** Whether a port can be bound on loopback right now. */
function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** `count` different free loopback ports, searched from a random start. */
export async function freePorts(count: number): Promise<number[]> {
  const span = lastPort - firstPort;
  const start = randomInt(systemRandom, span);
  const found: number[] = [];
  for (let step = 0; step < span && found.length < count; step += 1) {
    const port = firstPort + ((start + step) % span);
    if (await isFree(port)) found.push(port);
  }
  if (found.length < count) throw new WeftError("resource_exhausted", "no free loopback ports", { detail: "UP_PORTS" });
  return found;
}

function portsOf(plan: Plan): number[] {
  return [
    ...[plan.control, ...plan.replicas].flatMap((replica) => Object.values(replica)),
    ...(plan.postgresPort === undefined ? [] : [plan.postgresPort]),
    ...Object.values(plan.targets),
    ...plan.listeners.map(({ port }) => port),
    ...plan.nodes.flatMap(({ publicPort }) => publicPort ?? []),
  ];
}

/**
 * The ports are part of the identities: they cannot be chosen anew.
 * @throws WeftError failed_precondition naming those that somebody else holds.
 */
async function requireFree(root: string, plan: Plan): Promise<void> {
  const taken: number[] = [];
  for (const port of portsOf(plan)) if (!(await isFree(port))) taken.push(port);
  if (taken.length === 0) return;
  throw new WeftError(
    "failed_precondition",
    `the ports ${taken.join(", ")} that ${root} was made with are taken; is "weft up" running on this folder? End what holds them, or use another --data folder`,
    { detail: "UP_PORTS_TAKEN" },
  );
}

/** What the control plane of a new fabric is to be. */
export interface ControlShape {
  /** Default 1. */
  readonly replicas?: number;
  readonly embeddedPostgres?: boolean;
  readonly postgresUrlFile?: string;
}

/** Two entries, three relays, two egresses of which one only dials out, two demo targets, two listeners at each entry. */
async function makePlan({ replicas = 1, embeddedPostgres = false, postgresUrlFile }: ControlShape): Promise<Plan> {
  const ports = await freePorts(13 + 2 * replicas);
  const next = (): number => ports.shift() ?? 0;
  const inbound = [
    ["entry-1", "entry"],
    ["entry-2", "entry"],
    ["relay-1", "relay"],
    ["relay-2", "relay"],
    ["relay-3", "relay"],
    ["egress-1", "egress"],
  ] as const;
  return {
    control: { publicPort: next(), operatorPort: next() },
    replicas: Array.from({ length: replicas - 1 }, () => ({ publicPort: next(), operatorPort: next() })),
    ...(embeddedPostgres ? { postgresPort: next() } : {}),
    ownPostgres: postgresUrlFile !== undefined,
    targets: { webPort: next(), echoPort: next() },
    listeners: ["entry-1", "entry-2"].flatMap((entry) =>
      (["web", "echo"] as const).map((resource) => ({ name: `${resource}-${entry}`, entry, resource, port: next() })),
    ),
    nodes: [
      ...inbound.map(([name, role]) => ({ name, role, publicPort: next() })),
      { name: "egress-2", role: "egress" as const },
    ],
    finished: false,
  };
}

function planPath(layout: Layout): string {
  return join(layout.root, "fabric.json");
}

function savePlan(layout: Layout, plan: Plan): void {
  replaceFile(planPath(layout), `${JSON.stringify(plan, null, 2)}\n`);
}

/** Notes that everything has its identity: from now on starts reuse what the folder holds. */
export function markFinished(layout: Layout, plan: Plan): void {
  savePlan(layout, { ...plan, finished: true });
}

function storedPlan(layout: Layout): Plan | undefined {
  const stored = readFileIfAny(planPath(layout));
  if (stored === undefined) return undefined;
  try {
    return planSchema.parse(JSON.parse(stored.toString()));
  } catch (cause) {
    throw new WeftError("failed_precondition", `${planPath(layout)} is damaged; use another --data folder`, {
      detail: "UP_PLAN",
      cause,
    });
  }
}

/** Takes away what a start that never finished has left; nothing else in the folder is touched. */
function clearUnfinished(layout: Layout): void {
  for (const name of ["control", "keys", "nodes", "operator", "logs", "postgres"])
    rmSync(join(layout.root, name), { recursive: true, force: true });
}

/** A folder that holds something else is somebody else's: keys and stores do not go there. */
function requireOwn(root: string): void {
  if (readdirSync(root).every((name) => name === ownerFile)) return;
  throw new WeftError("failed_precondition", `${root} holds other things; name an empty folder or a new one`, {
    detail: "UP_DATA_FOREIGN",
  });
}

/**
 * The plan kept in the folder, or a new one.
 * @throws WeftError failed_precondition when the folder's plan is damaged or its ports are taken.
 */
export async function openPlan(
  layout: Layout,
  shape: ControlShape = {},
): Promise<{ readonly plan: Plan; readonly isNew: boolean }> {
  const stored = storedPlan(layout);
  if (stored !== undefined) await requireFree(layout.root, stored);
  if (stored?.finished === true) return { plan: stored, isNew: false };
  if (stored !== undefined) clearUnfinished(layout);
  else requireOwn(layout.root);
  const plan = await makePlan(shape);
  savePlan(layout, plan);
  return { plan, isNew: true };
}
