/**
 * `npm run bench -- first-byte`: what somebody waits who has just got Weft: a clone of what is committed, what `package-lock.json`
 * names, and `npm start` until bytes have come back through a fabric. Nothing of this checkout is used but its history.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf } from "../lib/errors.ts";
import { MiB } from "../lib/limits.ts";
import { benchOptions, readCommandLine } from "./load/options.ts";
import { say } from "./load/progress.ts";
import { exitOnSignals } from "./load/signals.ts";

const usage = `usage: npm run bench -- first-byte [--json]
Clones the repository into a temporary folder, installs with npm (from its cache or the network; told, not counted), and runs
"npm start -- --smoke" there. One JSON object goes to standard output, everything else to standard error.`;

const repository = fileURLToPath(new URL("..", import.meta.url));
const withinMs = 60_000;

interface Smoke {
  readonly ok: boolean;
  readonly up_ms: number;
}

/** The environment of somebody who has nothing of this checkout: neither its programs nor its compiled code. */
function strangersEnv(): NodeJS.ProcessEnv {
  const path = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => !folder.includes("node_modules"));
  const kept = Object.entries(process.env).filter(([name]) => !/^(npm_|WEFT_|NODE_)/.test(name));
  return { ...Object.fromEntries(kept), PATH: path.join(delimiter) };
}

/** Runs a program to its end; what it wrote to standard output, and how long it took. Throws when it fails. */
async function timed(
  cwd: string,
  program: string,
  ...args: readonly string[]
): Promise<{ out: string; tookMs: number }> {
  const startedMs = performance.now();
  const child = spawn(program, args, { cwd, env: strangersEnv(), stdio: ["ignore", "pipe", "inherit"] });
  const end = (): void => void child.kill("SIGTERM");
  process.once("exit", end);
  let out = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  process.off("exit", end);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}`);
  return { out, tookMs: Math.round(performance.now() - startedMs) };
}

async function measure(folder: string): Promise<object> {
  const clone = join(folder, "weft");
  const { tookMs: cloneMs } = await timed(folder, "git", "clone", "--quiet", repository, clone);
  const { tookMs: installMs } = await timed(clone, "npm", "ci", "--loglevel=error");
  say(`cloned in ${cloneMs} ms and installed in ${installMs} ms; starting`);
  const smoke = ["start", "--silent", "--", "--smoke", "--bytes", String(MiB), "--json"];
  const { out, tookMs } = await timed(clone, "npm", ...smoke);
  const { ok, up_ms } = JSON.parse(out) as Smoke;
  return {
    ok: ok && tookMs <= withinMs,
    clone_ms: cloneMs,
    install_ms: installMs,
    up_ms,
    // Of the whole command: the first byte came before it ended.
    first_byte_within_ms: tookMs,
  };
}

if (readCommandLine(usage, (args) => benchOptions(args, {})) !== undefined) {
  exitOnSignals();
  const folder = mkdtempSync(join(tmpdir(), "weft-first-byte-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  try {
    process.stdout.write(`${JSON.stringify(await measure(folder))}\n`);
  } catch (thrown) {
    say(messageOf(thrown));
    process.exitCode = 1;
  }
}
