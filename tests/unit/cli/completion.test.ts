/** Completion, by the shells themselves where they are. */

import { execFileSync, spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import { completionScript, shells } from "../../../cli/completion.ts";
import { buildProgram } from "../../../cli/program.ts";

const program = await buildProgram();

/** What bash offers for the last of these words. */
function offered(...words: readonly string[]): string[] {
  const script = completionScript(program, "bash");
  const line = words.map((word) => `'${word}'`).join(" ");
  const ask = `${script}\nCOMP_WORDS=(weft ${line}); COMP_CWORD=${words.length}; _weft; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync("bash", ["-c", ask], { encoding: "utf8" }).split("\n").filter(Boolean);
}

it("bash offers commands, then their subcommands, then their flags", () => {
  expect(offered("no")).toEqual(["node"]);
  expect(offered("node", "li")).toEqual(["list"]);
  expect(offered("node", "list", "--he")).toEqual(["--health", "--help"]);
  expect(offered("--json", "node", "li")).toEqual(["list"]);
  expect(offered("node", "show", "relay-1", "--js")).toEqual(["--json"]);
  expect(offered("nonsense", "x")).toEqual([]);
});

it.each(shells)("the script for %s names every command, and the shell can read it", (shell) => {
  const script = completionScript(program, shell);
  for (const { name } of program.commands.map((command) => ({ name: command.name() }))) expect(script).toContain(name);
  const read = spawnSync(shell, shell === "fish" ? ["--no-execute"] : ["-n"], { input: script, encoding: "utf8" });
  // Without that shell nobody can say; with it, it has to be right.
  if (read.error === undefined) expect({ status: read.status, stderr: read.stderr }).toEqual({ status: 0, stderr: "" });
});
