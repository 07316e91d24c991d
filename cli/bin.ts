/** The `weft` process. Usage errors exit with 2, other failures as cli/output.ts says. */

import { CommanderError } from "commander";
import { exitCodes } from "./output.ts";
import { buildProgram } from "./program.ts";

const program = buildProgram();
const override = (command: typeof program): void => {
  command.exitOverride();
  for (const child of command.commands) override(child);
};
override(program);

try {
  await program.parseAsync();
} catch (thrown) {
  if (!(thrown instanceof CommanderError)) throw thrown;
  process.exitCode = thrown.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
}
