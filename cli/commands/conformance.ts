/** `weft conformance`: tries what this version promises on this machine, and says what held. */

import { type Command, Option } from "commander";
import type { Format } from "../../conformance/report.ts";
import { abortOnSignals } from "../interrupts.ts";
import { exitCodes } from "../output.ts";
import { action, type GlobalOptions } from "../session.ts";

interface ConformanceOptions extends GlobalOptions {
  readonly format: Format;
  readonly only?: string;
}

const lingerMs = 5_000;

async function conformance(options: ConformanceOptions): Promise<void> {
  // Half the product is loaded for it: not when another command is asked for.
  const [{ runConformance }, { render }] = await Promise.all([
    import("../../conformance/run.ts"),
    import("../../conformance/report.ts"),
  ]);
  const { signal, off } = abortOnSignals("stopping; what is left is not tried", "CONFORMANCE_INTERRUPTED");
  try {
    const report = await runConformance({
      ...(options.only === undefined ? {} : { only: options.only }),
      say: (line) => process.stderr.write(`${line}\n`),
      signal,
    });
    process.stdout.write(`${render(report, options.json === true ? "json" : options.format)}\n`);
    if (signal.aborted) process.exitCode = exitCodes.interrupted;
    else if (!report.ok) process.exitCode = exitCodes.failure;
    // Everything is ended and said: a connection that has not noticed yet must not keep whoever waits for the report.
    setTimeout(() => process.exit(), lingerMs).unref();
  } finally {
    off();
  }
}

export function addConformanceCommand(program: Command): void {
  program
    .command("conformance")
    .description("try what this version promises on this machine: stores, leases, trust, live connections")
    .addOption(new Option("--format <format>", "of the report").choices(["text", "json", "markdown"]).default("text"))
    .option("--only <text>", "only checks whose law or id contains this, such as LAW-I4 or postgres-18")
    .addHelpText(
      "after",
      `
Starts what it needs on loopback (stores, control, nodes) and ends it; a few minutes. Progress goes to standard error, the
report to standard output. Exits with 1 when a promise does not hold.

Examples:
  weft conformance
  weft conformance --only LAW-T1
  weft conformance --format markdown > evidence.md`,
    )
    .action(action(conformance));
}
