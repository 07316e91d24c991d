/**
 * One process of a workload, with everything it starts: its own session and process group, no shell, no descriptor but its
 * three, an environment made from nothing, a strict umask.
 *
 * NP1. It gets none of the agent's environment, arguments or descriptors: what it knows was given to it by name.
 * NP2. It has ended when its leader has been reaped and nobody of its group, nor anybody who carries its mark, is left. What
 *      outlives a leader that ended by itself is ended by force; what outlives one that was asked has until `kill`. Who made
 *      a session of its own is not asked, only ended.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import type { Readable } from "node:stream";
import type { Clock } from "../../lib/clock.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { LaunchPlan, Program } from "./ceiling.ts";
import { closeInherited } from "./descriptors.ts";
import type { LogStream, LogTail } from "./log-tail.ts";
import { groupLives, markVariable, signalMarked } from "./orphans.ts";
import { adoptGroup, forgetGroup, signalGroup } from "./process-group.ts";

/** What the agent says to every process of a workload. */
export interface LaunchNames {
  readonly name: string;
  readonly version: string;
  /** Known to this agent's state folder only: how what it started is found again. */
  readonly mark: string;
}

export interface NativeProcess {
  readonly pid: number;
  /** Resolves once (NP2), with how the leader ended: "exit 1", "SIGKILL". */
  readonly ended: Promise<string>;
  /** Asks the whole group to end. */
  term(): void;
  /** Ends the whole group. */
  kill(): void;
}

const umask = 0o077;

/**
 * A variable's value from its file: text without its last line end. The path was resolved when it was judged: a link that is
 * there by now is not followed, and what is no plain file is not waited for.
 */
function valueIn(name: string, file: string): string {
  const problem = (why: string): never => {
    throw new WeftError("failed_precondition", `the file of the variable ${name} ${why}`, { detail: "VARIABLE_FILE" });
  };
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const facts = fstatSync(descriptor);
    if (!facts.isFile()) problem("is no plain file");
    if (facts.size > limits.workloadVariableFileMaxBytes) problem("is too large");
    const text = readFileSync(descriptor, "utf8").replace(/\r?\n$/, "");
    return text.includes("\0") ? problem("is no text") : text;
  } catch (thrown) {
    if (thrown instanceof WeftError) throw thrown;
    return problem("cannot be read");
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** The whole environment of a process (NP1). */
function environmentOf(plan: LaunchPlan, names: LaunchNames): Record<string, string> {
  const fromFiles = Object.entries(plan.files).map(([name, file]) => [name, valueIn(name, file)] as const);
  return {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    LANG: "C.UTF-8",
    HOME: plan.cwd,
    USER: plan.user.name,
    LOGNAME: plan.user.name,
    ...plan.values,
    ...Object.fromEntries(fromFiles),
    WEFT_WORKLOAD: names.name,
    WEFT_WORKLOAD_VERSION: names.version,
    [markVariable]: names.mark,
  };
}

function startProgram(program: Program, plan: LaunchPlan, names: LaunchNames): ChildProcess {
  const env = environmentOf(plan, names);
  closeInherited();
  const before = process.umask(umask);
  try {
    return spawn(program.path, [...program.args], {
      cwd: plan.cwd,
      env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      shell: false,
      // The same user again would ask for a right that only root has.
      ...(plan.user.uid === process.geteuid?.() ? {} : { uid: plan.user.uid, gid: plan.user.gid }),
    });
  } finally {
    process.umask(before);
  }
}

/** Reads a stream into the tail, as fast as the tail takes it. */
function readInto(tail: LogTail, clock: Clock, name: LogStream, stream: Readable): void {
  stream.on("data", (chunk: Buffer) => {
    tail.take(name, chunk);
    const waitMs = tail.roomMs();
    if (waitMs === 0) return;
    stream.pause();
    clock.after(waitMs, () => void stream.resume());
  });
  stream.on("error", () => stream.destroy());
}

/** How long what a process left in its pipes may take to be read before they are closed. */
const leftoversMs = 2_000;

/**
 * Starts a process; resolves once there is one.
 * @throws WeftError unavailable when the system starts none, failed_precondition when a variable's file cannot be read.
 */
export async function startNative(
  plan: LaunchPlan,
  names: LaunchNames,
  tail: LogTail,
  clock: Clock,
): Promise<NativeProcess> {
  const child = startProgram(plan, plan, names);
  const { stdout, stderr } = child;
  if (stdout !== null) readInto(tail, clock, "out", stdout);
  if (stderr !== null) readInto(tail, clock, "err", stderr);
  const pid = await spawned(child);
  adoptGroup(pid);
  let asked = false;
  const left = new Promise<string>((resolve) => {
    const tell = (code: number | null, signal: string | null): void => resolve(signal ?? `exit ${code}`);
    if (child.exitCode !== null || child.signalCode !== null) tell(child.exitCode, child.signalCode);
    else child.once("exit", tell);
  });
  const ended = left.then(async (how) => {
    if (!asked) signalGroup(pid, "SIGKILL");
    while ((await groupLives(pid)) || (await signalMarked(names.mark, asked ? 0 : "SIGKILL")) > 0) await pause(clock);
    forgetGroup(pid);
    tail.flush();
    clock.after(leftoversMs, () => {
      stdout?.destroy();
      stderr?.destroy();
    });
    return how;
  });
  return {
    pid,
    ended,
    term() {
      asked = true;
      signalGroup(pid, "SIGTERM");
    },
    kill() {
      asked = false;
      signalGroup(pid, "SIGKILL");
    },
  };
}

function spawned(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("spawn", () => resolve(child.pid ?? 0));
    child.once("error", (cause) => {
      const message = `it cannot be started: ${messageOf(cause).replace(/^spawn \S+ /, "")}`;
      reject(new WeftError("unavailable", message, { detail: "WORKLOAD_SPAWN", cause }));
    });
  });
}

function pause(clock: Clock): Promise<void> {
  return new Promise((resolve) => void clock.after(limits.workloadGroupLookMs, resolve, { keepAlive: true }));
}

/** Runs a health command to its end; resolves with why it is unwell, or undefined. It says nothing anybody keeps. */
export async function runHealthCommand(
  program: Program,
  plan: LaunchPlan,
  names: LaunchNames,
  clock: Clock,
  timeoutMs: number,
): Promise<string | undefined> {
  const child = startProgram(program, plan, { ...names, mark: `${names.mark}.health` });
  child.stdout?.resume();
  child.stderr?.resume();
  const exited = new Promise<string | undefined>((resolve) => {
    child.once("exit", (code, signal) =>
      resolve(code === 0 ? undefined : `health command: ${signal ?? `exit ${code}`}`),
    );
  });
  const pid = await spawned(child);
  adoptGroup(pid);
  let late = false;
  const timer = clock.after(timeoutMs, () => {
    late = true;
    signalGroup(pid, "SIGKILL");
  });
  const found = await exited;
  timer.cancel();
  signalGroup(pid, "SIGKILL");
  forgetGroup(pid);
  return late ? `health command: no end within ${timeoutMs} ms` : found;
}
