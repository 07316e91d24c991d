/** `weft up`: a whole fabric on this machine, to look at, to prove with `--smoke`, or to hurt with `--chaos`. */

import { setTimeout as delay } from "node:timers/promises";
import { type Command, Option } from "commander";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { MiB } from "../../lib/limits.ts";
import { durationMs, wholeNumber } from "../arguments.ts";
import { abortOnSignals } from "../interrupts.ts";
import { exitCodes, print, safeLines, table } from "../output.ts";
import { action, type GlobalOptions } from "../session.ts";
import { Chaos, chaosHead, chaosRow, chaosText } from "../up/chaos.ts";
import { type Fabric, startFabric } from "../up/fabric.ts";
import { failoverText, onceEach, watchFailovers } from "../up/failovers.ts";
import { endedError } from "../up/processes.ts";
import { pathInUse, runSmoke } from "../up/smoke.ts";

interface UpOptions extends GlobalOptions {
  readonly data?: string;
  readonly smoke?: boolean;
  readonly bytes?: number;
  /** Milliseconds from fault to fault. */
  readonly chaos?: number;
  readonly rounds?: number;
  readonly replicas?: number;
  readonly postgres?: "embedded";
  readonly postgresFile?: string;
  readonly redisFile?: string;
  readonly metrics?: boolean;
  readonly traces?: string;
  readonly logLevel?: "debug" | "info" | "warn" | "error";
}

/** A round must leave time to start a killed process again. */
const chaosEveryMinMs = 2_000;

/** A download of a minute and a half: long enough to be hurt by hand. */
const downloadBytes = 180_000_000;
const downloadBytesPerSecond = 2_000_000;

/** More replicas than anybody needs to see on one machine. */
const replicasMaxCount = 9;

/** A replica that ended is started again after this long. */
const replicaRestMs = 1_000;

/** How often the operator's certificate is looked at. */
const keepFreshMs = 1_800_000;

type Signals = ReturnType<typeof onSignals>;

function progress(line: string): void {
  process.stderr.write(`weft: ${line}\n`);
}

/** Aborts at the first signal, and says so; a second one ends the command and everything it started at once. */
function onSignals(): { readonly signal: AbortSignal; readonly asked: Promise<void>; readonly off: () => void } {
  const { signal, off } = abortOnSignals("stopping; everything is drained first", "UP_INTERRUPTED");
  const asked = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  return { signal, asked, off };
}

function addressOf(fabric: Fabric, name: string): string {
  const { facts } = fabric.process(name);
  return String(facts.public) === "" ? `dial-out only (operator ${facts.operator})` : String(facts.public);
}

/** The relay that carries bytes, or any. */
function relayInUse(fabric: Fabric, hops: readonly string[]): Fabric["processes"][number] | undefined {
  const relays = fabric.processes.filter(({ role }) => role === "relay");
  return relays.find(({ name }) => hops.includes(name)) ?? relays[0];
}

/** The store's own server rather than what keeps it running. */
function pidOf({ pid, facts }: Fabric["processes"][number]): string {
  return String(facts.postgresPid ?? pid);
}

/** What to do to a control plane that is made to survive it. */
function thingsToEnd(fabric: Fabric): string[] {
  const replicas = fabric.processes.filter(({ role }) => role === "control");
  if (replicas.length < 2) return [];
  const store = fabric.processes.find(({ role }) => role === "store");
  return [
    "",
    "end replicas and the store in any order; what was ended is started again, and no byte waits for it:",
    `  kill -9 ${replicas.map(pidOf).join(" ")}     # all of control`,
    ...(store === undefined ? [] : [`  pkill -9 -P ${pidOf(store)}     # every backend of PostgreSQL`]),
  ];
}

function thingsToTry(fabric: Fabric, hops: readonly string[]): string[] {
  const web = `127.0.0.1:${fabric.listenerPort("web-entry-1")}`;
  const relay = relayInUse(fabric, hops);
  return [
    `  curl http://${web}/`,
    `  nc 127.0.0.1 ${fabric.listenerPort("echo-entry-1")}     # the echo target: says what you say`,
    `  export WEFT_CONTEXT=${fabric.contextDir}`,
    "  npx weft node list",
    "  npx weft route explain web",
    "  npx weft top",
    "  npx weft audit list --limit 10",
    "",
    "a slow download to hurt; it goes on whatever you do to the relay:",
    `  curl -o /dev/null 'http://${web}/download?bytes=${downloadBytes}&rate=${downloadBytesPerSecond}'`,
    ...(relay === undefined
      ? []
      : [
          `  kill -9 ${relay.pid}     # ${relay.name}, while this runs`,
          `  npx weft node drain ${relay.name}     # or gently, instead; undrain lets it take part again`,
        ]),
    ...thingsToEnd(fabric),
  ];
}

/** Where a process shows its metrics; a store shows none. */
function metricsOf({ facts }: Fabric["processes"][number]): string {
  return facts["metrics"] === undefined ? "" : `http://${facts["metrics"]}/metrics`;
}

async function describe(fabric: Fabric): Promise<string> {
  const shown = fabric.processes.some((child) => metricsOf(child) !== "");
  const rows = fabric.processes.map((child) => [
    child.name,
    child.role,
    pidOf(child),
    addressOf(fabric, child.name),
    ...(shown ? [metricsOf(child)] : []),
  ]);
  let hops: readonly string[] = [];
  const path = await pathInUse(fabric, "entry-1").then(
    (found) => {
      hops = found;
      return found.join(" -> ");
    },
    // Not worth ending a fabric that carries bytes: after a long rest the operator's certificate has ended.
    (thrown: unknown) => `unknown (${messageOf(thrown)})`,
  );
  return [
    table(["NODE", "ROLE", "PID", "ADDRESS", ...(shown ? ["METRICS"] : [])], rows),
    "",
    `path in use by entry-1's trunk, now: ${path}`,
    "  (a new trunk may take another one: npx weft route explain web)",
    `up after ${(fabric.upMs / 1000).toFixed(1)} s; files are in ${fabric.root}`,
    "",
    "things to try, in another terminal:",
    ...thingsToTry(fabric, hops),
    "",
    "Ctrl-C stops everything.",
  ].join("\n");
}

async function smoke(options: UpOptions, signals: Signals): Promise<void> {
  let fabric: Fabric | undefined;
  let result: object = { ok: false };
  let ok = false;
  try {
    fabric = await startFabric({ ...fabricOptions(options), signal: signals.signal });
    const interrupted = signals.asked.then(() => Promise.reject(signals.signal.reason));
    const report = await Promise.race([runSmoke(fabric, options.bytes ?? 256 * MiB, progress), interrupted]);
    ok = report.ok;
    result = report;
  } catch (thrown) {
    result = { ok: false, error: messageOf(thrown) };
    progress(safeLines(messageOf(thrown)));
  } finally {
    await fabric?.stop();
  }
  process.exitCode = ok ? exitCodes.ok : exitCodes.failure;
  print(options, result, () => JSON.stringify(result, null, 2));
}

function fabricOptions(options: UpOptions): Parameters<typeof startFabric>[0] {
  return {
    onProgress: progress,
    ...(options.data === undefined ? {} : { data: options.data }),
    ...(options.logLevel === undefined ? {} : { logLevel: options.logLevel }),
    ...(options.replicas === undefined ? {} : { replicas: options.replicas }),
    ...(options.postgres === undefined ? {} : { embeddedPostgres: true }),
    ...(options.postgresFile === undefined ? {} : { postgresUrlFile: options.postgresFile }),
    ...(options.redisFile === undefined ? {} : { redisUrlFile: options.redisFile }),
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
    ...(options.traces === undefined ? {} : { traces: options.traces }),
  };
}

/**
 * Says what ends while the fabric stands. A process that somebody ended is what a fabric is made to survive; one that failed by
 * itself is a fault: resolves with what to say about it.
 */
function firstFailure(fabric: Fabric, stopping: AbortSignal): Promise<string> {
  const isReplicated = fabric.processes.filter(({ role }) => role === "control").length > 1;
  return new Promise((resolve) => {
    const watch = ({ name, role, exited, lastWords }: Fabric["processes"][number]): void => {
      void exited.then(async ({ code, signal }) => {
        // Asked to end, everything ends.
        if (stopping.aborted) return;
        if (role === "control" && isReplicated && code !== exitCodes.config) {
          progress(`${name} was ended; starting it again`);
          await delay(replicaRestMs);
          if (stopping.aborted) return;
          fabric.restart(name).then(watch, (thrown: unknown) => resolve(messageOf(thrown)));
        } else if (signal === null && code !== 0) resolve(endedError(name, lastWords(), code, signal).message);
        else progress(`${name} was ended${signal === null ? "" : ` by ${signal}`}; the rest goes on until Ctrl-C`);
      });
    };
    fabric.processes.forEach(watch);
  });
}

function factsOf(fabric: Fabric): object {
  return {
    up_ms: Math.round(fabric.upMs),
    root: fabric.root,
    context: fabric.contextDir,
    processes: fabric.processes.map(({ name, role, pid, facts }) => ({
      name,
      role,
      pid: Number(facts.postgresPid ?? pid),
      address: facts.public,
    })),
  };
}

/** Standard output stays one object with `--json`. */
function tellMove(options: UpOptions, text: string): void {
  if (options.json === true) progress(text);
  else process.stdout.write(`${text}\n`);
}

/** Stands until asked to end; the exit code says whether a part of it failed first. */
async function stand(options: UpOptions, fabric: Fabric, signals: Signals): Promise<void> {
  const text = await describe(fabric);
  print(options, factsOf(fabric), () => text);
  const tell = onceEach((failover) => tellMove(options, failoverText(failover)));
  const onLost = (name: string, events: number): void =>
    progress(`${name}: ${events} events were not heard; moves may be among them`);
  void watchFailovers(fabric, tell, signals.signal, onLost);
  // Any session renews the operator's certificate when that is due: it must not end while the fabric stands.
  const keepFresh = setInterval(() => {
    fabric.withSession(async () => {}).catch((thrown: unknown) => progress(safeLines(messageOf(thrown))));
  }, keepFreshMs);
  const failure = await Promise.race([signals.asked, firstFailure(fabric, signals.signal)]);
  clearInterval(keepFresh);
  if (typeof failure !== "string") return;
  progress(safeLines(failure));
  process.exitCode = exitCodes.failure;
}

/** Hurts the fabric until asked to end, or for `--rounds`; the exit code says whether anything was noticed. */
async function chaos(options: UpOptions, fabric: Fabric, intervalMs: number, signals: Signals): Promise<void> {
  const isJson = options.json === true;
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  if (!isJson) say(`${await describe(fabric)}\n\n${chaosHead()}`);
  const watching = new AbortController();
  const running = new Chaos({
    fabric,
    intervalMs,
    signal: signals.signal,
    onRound: (round) => say(isJson ? JSON.stringify(round) : chaosRow(round)),
    ...(options.rounds === undefined ? {} : { rounds: options.rounds }),
  });
  // Both edges tell of a move: in the table it is one.
  void watchFailovers(
    fabric,
    onceEach((failover) => running.heard(failover)),
    watching.signal,
  );
  const summary = await running.run();
  watching.abort();
  say(isJson ? JSON.stringify(summary) : chaosText(summary));
  if (!summary.ok) process.exitCode = exitCodes.failure;
}

function requireSense(options: UpOptions): void {
  const { bytes, smoke: isSmoke, chaos: intervalMs, rounds, replicas = 1, postgres, postgresFile } = options;
  const wrong = (message: string): never => {
    throw new WeftError("invalid_argument", message, { detail: "UP_USAGE" });
  };
  if (bytes !== undefined && isSmoke !== true) wrong("--bytes says how much --smoke sends; give both");
  if (rounds !== undefined && intervalMs === undefined) wrong("--rounds says how long --chaos goes on; give both");
  if (intervalMs !== undefined && isSmoke === true) wrong("--smoke and --chaos are two things; give one");
  if (replicas === 0) wrong("--replicas needs at least one");
  if (postgres !== undefined && postgresFile !== undefined)
    wrong("--postgres embedded and --postgres-file are two stores; give one");
  if (replicas > 1 && postgres === undefined && postgresFile === undefined)
    wrong("replicas share a store: give --postgres embedded, or --postgres-file with the URL of a PostgreSQL");
  if (intervalMs !== undefined && intervalMs < chaosEveryMinMs)
    wrong(`--chaos needs at least ${chaosEveryMinMs / 1_000}s: a killed process must be started again in each round`);
}

async function up(options: UpOptions): Promise<void> {
  const signals = onSignals();
  try {
    requireSense(options);
    if (options.smoke === true) return await smoke(options, signals);
    const fabric = await startFabric({ ...fabricOptions(options), signal: signals.signal });
    try {
      if (options.chaos === undefined) await stand(options, fabric, signals);
      else await chaos(options, fabric, options.chaos, signals);
    } finally {
      await fabric.stop();
      progress("stopped");
    }
  } catch (thrown) {
    if (!signals.signal.aborted) throw thrown;
    print(options, { ok: false, error: "interrupted" }, () => "stopped before the fabric stood");
    process.exitCode = exitCodes.interrupted;
  } finally {
    signals.off();
  }
}

export function addUpCommand(program: Command): void {
  program
    .command("up")
    .description("bring up a whole fabric on this machine: control, entries, relays, egresses, demo targets")
    .option("--data <dir>", "keep identities and stores here; a second start reuses them")
    .option("--smoke", "send random bytes both ways through the fabric, check them, print a report and stop")
    .option("--chaos <duration>", "hurt the relay in use once per this long, under a checked transfer", durationMs)
    .option("--rounds <count>", "with --chaos: end after so many rounds (default: at Ctrl-C)", wholeNumber(1_000_000))
    .option("--replicas <count>", "replicas of control, behind one PostgreSQL", wholeNumber(replicasMaxCount))
    .addOption(new Option("--postgres <kind>", "start a PostgreSQL of its own").choices(["embedded"]))
    .option("--postgres-file <file>", "file (0600) with the URL of an empty PostgreSQL database to use instead")
    .option("--redis-file <file>", "file (0600) with the URL of a Redis, for hints between replicas")
    .option("--metrics", "show metrics of every process, each on a port of loopback")
    .option("--traces <url>", "send traces of every process to this OTLP/HTTP receiver; https, or http on loopback")
    .option("--bytes <count>", "with --smoke: bytes each way (default: 268435456)", wholeNumber())
    .addOption(
      new Option("--log-level <level>", "of the processes' logs")
        .choices(["debug", "info", "warn", "error"])
        .default("info"),
    )
    .addHelpText(
      "after",
      "\nExamples:\n  weft up\n  weft up --data ./.weft\n  weft up --smoke --json\n  weft up --replicas 3 --postgres embedded\n  weft up --chaos 10s\n  weft up --chaos 5s --rounds 6 --json",
    )
    .action(action(up));
}
