/** `weft up`: a whole fabric on this machine, to look at or to prove with `--smoke`. */

import type { Command } from "commander";
import { messageOf } from "../../lib/errors.ts";
import { MiB } from "../../lib/limits.ts";
import { exitCodes, print, table } from "../output.ts";
import { action, type GlobalOptions } from "../session.ts";
import { type Fabric, startFabric } from "../up/fabric.ts";
import { pathInUse, runSmoke } from "../up/smoke.ts";

interface UpOptions extends GlobalOptions {
  readonly data?: string;
  readonly smoke?: boolean;
  readonly bytes?: number;
  readonly logLevel?: "debug" | "info" | "warn" | "error";
}

function progress(line: string): void {
  process.stderr.write(`weft: ${line}\n`);
}

/** Aborts at the first signal; a second one ends the command at once. */
function onSignals(): { readonly signal: AbortSignal; readonly asked: Promise<void>; readonly off: () => void } {
  const controller = new AbortController();
  let resolveAsked: () => void = () => {};
  const asked = new Promise<void>((resolve) => {
    resolveAsked = resolve;
  });
  const onSignal = (): void => {
    if (controller.signal.aborted) return;
    progress("stopping; everything is drained first");
    controller.abort(new Error("interrupted"));
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
  const path = await pathInUse(fabric, "entry-1");
  const web = fabric.listenerPort("web-entry-1");
  return [
    table(["NODE", "ROLE", "PID", "ADDRESS"], rows),
    "",
    `path in use: ${path.join(" -> ")}`,
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

async function smoke(options: UpOptions, signal: AbortSignal): Promise<void> {
  let fabric: Fabric | undefined;
  let result: object = { ok: false };
  let ok = false;
  try {
    fabric = await startFabric({ ...fabricOptions(options), signal });
    const report = await runSmoke(fabric, options.bytes ?? 256 * MiB, progress);
    ok = report.ok;
    result = report;
  } catch (thrown) {
    result = { ok: false, error: messageOf(thrown) };
    progress(messageOf(thrown));
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

async function up(options: UpOptions): Promise<void> {
  const signals = onSignals();
  try {
    if (options.smoke === true) return await smoke(options, signals.signal);
    const fabric = await startFabric({ ...fabricOptions(options), signal: signals.signal });
    try {
      const facts = {
        up_ms: Math.round(fabric.upMs),
        root: fabric.root,
        context: fabric.contextDir,
        processes: fabric.processes.map(({ name, role, pid, facts: { public: address } }) => ({
          name,
          role,
          pid,
          address,
        })),
      };
      const text = await describe(fabric);
      print(options, facts, () => text);
      const died = Promise.race(fabric.processes.map(({ exited, name }) => exited.then(() => name)));
      const ended = await Promise.race([signals.asked, died]);
      if (typeof ended === "string" && !signals.signal.aborted) {
        progress(`${ended} ended by itself; the rest goes on until Ctrl-C (log: ${fabric.root}/logs/${ended}.log)`);
        await signals.asked;
      }
    } finally {
      await fabric.stop();
      progress("stopped");
    }
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
    .option("--bytes <count>", "with --smoke: bytes each way", Number, 256 * MiB)
    .option("--log-level <level>", "of the processes' logs: debug, info, warn or error", "info")
    .addHelpText("after", "\nExamples:\n  weft up\n  weft up --data ./fabric\n  weft up --smoke --json")
    .action(action(up));
}
