/**
 * The example clients as programs: a language's one is built where that is needed, and each of its commands prints one JSON
 * object on standard output and lines of JSON on standard error while it runs.
 */

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { WeftError } from "../lib/errors.ts";
import { readFileIfAny } from "../lib/files.ts";

export const languages = ["go", "python"] as const;
export type Language = (typeof languages)[number];

/** What a command says while it runs. */
export type Told = Readonly<Record<string, unknown>>;

export interface ExampleClient {
  readonly language: Language;
  readonly program: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

const repository = fileURLToPath(new URL("../", import.meta.url));
const cache = `${repository}node_modules/.cache/weft`;
const buildWithinMs = 170_000;

/** Where scripts/peers.mjs found the tools of a language. */
function toolOf(language: Language): string {
  const text = readFileIfAny(`${cache}/peers.json`)?.toString() ?? "{}";
  const found = JSON.parse(text) as Record<string, { path?: string; missing?: string }>;
  const { path, missing = "nobody looked for it (npm run examples does)" } = found[language] ?? {};
  if (path !== undefined) return path;
  throw new WeftError("failed_precondition", `there is no ${language} here: ${missing}`, { detail: "EXAMPLE_TOOL" });
}

function buildGo(go: string): string {
  const program = `${cache}/weft-example-go`;
  const built = spawnSync(go, ["build", "-o", program, "."], {
    cwd: `${repository}examples/go`,
    encoding: "utf8",
    timeout: buildWithinMs,
  });
  if (built.status === 0) return program;
  const why = built.error?.message ?? built.stderr.trim();
  throw new WeftError("failed_precondition", `examples/go does not build: ${why}`, { detail: "EXAMPLE_BUILD" });
}

/**
 * The client of a language, ready to run.
 * @throws WeftError failed_precondition when its tools are missing (EXAMPLE_TOOL) or it does not build (EXAMPLE_BUILD).
 */
export function exampleClient(language: Language, tool: string = toolOf(language)): ExampleClient {
  if (language === "go") return { language, program: buildGo(tool), args: [], env: {} };
  const compiled = `${cache}/python`;
  mkdirSync(compiled, { recursive: true });
  return {
    language,
    program: tool,
    args: [`${repository}examples/python/weft_example.py`],
    env: { PYTHONPATH: `${repository}gen/python`, PYTHONPYCACHEPREFIX: compiled },
  };
}

/** A command that runs. */
export interface Running<T> {
  /** The object it prints; rejects with what it said last when it fails. */
  readonly answer: Promise<T>;
  /** Resolves with the first line of standard error that has all these keys; rejects when the command ends without one. */
  told(...keys: readonly string[]): Promise<Told>;
  /** Lets a command go on that waits for a line. */
  goOn(): void;
}

function objectIn(line: string): Told | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

const living = new Set<ReturnType<typeof spawn>>();
process.on("exit", () => {
  for (const child of living) child.kill("SIGKILL");
});

/** Runs one command of a client; its options are given as `--name value`, or `--name` when the value is empty. It is ended by force after `withinMs`. */
export function runExample<T>(
  client: ExampleClient,
  command: string,
  options: Readonly<Record<string, string | number>>,
  withinMs: number,
): Running<T> {
  const words = Object.entries(options).flatMap(([name, value]) =>
    value === "" ? [`--${name}`] : [`--${name}`, String(value)],
  );
  const child = spawn(client.program, [...client.args, command, ...words], {
    stdio: ["pipe", "pipe", "pipe"],
    timeout: withinMs,
    killSignal: "SIGKILL",
    env: { ...process.env, ...client.env },
  });
  living.add(child);
  let stdout = "";
  let lastWords = "";
  const heard: Told[] = [];
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const look of waiting) look();
  };
  // It may be over, or wait for nothing.
  child.stdin.on("error", () => {});
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  createInterface({ input: child.stderr }).on("line", (line) => {
    const object = objectIn(line);
    if (object === undefined) lastWords = line;
    else heard.push(object);
    wake();
  });
  let isOver = false;
  const answer = new Promise<T>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      living.delete(child);
      isOver = true;
      wake();
      if (code === 0) resolve(JSON.parse(stdout) as T);
      else reject(new Error(`${client.language} ${command} ended with ${signal ?? code}: ${lastWords}`));
    });
  });
  // Whoever waits for a line hears of the end there.
  answer.catch(() => {});
  const told = (...keys: readonly string[]): Promise<Told> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const line = heard.find((object) => keys.every((key) => key in object));
        if (line === undefined && !isOver) return;
        waiting.delete(look);
        if (line !== undefined) resolve(line);
        else answer.then(() => reject(new Error(`${command} never said ${keys.join(", ")}`)), reject);
      };
      waiting.add(look);
      look();
    });
  return { answer, told, goOn: () => void child.stdin.end("\n") };
}
