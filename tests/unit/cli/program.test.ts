import type { Command, Option } from "commander";
import { describe, expect, it, vi } from "vitest";
import { commandGroups } from "../../../cli/command-groups.ts";
import { inFlags } from "../../../cli/commands/intent.ts";
import { buildProgram } from "../../../cli/program.ts";
import { WeftError } from "../../../lib/errors.ts";

interface Leaf {
  readonly path: string;
  readonly command: Command;
}

function leaves(command: Command, path: string): Leaf[] {
  if (command.commands.length === 0) return [{ path, command }];
  return command.commands.flatMap((child) => leaves(child, `${path} ${child.name()}`));
}

const program = await buildProgram();
const all = leaves(program, "weft");

/** Everything a command prints for --help. */
function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text;
}

const secret = /token|key|secret|password|passphrase|credential|private/i;
/** Options that name a place or a public hash, not the secret itself. */
const place = /(-file|-out|-dir|-hash)$|^--(out|dir|data|state|state-dir|context)$/;

describe.each(all)("$path", ({ path, command }) => {
  it("says what it is for, with an example of itself that parses", () => {
    expect(command.description()).not.toBe("");
    const help = helpOf(command);
    expect(help).toMatch(/Examples?:\n/);
    const examples = help
      .slice(help.search(/Examples?:\n/))
      .split("\n")
      .map((line) => line.trim());
    const own = examples.find((line) => line === path || line.startsWith(`${path} `));
    expect(own, `an example that starts with "${path}"`).toBeDefined();
    const named = new Set([...command.options, ...program.options].map(({ long }) => long));
    for (const [flag] of (own ?? "").matchAll(/(?<= )--[a-z-]+/g)) expect([...named]).toContain(flag);
  });

  it("takes no secret as a word of its command line: others on the host can read those", () => {
    const taking = (option: Option): boolean => option.required || option.optional;
    const bad = command.options.filter(
      (option) => taking(option) && secret.test(option.long ?? "") && !place.test(option.long ?? ""),
    );
    expect(bad.map(({ flags }) => flags)).toEqual([]);
    const words = command.registeredArguments.map((argument) => argument.name());
    expect(words.filter((word) => secret.test(word))).toEqual([]);
  });

  it("describes every option", () => {
    expect(command.options.filter(({ description }) => description === "").map(({ flags }) => flags)).toEqual([]);
  });
});

describe("the tree", () => {
  it("knows the commands operators need", () => {
    const paths = all.map(({ path }) => path);
    for (const path of [
      "weft join",
      "weft token create",
      "weft request approve",
      "weft node run",
      "weft route explain",
      "weft audit list",
    ]) {
      expect(paths).toContain(path);
    }
  });

  it("takes global options before and after a command", () => {
    for (const { path, command } of all) {
      const named = [...command.options, ...program.options].map(({ long }) => long);
      for (const global of ["--json", "--context", "--cluster"]) expect(named, path).toContain(global);
    }
  });

  it("says nothing of options that a command has no use for", () => {
    const helpAt = (path: string): string => {
      const found = all.find((leaf) => leaf.path === path);
      if (found === undefined) throw new Error(`there is no ${path}`);
      return helpOf(found.command);
    };
    for (const path of ["up", "join", "node run", "control init", "control run"]) {
      expect(helpAt(`weft ${path}`), path).not.toMatch(/--context |--cluster /);
    }
    // A context may name a client's folder.
    for (const path of ["connect", "forward"]) {
      expect(helpAt(`weft ${path}`), path).toContain("--context ");
      expect(helpAt(`weft ${path}`), path).not.toContain("--cluster ");
    }
    expect(helpAt("weft connect")).not.toContain("--json");
    for (const global of ["--context <context>", "--cluster <slug>"])
      expect(helpAt("weft node list")).toContain(global);
    expect(helpAt("weft node drain")).not.toContain("default: true");
  });

  it("is the same when only the group that is named was loaded", async () => {
    const whole = helpOf(program);
    for (const command of program.commands) {
      const name = command.name();
      const one = await buildProgram(["--json", name, "list"]);
      expect(helpOf(one), name).toBe(whole);
      const loaded = one.commands.find((other) => other.name() === name);
      expect(loaded === undefined ? "" : helpOf(loaded), name).toBe(helpOf(command));
    }
  });

  it("is known by its names alone, in the same order, where no group is named", async () => {
    const names = await buildProgram(["--version"]);
    expect(helpOf(names)).toBe(helpOf(program));
    expect(Object.keys(commandGroups)).toEqual(program.commands.map((command) => command.name()));
    expect(names.commands.flatMap((command) => command.commands)).toEqual([]);
  });

  it("says what to set, and what has no JSON", async () => {
    const said = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    for (const [words, message] of [
      [["qos", "set", "--class", "bulk"], "say what to set"],
      [["connect", "echo", "--json"], "there is no --json here"],
    ] as const) {
      await (await buildProgram(words)).parseAsync(words, { from: "user" });
      expect(said.mock.calls.join()).toContain(message);
      expect(process.exitCode).toBe(2);
    }
    process.exitCode = undefined;
    said.mockRestore();
  });

  it("tells of a wrong intent in the words of the command line", () => {
    const refused = new WeftError(
      "invalid_argument",
      "node_id: require-region means a region; expires_at_ms: already over",
    );
    expect(inFlags(refused)).toMatchObject({
      reason: "invalid_argument",
      message: "--node: require-region means a region; --for: already over",
    });
  });

  it("refuses numbers that are none before anything is sent", async () => {
    for (const words of [
      ["token", "create", "--uses", "x"],
      ["token", "create", "--life", "10"],
      ["listener", "add", "a", "--resource", "r", "--entry", "e", "--port", "70000"],
      ["audit", "list", "--limit", "-1"],
    ]) {
      const fresh = await buildProgram(words);
      const quiet = (command: Command): void => {
        command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
        for (const child of command.commands) quiet(child);
      };
      quiet(fresh);
      await expect(fresh.parseAsync(words, { from: "user" }), words.join(" ")).rejects.toMatchObject({
        code: "commander.invalidArgument",
      });
    }
  });
});
