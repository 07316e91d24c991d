// Where the toolchain lives and how its programs are run. Plain JavaScript on purpose: it must run on Node 20, before
// anything is installed. Everything it says goes to stderr; stdout belongs to the program that is run.

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants, homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url)).replace(/[\\/]$/, "");
export const modules = join(root, "node_modules");
export const bin = join(modules, ".bin");
/** Build products of this checkout; gone with node_modules. */
export const cache = join(modules, ".cache", "weft");
/** Programs the tests talk to, kept between checkouts. */
export const peerCache =
  process.env.WEFT_PEER_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "weft");

const lockFile = join(root, "package-lock.json");
const stampFile = join(modules, ".weft-lock-sha256");
const windows = process.platform === "win32";

/** The pinned Node, once installed. */
export const pinnedNode = join(modules, "node", "bin", windows ? "node.exe" : "node");

export function say(line) {
  process.stderr.write(`${line}\n`);
}

function lockHash() {
  return createHash("sha256").update(readFileSync(lockFile)).digest("hex");
}

function installed() {
  if (!existsSync(pinnedNode)) return false;
  if (existsSync(stampFile)) return readFileSync(stampFile, "utf8").trim() === lockHash();
  return installedByHand();
}

/** `npm ci` run by hand leaves no stamp; npm's own record of what it installed says whether it matches the lock. */
function installedByHand() {
  const record = join(modules, ".package-lock.json");
  if (!existsSync(record)) return false;
  const wanted = JSON.parse(readFileSync(lockFile, "utf8")).packages;
  const present = JSON.parse(readFileSync(record, "utf8")).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === "") return true;
    const found = present[path];
    return found === undefined ? entry.optional === true : found.version === entry.version;
  });
}

/** Installs what the lock names when it is not there yet. Throws when npm fails. */
export function ensureInstalled() {
  if (installed()) {
    if (!existsSync(stampFile)) writeFileSync(stampFile, `${lockHash()}\n`);
    return;
  }
  say("weft: installing what package-lock.json names (once; about half a minute)");
  const startedMs = performance.now();
  rmSync(stampFile, { force: true });
  // The pinned Node must not be on PATH while npm replaces it.
  const path = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== bin);
  const done = spawnSync(
    "npm",
    ["ci", "--include=dev", "--include=optional", "--no-fund", "--no-audit", "--loglevel=error"],
    {
      cwd: root,
      stdio: ["ignore", 2, 2],
      shell: windows,
      env: { ...withoutNpm(process.env), PATH: path.join(delimiter), NODE_ENV: "development" },
    },
  );
  if (done.error) throw new Error(`npm could not be run: ${done.error.message}`);
  if (done.status !== 0) throw new Error(`npm ci failed with exit code ${done.status ?? done.signal}`);
  if (!existsSync(pinnedNode)) throw new Error("npm ci left no pinned Node (were install scripts of `node` refused?)");
  writeFileSync(stampFile, `${lockHash()}\n`);
  say(`weft: installed in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
}

/** An npm that calls an npm must not hand its own settings down (log level, prefix, omitted groups). */
function withoutNpm(env) {
  const keep = /^npm_config_(cache|registry|userconfig|globalconfig|proxy|https_proxy|noproxy|cafile|strict_ssl)$/i;
  return Object.fromEntries(Object.entries(env).filter(([key]) => !/^npm_/i.test(key) || keep.test(key)));
}

/** The environment every tool runs in: the pinned programs first, compiled code kept. */
export function toolEnv(extra = {}) {
  const compileCache = join(cache, "compile");
  mkdirSync(compileCache, { recursive: true });
  return {
    ...process.env,
    PATH: `${bin}${delimiter}${process.env.PATH ?? ""}`,
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? compileCache,
    ...extra,
  };
}

/**
 * Runs a program with this terminal, passes signals on, and ends as it ended: the same exit code, or 128 + the signal's
 * number. Under npm it also ends the program when npm is gone: npm hands a SIGTERM to the shell between, which dies of it
 * without passing it on.
 */
export function become(command, args, options = {}) {
  const child = spawn(command, args, {
    stdio: "inherit",
    env: toolEnv(options.env),
    cwd: options.cwd ?? process.cwd(),
  });
  const forwarded = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR2"];
  for (const signal of forwarded) {
    // A terminal sends Ctrl-C to the whole group: the child has it already, and sees it once.
    process.on(signal, () => (signal === "SIGINT" && process.stdin.isTTY ? undefined : child.kill(signal)));
  }
  if (process.env.npm_lifecycle_event !== undefined) {
    const parent = process.ppid;
    const watch = setInterval(() => {
      if (process.ppid === parent) return;
      clearInterval(watch);
      child.kill("SIGTERM");
    }, 250);
    watch.unref();
  }
  child.on("error", (error) => {
    say(`weft: ${command} could not be run: ${error.message}`);
    process.exitCode = 127;
  });
  child.on("exit", (code, signal) => {
    process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
  });
}

/** Runs `work`; a failure is one line on stderr and exit code 1, not a stack trace. */
export async function main(work) {
  try {
    await work();
  } catch (error) {
    say(`weft: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

/** Becomes the `weft` command, with the runtime flags of the long-lived processes (docs/decisions/0005). */
export function becomeWeft(args, options = {}) {
  const { config } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  // Only the embedded store needs control's heap kept small; beside a server the collector's own choice is better.
  const isEmbedded = !args.includes("--postgres-url-file") && !process.env.WEFT_CONTROL_POSTGRES_URL_FILE;
  const controlFlags = isEmbedded ? config.controlFlags : [];
  const briefFlags = isEmbedded ? [...controlFlags, ...config.briefControlFlags] : [];
  const flagsOf = { "node run": config.dataPlaneFlags, "control run": controlFlags, "control init": briefFlags };
  const flags = flagsOf[args.slice(0, 2).join(" ")] ?? [];
  become(pinnedNode, [...flags, join(root, "cli", "bin.ts"), ...args], options);
}
