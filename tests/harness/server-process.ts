/**
 * A server run as a child process for a test: ready when its log says so, never left behind.
 * The child dies with the test process (an exit handler kills it) and `stop` waits until it is gone.
 */

import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";

export interface ServerProcess {
  readonly pid: number;
  /** Sends a signal (for tests that freeze or kill a server): SIGSTOP, SIGCONT, SIGKILL. */
  signal(name: NodeJS.Signals): void;
  /** Asks it to end and waits until it has. Thaws it first; idempotent. */
  stop(): Promise<void>;
}

export interface ServerCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** What its output contains once it accepts connections. */
  readonly ready: string;
  readonly stopSignal: NodeJS.Signals;
  readonly env?: NodeJS.ProcessEnv;
  readonly identity?: { readonly uid: number; readonly gid: number };
  readonly startWithinMs?: number;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Starts the program; rejects with its output when it ends or is not ready in time. */
export async function startServer(command: ServerCommand): Promise<ServerProcess> {
  const child = spawn(command.program, command.args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...command.env },
    ...command.identity,
  });
  running.add(child);
  const gone = new Promise<void>((resolve) => {
    child.once("close", () => {
      running.delete(child);
      resolve();
    });
    child.once("error", () => {
      running.delete(child);
      resolve();
    });
  });
  await untilReady(child, command, gone);
  const { pid } = child;
  if (pid === undefined) throw new Error(`${command.program} has no process id`);
  return {
    pid,
    signal: (name) => void child.kill(name),
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGCONT");
        child.kill(command.stopSignal);
      }
      await gone;
    },
  };
}

function untilReady(child: ChildProcess, command: ServerCommand, gone: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = "";
    const timer = setTimeout(() => fail("was not ready in time"), command.startWithinMs ?? 30_000);
    const fail = (why: string): void => {
      clearTimeout(timer);
      child.kill("SIGKILL");
      reject(new Error(`${command.program} ${why}:\n${output.slice(-2_000)}`));
    };
    const listen = (chunk: Buffer): void => {
      output = (output + chunk.toString("utf8")).slice(-16_384);
      if (!output.includes(command.ready)) return;
      clearTimeout(timer);
      resolve();
    };
    child.stdout?.on("data", listen);
    child.stderr?.on("data", listen);
    child.once("error", (error) => fail(`could not be run: ${error.message}`));
    void gone.then(() => fail("ended before it was ready"));
  });
}
