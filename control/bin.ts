/**
 * The control process: `node control/bin.ts [run|init] [--config FILE] [--setting value ...]`. JSON lines on standard output
 * say what it waits for and when it is ready; logs go to standard error. SIGTERM or SIGINT drains, a second one ends at once.
 *
 * Exit codes: 0 done, 78 the configuration or the sealed data is wrong (starting again changes nothing), 1 anything else.
 */

import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { ConfigError } from "../lib/config-error.ts";
import { EXIT_CONFIG } from "../lib/env.ts";
import { errnoOf, WeftError } from "../lib/errors.ts";
import { whenParentGoes } from "../lib/parent.ts";
import { type ControlConfig, controlSettings, loadControlConfig } from "./config.ts";
import { initControl } from "./init.ts";
import { startControl } from "./main.ts";
import { withCause } from "./store-watch.ts";

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

const initFlags = ["operatorName", "contextDir", "clusterSlug", "trustDomain", "region"] as const;

interface Invocation {
  readonly action: string;
  readonly config: ControlConfig;
  readonly init: Readonly<Partial<Record<(typeof initFlags)[number], string>>>;
}

function readInvocation(argv: readonly string[]): Invocation {
  const names = [...controlSettings, ...initFlags];
  const switches = new Set<string>(["dev", "allowRemoteOperators", "allowRemoteMetrics"]);
  const options = Object.fromEntries(
    names.map((name) => [kebab(name), { type: switches.has(name) ? "boolean" : "string" } as const]),
  );
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: { ...options, config: { type: "string" } },
    allowPositionals: true,
    allowNegative: true,
  });
  const words: Readonly<Record<string, unknown>> = values;
  const given = (name: string): unknown => words[kebab(name)];
  const flags = Object.fromEntries(controlSettings.map((name) => [name, given(name)]));
  const file = typeof values.config === "string" ? values.config : process.env["WEFT_CONTROL_CONFIG"];
  const config = loadControlConfig(
    { env: process.env, flags, ...(file === undefined ? {} : { file }) },
    { env: process.env, execArgv: process.execArgv },
  );
  const init = Object.fromEntries(
    initFlags.map((name) => [name, given(name)]).filter(([, value]) => value !== undefined),
  );
  return { action: positionals[0] ?? "run", config, init };
}

async function run(config: ControlConfig): Promise<void> {
  const control = await startControl(config, {}, (waiting) => process.stdout.write(`${JSON.stringify(waiting)}\n`));
  let ending = false;
  const end = (): void => {
    if (ending) process.exit(1);
    ending = true;
    control.close().then(
      () => process.exit(0),
      (error: unknown) => fail(error),
    );
  };
  process.on("SIGTERM", end);
  process.on("SIGINT", end);
  if (process.env["WEFT_PARENT"] === "stdin") whenParentGoes(process.stdin, end);
  const { publicAddress, operatorAddress, metricsAddress } = control;
  const metrics = metricsAddress === "" ? {} : { metrics: metricsAddress };
  const ready = { ready: true, public: publicAddress, operator: operatorAddress, ...metrics };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
}

async function init({ config, init: { operatorName = "admin", ...order } }: Invocation): Promise<void> {
  const outcome = await initControl(config, { operatorName, ...order });
  const { trustDomain, operatorId, installationKeyHash } = outcome;
  const cluster = { id: outcome.cluster.id, slug: outcome.cluster.slug };
  process.stdout.write(`${JSON.stringify({ trustDomain, cluster, operatorId, installationKeyHash })}\n`);
}

/** Reasons that another start cannot cure. */
const lasting = new Set(["failed_precondition", "invalid_argument", "already_exists", "not_found", "data_loss"]);

function fail(error: unknown): never {
  const lastingFailure =
    error instanceof ConfigError ||
    (error instanceof WeftError && lasting.has(error.reason)) ||
    errnoOf(error)?.startsWith("ERR_PARSE_ARGS") === true;
  const detail = error instanceof WeftError ? ` (${error.detail})` : "";
  process.stderr.write(`control: ${withCause(error)}${detail}\n`);
  process.exit(lastingFailure ? EXIT_CONFIG : 1);
}

/**
 * Runs `run` or `init` with these words; ends the process with the exit code above when it fails, once `onFailure` has been
 * told.
 */
export async function runControlProcess(argv: readonly string[], onFailure?: (error: unknown) => void): Promise<void> {
  try {
    const invocation = readInvocation(argv);
    if (invocation.action === "run") await run(invocation.config);
    else if (invocation.action === "init") await init(invocation);
    else
      throw new WeftError("invalid_argument", `unknown action "${invocation.action}": run or init`, {
        detail: "ACTION",
      });
  } catch (error) {
    onFailure?.(error);
    fail(error);
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await runControlProcess(process.argv.slice(2));
}
