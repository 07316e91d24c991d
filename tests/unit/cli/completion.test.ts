/** Completion, by the shells themselves where they are. */

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
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

describe("what the README says of loading it", () => {
  const repository = fileURLToPath(new URL("../../../", import.meta.url));
  const home = mkdtempSync(join(tmpdir(), "weft-completion-"));
  afterAll(() => rmSync(home, { recursive: true, force: true }));
  const readme = readFileSync(join(repository, "README.md"), "utf8");
  const section = readme.slice(readme.indexOf("### Completion"), readme.indexOf("## What holds on your machine"));
  const lines = (/^```sh\n([\s\S]*?)^```$/m.exec(section)?.[1] ?? "").split("\n").filter(Boolean);

  /** Runs lines in the repository as somebody at home in a folder of the test's own would. */
  function inShell(shell: string, ...said: readonly string[]): ReturnType<typeof spawnSync> {
    const weft = `weft() { '${process.execPath}' '${join(repository, "cli/bin.ts")}' "$@"; }`;
    const env = { ...process.env, HOME: home };
    return spawnSync(shell, ["-c", [weft, ...said].join("\n")], { cwd: repository, env, encoding: "utf8" });
  }
  const lineOf = (shell: string): string => lines.find((line) => line.includes(`weft completion ${shell}`)) ?? "";

  it("is a line for each shell, and one that makes the command", () => {
    expect(lines).toHaveLength(1 + shells.length);
    expect(shells.map(lineOf)).not.toContain("");
    expect(inShell("bash", lines[0] ?? "")).toMatchObject({ status: 0, stderr: "" });
    const target = readlinkSync(join(home, ".local/bin/weft"));
    expect(target).toBe(join(repository, "cli/weft.mjs"));
    expect(existsSync(target)).toBe(true);
  });

  it("works in bash", () => {
    const asked = `COMP_WORDS=(weft context us); COMP_CWORD=2; _weft; echo "offered \${COMPREPLY[*]}"`;
    const { stdout, stderr } = inShell("bash", lineOf("bash"), "complete -p weft", asked);
    expect({ stdout, stderr }).toEqual({ stdout: "complete -o default -F _weft weft\noffered use\n", stderr: "" });
  });

  it("works in zsh, where there is one", () => {
    const { error, stdout } = inShell("zsh", lineOf("zsh"), `echo "loaded \${_comps[weft]}"`);
    if (error === undefined) expect(stdout).toContain("loaded _bash_complete");
  });

  it("puts what fish reads where fish looks", () => {
    expect(inShell("bash", lineOf("fish"))).toMatchObject({ status: 0, stderr: "" });
    const script = readFileSync(join(home, ".config/fish/completions/weft.fish"), "utf8");
    expect(script).toBe(completionScript(program, "fish"));
  });
});
