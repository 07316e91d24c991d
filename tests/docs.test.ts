/**
 * What the documents say is true: commands and flags exist, files exist, every law is there, links lead somewhere.
 */

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { buildProgram } from "../cli/program.ts";
import { loadControlConfig } from "../control/config.ts";
import { keyFingerprint } from "../control/domain/join.ts";
import { loadNodeConfig } from "../node/config.ts";
import packageFacts from "../package.json" with { type: "json" };
import { handWritten } from "./house/source.ts";

const root = new URL("..", import.meta.url).pathname;
const program = await buildProgram();
const read = (path: string): string => readFileSync(join(root, path), "utf8");

const documents = [
  "README.md",
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  "examples/go/README.md",
  "examples/python/README.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md"))
    .map((path) => `docs/${path}`),
];

interface Fence {
  readonly document: string;
  readonly language: string;
  readonly text: string;
}

function fencesOf(document: string, text = read(document)): Fence[] {
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language = "", body = ""]) => ({
    document,
    language,
    text: body,
  }));
}

/** Words of a shell line up to a comment or an operator, without quotes. */
function wordsOf(line: string): string[] {
  const words = [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
  const end = words.findIndex((word) => /^(#|&&|\|\|?|;|>)/.test(word));
  return end === -1 ? words : words.slice(0, end);
}

const scripts: Readonly<Record<string, string>> = packageFacts.scripts;

/** The `weft` part of a command line (`npx weft x`, `npm start -- x`, any script that runs `weft`), or undefined. */
function weftWords(words: readonly string[]): string[] | undefined {
  if (words[0] === "weft") return words.slice(1);
  if (words[0] === "npx" && words[1] === "weft") return words.slice(2);
  if (words[0] !== "npm") return undefined;
  const script = scripts[(words[1] === "run" ? words[2] : words[1]) ?? ""];
  const own = /^exec node scripts\/run\.mjs\b(.*)$/.exec(script ?? "")?.[1];
  if (own === undefined) return undefined;
  const rest = words.includes("--") ? words.slice(words.indexOf("--") + 1) : [];
  return [...wordsOf(own), ...rest];
}

/** Why the command line is wrong, or undefined. Nothing is run. */
function commandProblem(words: readonly string[]): string | undefined {
  let command: Command = program;
  const rest = [...words];
  for (;;) {
    const child = command.commands.find((candidate) => candidate.name() === rest[0]);
    if (child === undefined) break;
    command = child;
    rest.shift();
  }
  if (command.commands.length > 0 && rest[0]?.startsWith("-") !== true) return `no command "${words.join(" ")}"`;
  let positional = 0;
  for (let at = 0; at < rest.length; at += 1) {
    const word = rest[at] ?? "";
    if (!word.startsWith("-")) {
      positional += 1;
      continue;
    }
    if (word === "--help" || word === "--version") continue;
    const option = command.options.find(({ long, short }) => long === word || short === word);
    if (option === undefined) return `${command.name()} has no flag ${word}`;
    if (option.required) at += 1;
    if (option.required && rest[at] === undefined) return `${word} wants a value`;
  }
  const wanted = command.registeredArguments.filter(({ required }) => required).length;
  const most = command.registeredArguments.some(({ variadic }) => variadic)
    ? Number.POSITIVE_INFINITY
    : command.registeredArguments.length;
  if (positional < wanted || positional > most) {
    return `${command.name()} takes ${wanted} argument(s), not ${positional}`;
  }
  const missing = command.options.filter(({ mandatory, long }) => mandatory && !rest.includes(long ?? ""));
  return missing.length === 0 ? undefined : `${command.name()} needs ${missing.map(({ long }) => long).join(", ")}`;
}

function helpOf(command: Command): string {
  let help = "";
  command.configureOutput({ writeOut: (text) => (help += text) });
  command.outputHelp();
  return help;
}

/** Of words that begin with a command that has subcommands: why the second is none of them. */
function missingCommand([first = "", second]: readonly string[]): string[] {
  const command = program.commands.find((candidate) => candidate.name() === first);
  if (command === undefined || command.commands.length === 0 || second === undefined) return [];
  return command.commands.some((child) => child.name() === second) ? [] : [`there is no "weft ${first} ${second}"`];
}

const shellLines = documents
  .flatMap((document) => fencesOf(document))
  .filter(({ language }) => language === "sh" || language === "console")
  .flatMap(({ document, text }) => text.split("\n").map((line) => ({ document, line: line.replace(/^\s*(\$ )?/, "") })))
  .filter(({ line }) => line !== "");

describe("commands in the documents", () => {
  const weftLines = shellLines.flatMap(({ document, line }) => {
    const words = weftWords(wordsOf(line));
    return words === undefined ? [] : [{ document, line, words }];
  });

  it("exist, with every flag and every required argument", () => {
    const problems = weftLines.flatMap(({ document, line, words }) => {
      const problem = commandProblem(words);
      return problem === undefined ? [] : [`${document}: ${line}: ${problem}`];
    });
    expect(problems).toEqual([]);
    expect(weftLines.length).toBeGreaterThan(15);
  });

  it("of npm are scripts of package.json", () => {
    const builtIn = new Set(["ci", "test", "start", "pack", "install"]);
    const unknown = shellLines.flatMap(({ document, line }) => {
      const [npm, verb = "", name = ""] = wordsOf(line);
      if (npm !== "npm") return [];
      const script = verb === "run" ? name : verb;
      return script in packageFacts.scripts || (verb !== "run" && builtIn.has(verb)) ? [] : [`${document}: ${line}`];
    });
    expect(unknown).toEqual([]);
  });

  it("are complete in the README's table", () => {
    const leaves: string[] = [];
    const visit = (command: Command, path: string): void => {
      if (command.commands.length === 0) leaves.push(path);
      for (const child of command.commands) visit(child, `${path} ${child.name()}`);
    };
    visit(program, "weft");
    const readme = read("README.md");
    expect(leaves.filter((path) => !readme.includes(`\`${path}\``))).toEqual([]);
    const inTable = [...readme.matchAll(/`(weft(?: [a-z]+)+)`/g)].map((match) => match[1] ?? "");
    expect(inTable.filter((path) => !leaves.includes(path))).toEqual([]);
  });

  it("have an example in their own help, and it would work", () => {
    const problems: string[] = [];
    const visit = (command: Command, path: string): void => {
      if (command.commands.length === 0) {
        const examples = helpOf(command)
          .split("\n")
          .filter((line) => line.startsWith("  weft "))
          .map((line) => wordsOf(line.trim().split(/ {3,}/)[0] ?? "").slice(1));
        if (examples.length === 0) problems.push(`${path}: no example`);
        problems.push(...examples.flatMap((words) => commandProblem(words) ?? []).map((why) => `${path}: ${why}`));
      }
      for (const child of command.commands) visit(child, `${path} ${child.name()}`);
    };
    visit(program, "weft");
    expect(problems).toEqual([]);
  });

  it("that messages tell people to run exist", () => {
    const hints = handWritten()
      .filter(({ path }) => !path.startsWith("tests/"))
      .flatMap(({ path, text }) =>
        [...text.matchAll(/\(?weft ((?:[a-z]+ )*[a-z]+)/g)]
          .map((match) => (match[1] ?? "").split(" "))
          .filter(([first = ""]) => program.commands.some((command) => command.name() === first))
          .flatMap((words) => missingCommand(words).map((why) => `${path}: ${why}`)),
      );
    expect(hints).toEqual([]);
  });

  it("show fingerprints in the form that commands print and compare", () => {
    const texts = [
      ...documents.map((path) => ({ path, text: read(path) })),
      ...handWritten().filter(({ path }) => path.startsWith("cli/")),
    ];
    const shown = texts.flatMap(({ path, text }) =>
      [...text.matchAll(/--fingerprint "([^"$]+)"/g)]
        .map(([, example = ""]) => ({ path, example }))
        .filter(({ example }) => !/^[A-Z]+$/.test(example)),
    );
    const printed = (example: string): string => keyFingerprint(example.replaceAll(/[^0-9a-f]/g, "").padEnd(64, "0"));
    expect(shown.filter(({ example }) => printed(example) !== example)).toEqual([]);
    expect(new Set(shown.map(({ path }) => path)).size).toBeGreaterThanOrEqual(3);
  });

  it("that are wrong would be found", () => {
    expect(commandProblem(["node", "lst"])).toMatch(/no command/);
    expect(commandProblem(["node", "list", "--jsn"])).toMatch(/no flag --jsn/);
    expect(commandProblem(["node", "show"])).toMatch(/takes 1/);
    expect(commandProblem(["join", "--control", "c:1"])).toMatch(/needs .*--token-file/);
    expect(commandProblem(["node", "show", "relay-1", "--json"])).toBeUndefined();
    expect(weftWords(wordsOf("npm run conformance -- --only LAW-T1"))).toEqual(["conformance", "--only", "LAW-T1"]);
    expect(weftWords(wordsOf("npm start -- --smoke --json   # with numbers"))).toEqual(["up", "--smoke", "--json"]);
  });
});

describe("configuration in the documents", () => {
  const configurations = documents
    .flatMap((document) => fencesOf(document))
    .filter(({ language }) => language === "json");

  it.each(configurations.map(({ document, text }, index) => [`${document} #${index + 1}`, text]))(
    "%s is valid",
    (_where, text) => {
      const flags = JSON.parse(text) as Record<string, unknown>;
      const load = "stateDir" in flags ? loadNodeConfig : loadControlConfig;
      const known = load({ env: {}, flags });
      expect(Object.keys(flags).filter((key) => !(key in known))).toEqual([]);
    },
  );

  it("is there for both kinds of process", () => {
    expect(configurations.some(({ text }) => text.includes("stateDir"))).toBe(true);
    expect(configurations.some(({ text }) => text.includes("sealingKeyFile"))).toBe(true);
  });
});

/** Paths in backticks whose first part is a room or that look like a file at the root. */
function pathsIn(text: string): string[] {
  const rooms = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
    .map((entry) => entry.name);
  return [...text.matchAll(/`([\w./-]+)`/g)]
    .map((match) => match[1] ?? "")
    .filter(
      (path) => rooms.includes(path.split("/")[0] ?? "") && path.includes("/") && /(\/|\.\w+|\/[\w-]+)$/.test(path),
    );
}

describe("files named in the documents", () => {
  it.each(documents)("%s: exist", (document) => {
    const missing = pathsIn(read(document)).filter((path) => !existsSync(join(root, path)));
    expect(missing).toEqual([]);
  });

  it("are many in ARCHITECTURE.md, and each room of the code has its line", () => {
    const text = read("ARCHITECTURE.md");
    expect(new Set(pathsIn(text)).size).toBeGreaterThan(60);
    for (const room of ["proto", "gen", "lib", "certs", "fabric", "rpc", "relay", "edge", "control", "node", "cli"]) {
      expect(text, room).toContain(`| \`${room}/\` |`);
    }
  });

  it("are tracked: a document names nothing that a clone would lack", () => {
    const input = documents.flatMap((document) => pathsIn(read(document))).join("\n");
    const asked = spawnSync("git", ["check-ignore", "--stdin"], { cwd: root, input, encoding: "utf8" });
    expect(asked.stdout ?? "").toBe("");
  });
});

describe("links in the documents", () => {
  const slug = (heading: string): string =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-");

  it.each(documents)("%s: lead to files and headings", (document) => {
    const broken = [...read(document).matchAll(/\]\(([^)#]*)(?:#([^)]*))?\)/g)].flatMap(([, file = "", anchor]) => {
      if (/^https?:/.test(file)) return [];
      const target = file === "" ? document : join(dirname(document), file);
      if (!existsSync(join(root, target))) return [`${file} is not there`];
      if (anchor === undefined) return [];
      const headings = [...read(target).matchAll(/^#+ (.*)$/gm)].map((match) => slug(match[1] ?? ""));
      return headings.includes(anchor) ? [] : [`${file}#${anchor} is not there`];
    });
    expect(broken).toEqual([]);
  });
});

describe("gaps in the README", () => {
  const readme = read("README.md");
  const from = readme.indexOf("### Which gap is measured where");
  const section = readme.slice(from, readme.indexOf("### Things to try", from));

  it("are those of docs/benchmarks.md: median and most", () => {
    const pairs = [...section.matchAll(/([\d.]+) and ([\d.]+) ms/g)].map(([, median = "", most = ""]) => [
      median,
      most,
    ]);
    expect(pairs.length).toBeGreaterThan(4);
    const measured = read("docs/benchmarks.md");
    expect(pairs.filter(([median, most]) => !measured.includes(`| ${median} / ${most} / ${most} |`))).toEqual([]);
    // The first words of the README say the same, rounded.
    const said = [...readme.slice(0, 2_000).matchAll(/(\d+) ms/g)].map(([, ms]) => Number(ms));
    expect(said).toEqual([0, 2].flatMap((at) => (pairs[at] ?? []).map((ms) => Math.round(Number(ms)))));
  });
});

describe("ARCHITECTURE.md", () => {
  const laws = ["T1", "T2", "T3", "T4", "T5", "R1", "R2", "R3", "S1", "S2", "S3"]
    .concat(["F1", "F2", "F3", "I1", "I2", "I3", "I4"])
    .concat(["C1", "C2", "C3", "C4", "C5", "C6"]);
  const rows = new Map(
    read("ARCHITECTURE.md")
      .split("\n")
      .flatMap((line) => {
        const [, law, says = "", enforced = "", tested = ""] = line.split("|").map((cell) => cell.trim());
        return law !== undefined && laws.includes(law) ? [[law, { says, enforced, tested }] as const] : [];
      }),
  );

  it("has a row for every law", () => {
    expect([...rows.keys()]).toEqual(laws);
  });

  it("says where each law holds, or that it does not yet", () => {
    const silent = [...rows].filter(
      ([, { enforced }]) => !enforced.includes("later") && pathsIn(enforced).length === 0,
    );
    expect(silent).toEqual([]);
  });

  it("says where each law that holds is tested, and a test there cites it", () => {
    const uncited = [...rows].flatMap(([law, { enforced, tested }]) => {
      if (enforced.startsWith("later")) return [];
      const cited = pathsIn(tested).some((path) => testText(path).includes(`LAW-${law}`));
      return cited ? [] : [`${law}: ${tested}`];
    });
    expect(uncited).toEqual([]);
  });
});

/** The text of a test file, or of all tests in a folder. */
function testText(path: string): string {
  if (!existsSync(join(root, path))) return "";
  if (path.endsWith(".ts")) return read(path);
  return readdirSync(join(root, path), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => read(`${path}/${name}`))
    .join("\n");
}
