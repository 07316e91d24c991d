/** Child processes of a fabric: each says on standard output, one JSON object a line, what it waits for and when it is ready. */

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { WeftError } from "../../lib/errors.ts";

const repository = fileURLToPath(new URL("../../", import.meta.url));

export interface ChildSpec {
  readonly name: string;
  readonly role: string;
  /** Relative to the repository. */
  readonly script: string;
  /** Flags of the runtime itself. */
  readonly runtimeFlags?: readonly string[];
  /** Program and arguments that become the process, such as `ip netns exec NAME`; none when absent. */
  readonly through?: readonly string[];
  readonly args: readonly string[];
  /** Where it keeps what lives as long as it does (sockets); the system's folder when absent. */
  readonly temporary?: string;
  readonly logs: string;
  /** Called for every line before the ready line. */
  readonly onLine?: (line: Readonly<Record<string, unknown>>) => void;
}

/** How a process ended: by itself with a code, or by a signal. */
export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface Child {
  readonly name: string;
  readonly role: string;
  readonly pid: number;
  /** The ready line. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly exited: Promise<Ended>;
  /** The end of its log. */
  lastWords(): string;
  /** Asks it to end, and insists after a while. */
  stop(): Promise<void>;
}

/** Told as soon as a process exists, so that a failed start can end it. */
export type OnSpawn = (child: { readonly name: string; readonly stop: () => Promise<void> }) => void;

/** How long a child may take from being asked to end to being ended by force. */
const insistAfterMs = 12_000;

function environment(): NodeJS.ProcessEnv {
  const cache = process.env.NODE_COMPILE_CACHE ?? join(tmpdir(), "weft-compile-cache");
  // What configures this command must not configure its children.
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^WEFT_(NODE|CONTROL)_/.test(name)));
  return { ...clean, NODE_COMPILE_CACHE: cache, WEFT_PARENT: "stdin" };
}

function parseLine(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function lastWords(logFile: string): string {
  try {
    return readFileSync(logFile, "utf8").trim().split("\n").slice(-5).join("\n");
  } catch {
    return "";
  }
}

/** Children that run: ended by force when this process exits before it has stopped them. */
const living = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of living) child.kill("SIGKILL");
});

function stopper(child: ChildProcess, exited: Promise<Ended>): () => Promise<void> {
  return async () => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    const insist = setTimeout(() => child.kill("SIGKILL"), insistAfterMs);
    await exited;
    clearTimeout(insist);
  };
}

interface Spawned {
  readonly child: ChildProcess;
  readonly stdout: Readable;
  readonly logFile: string;
  readonly exited: Promise<Ended>;
  readonly stop: () => Promise<void>;
}

function spawnChild(spec: ChildSpec, onSpawn: OnSpawn): Spawned {
  mkdirSync(spec.logs, { recursive: true, mode: 0o700 });
  const logFile = join(spec.logs, `${spec.name}.log`);
  const log = openSync(logFile, "a", 0o600);
  // A process group of its own: Ctrl-C reaches the command alone, which then ends its children in order.
  const own = [process.execPath, ...(spec.runtimeFlags ?? []), join(repository, spec.script), ...spec.args];
  const [program = process.execPath, ...args] = [...(spec.through ?? []), ...own];
  const child = spawn(program, args, {
    // Its standard input says nothing and ends with this process: then it ends too, however this one was ended.
    stdio: ["pipe", "pipe", log],
    env: spec.temporary === undefined ? environment() : { ...environment(), TMPDIR: spec.temporary },
    detached: true,
  });
  closeSync(log);
  if (child.stdout === null) throw new Error("a pipe was asked for");
  living.add(child);
  const exited = new Promise<Ended>((resolve) => {
    const ended = (code: number | null, signal: string | null): void => {
      living.delete(child);
      resolve({ code, signal });
    };
    child.once("exit", ended);
    child.once("error", () => ended(null, null));
  });
  const stop = stopper(child, exited);
  onSpawn({ name: spec.name, stop });
  return { child, stdout: child.stdout, logFile, exited, stop };
}

/** A process that ended while it was needed, with the end of its log. */
export function endedError(name: string, words: string, code: number | null, signal: string | null): WeftError {
  return new WeftError("aborted", `${name} ended (${signal ?? `exit ${code}`})${words === "" ? "" : `: ${words}`}`, {
    detail: "UP_CHILD_ENDED",
  });
}

/**
 * Runs a child to its end.
 * @throws WeftError aborted when it fails, with its last words.
 */
export function runChild(spec: ChildSpec, onSpawn: OnSpawn): Promise<void> {
  const { child, stdout, logFile } = spawnChild(spec, onSpawn);
  stdout.resume();
  return new Promise((resolve, reject) => {
    child.once("error", (cause) =>
      reject(new WeftError("unavailable", `${spec.name} did not start`, { detail: "UP_SPAWN", cause })),
    );
    child.once("exit", (code, signal) =>
      code === 0 ? resolve() : reject(endedError(spec.name, lastWords(logFile), code, signal)),
    );
  });
}

/**
 * Starts a child and resolves with its ready line.
 * @throws WeftError aborted when it ends before it is ready, with its last words.
 */
export function startChild(spec: ChildSpec, onSpawn: OnSpawn): Promise<Child> {
  const { child, stdout, logFile, exited, stop } = spawnChild(spec, onSpawn);
  return new Promise((resolve, reject) => {
    child.once("error", (cause) =>
      reject(new WeftError("unavailable", `${spec.name} did not start`, { detail: "UP_SPAWN", cause })),
    );
    child.once("exit", (code, signal) => reject(endedError(spec.name, lastWords(logFile), code, signal)));
    createInterface({ input: stdout }).on("line", (text) => {
      const line = parseLine(text);
      if (line?.ready === true)
        resolve({
          name: spec.name,
          role: spec.role,
          pid: child.pid ?? 0,
          facts: line,
          exited,
          lastWords: () => lastWords(logFile),
          stop,
        });
      else if (line !== undefined) spec.onLine?.(line);
    });
  });
}
