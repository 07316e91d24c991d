/** `weft up`: a whole fabric on this machine, to look at or to prove with `--smoke`. */

import { type Command, Option } from "commander";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { MiB } from "../../lib/limits.ts";
import { wholeNumber } from "../arguments.ts";
import { exitCodes, print, safeLines, table } from "../output.ts";
import { action, type GlobalOptions } from "../session.ts";
import { type Fabric, startFabric } from "../up/fabric.ts";
import { endedError } from "../up/processes.ts";
import { pathInUse, runSmoke } from "../up/smoke.ts";

interface UpOptions extends GlobalOptions {
  readonly data?: string;
  readonly smoke?: boolean;
  readonly bytes?: number;
  readonly logLevel?: "debug" | "info" | "warn" | "error";
}

/** How often the operator's certificate is looked at. */
const keepFreshMs = 1_800_000;

type Signals = ReturnType<typeof onSignals>;

function progress(line: string): void {
  process.stderr.write(`weft: ${line}\n`);
}

/** Aborts at the first signal; a second one ends the command and everything it started at once. */
function onSignals(): { readonly signal: AbortSignal; readonly asked: Promise<void>; readonly off: () => void } {
  const controller = new AbortController();
  let resolveAsked: () => void = () => {};
  const asked = new Promise<void>((resolve) => {
    resolveAsked = resolve;
  });
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted);
    progress("stopping; everything is drained first (again: at once)");
    controller.abort(new WeftError("aborted", "interrupted", { detail: "UP_INTERRUPTED" }));
    resolveAsked();
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  return { signal: controller.signal, asked, off: () => void process.off("SIGINT", onSignal).off("SIGTERM", onSignal) };
}

function addressOf(fabric: Fabric, name: string): string {
  const { facts } = fabric.process(name);
  return String(facts.public) === "" ? `dial-out only (operator ${facts.operator})` : String(facts.public);
}

async function describe(fabric: Fabric): Promise<string> {
  const rows = fabric.processes.map((child) => [
    child.name,
    child.role,
    String(child.pid),
    addressOf(fabric, child.name),
  ]);
  const path = await pathInUse(fabric, "entry-1").then(
    (hops) => hops.join(" -> "),
    // Not worth ending a fabric that carries bytes: after a long rest the operator's certificate has ended.
    (thrown: unknown) => `unknown (${messageOf(thrown)})`,
  );
  const web = fabric.listenerPort("web-entry-1");
  return [
    table(["NODE", "ROLE", "PID", "ADDRESS"], rows),
    "",
    `path in use: ${path}`,
    `up after ${(fabric.upMs / 1000).toFixed(1)} s; files are in ${fabric.root}`,
    "",
    "things to try, in another terminal:",
    `  curl http://127.0.0.1:${web}/`,
    `  export WEFT_CONTEXT=${fabric.contextDir}`,
    "  npx weft node list",
    "  npx weft route explain web",
    "  npx weft audit list --limit 10",
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
  };
}

/**
 * Says what ends while the fabric stands. A process that somebody ended is what a fabric is made to survive; one that failed by
 * itself is a fault: resolves with what to say about it.
 */
function firstFailure(fabric: Fabric, stopping: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    for (const { name, exited, lastWords } of fabric.processes) {
      void exited.then(({ code, signal }) => {
        // Asked to end, everything ends.
        if (stopping.aborted) return;
        if (signal === null && code !== 0) resolve(endedError(name, lastWords(), code, signal).message);
        else progress(`${name} was ended${signal === null ? "" : ` by ${signal}`}; the rest goes on until Ctrl-C`);
      });
    }
  });
}

function factsOf(fabric: Fabric): object {
  return {
    up_ms: Math.round(fabric.upMs),
    root: fabric.root,
    context: fabric.contextDir,
    processes: fabric.processes.map(({ name, role, pid, facts }) => ({ name, role, pid, address: facts.public })),
  };
}

/** Stands until asked to end; the exit code says whether a part of it failed first. */
async function stand(options: UpOptions, fabric: Fabric, signals: Signals): Promise<void> {
  const text = await describe(fabric);
  print(options, factsOf(fabric), () => text);
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

async function up(options: UpOptions): Promise<void> {
  const signals = onSignals();
  try {
    if (options.bytes !== undefined && options.smoke !== true) {
      throw new WeftError("invalid_argument", "--bytes says how much --smoke sends; give both", { detail: "UP_USAGE" });
    }
    if (options.smoke === true) return await smoke(options, signals);
    const fabric = await startFabric({ ...fabricOptions(options), signal: signals.signal });
    try {
      await stand(options, fabric, signals);
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
    .option("--bytes <count>", "with --smoke: bytes each way (default: 268435456)", wholeNumber())
    .addOption(
      new Option("--log-level <level>", "of the processes' logs")
        .choices(["debug", "info", "warn", "error"])
        .default("info"),
    )
    .addHelpText("after", "\nExamples:\n  weft up\n  weft up --data ./.weft\n  weft up --smoke --json")
    .action(action(up));
}
