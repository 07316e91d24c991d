/** The `weft` process. Usage errors exit with 2, other failures as cli/output.ts says. */

import { CommanderError } from "commander";
import { exitCodes, report } from "./output.ts";
import { buildProgram } from "./program.ts";

const program = await buildProgram(process.argv.slice(2));
const override = (command: typeof program): void => {
  command.exitOverride();
  for (const child of command.commands) override(child);
};
override(program);

const isJson = process.argv.includes("--json");

try {
  await program.parseAsync();
} catch (thrown) {
  if (!(thrown instanceof CommanderError)) process.exitCode = report(thrown, { json: isJson });
  else if (thrown.exitCode === 0) process.exitCode = exitCodes.ok;
  else {
    // Commander has told people already; programs get their line as for every other failure.
    const message = thrown.message.replace(/^error: /, "");
    if (isJson)
      process.stdout.write(`${JSON.stringify({ ok: false, error: "usage", detail: thrown.code, message })}\n`);
    process.exitCode = exitCodes.usage;
  }
}
