/**
 * `weft up` as a user runs it: one process, its words on standard output, and nothing left when it ends, however it ends.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.ts";
import { fabricWithinMs, repository } from "../harness/fabric.ts";

const running = new Set<ChildProcess>();
afterAll(() => {
  for (const child of running) child.kill("SIGKILL");
});

interface Up {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly ended: Promise<number | null>;
}

function up(...args: readonly string[]): Up {
  const child = spawn(process.execPath, [join(repository, "cli/bin.ts"), "up", "--log-level", "warn", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<number | null>((resolve) =>
    child.once("close", (code) => {
      running.delete(child);
      resolve(code);
    }),
  );
  return { child, stdout: () => stdout, stderr: () => stderr, ended };
}

/** Command lines of living processes that name the folder. */
function processesOf(root: string): string[] {
  if (!existsSync("/proc/self/cmdline")) return [];
  return readdirSync("/proc").flatMap((pid) => {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      return /^\d+$/.test(pid) && line.includes(root) ? [line] : [];
    } catch {
      return [];
    }
  });
}

/** The folder the fabric said it lives in. */
function rootOf(said: string): string {
  const root = /starting control in (\S+)/.exec(said)?.[1] ?? "";
  expect(root).not.toBe("");
  return root;
}

async function expectNothingLeft(root: string): Promise<void> {
  await eventually(() => processesOf(root).length === 0, { withinMs: 15_000, what: `no process of ${root}` });
  expect(existsSync(root)).toBe(false);
}

describe("weft up", () => {
  it(
    "--smoke --json says exactly one object on one line, ends with 0 and leaves nothing",
    async () => {
      const run = up("--smoke", "--json", "--bytes", String(8 * 1_024 * 1_024));
      expect(await run.ended, run.stderr()).toBe(0);
      expect(run.stdout()).toMatch(/^\{.*\}\n$/);
      const report = JSON.parse(run.stdout()) as {
        path: string[];
        processes: { name: string; role: string; pid: number; rss_mb: number; bytes_spliced: number }[];
      };
      expect(report).toMatchObject({ ok: true, bytes: 16 * 1_024 * 1_024, sha256_equal: true });
      expect(report.path[0]).toMatch(/^entry-\d$/);
      expect(report.path.at(-1)).toMatch(/^egress-\d$/);
      const names = report.processes.map(({ name }) => name).sort();
      expect(names).toEqual(
        ["control", "egress-1", "egress-2", "entry-1", "entry-2", "relay-1", "relay-2", "relay-3"].sort(),
      );
      for (const { name, pid, rss_mb } of report.processes)
        expect([name, pid > 0, rss_mb > 10]).toEqual([name, true, true]);
      // The bytes went through the relay of the path, both ways, and as ciphertext: a little more than the payload.
      const relays = report.processes.filter(({ role }) => role === "relay");
      expect(relays.reduce((sum, { bytes_spliced }) => sum + bytes_spliced, 0)).toBeGreaterThan(16 * 1_024 * 1_024);
      await expectNothingLeft(rootOf(run.stderr()));
    },
    fabricWithinMs * 2,
  );

  // SIGTERM: cli-up.test.ts.
  it(
    "drains at SIGINT while it runs, ends with 0 and leaves nothing",
    async () => {
      const run = up();
      await eventually(() => run.stdout().includes("Ctrl-C stops everything"), {
        withinMs: fabricWithinMs,
        everyMs: 100,
      });
      expect(run.stdout()).toMatch(/^entry-1 +entry +\d+ +127\.0\.0\.1:\d+$/m);
      expect(run.stdout()).toMatch(/^egress-2 +egress +\d+ +dial-out only/m);
      run.child.kill("SIGINT");
      expect(await run.ended, run.stderr()).toBe(0);
      await expectNothingLeft(rootOf(run.stderr()));
    },
    fabricWithinMs * 2,
  );

  it(
    "leaves nothing when it is interrupted while it starts",
    async () => {
      const run = up();
      await eventually(() => run.stderr().includes("control is up"), { withinMs: fabricWithinMs, everyMs: 20 });
      run.child.kill("SIGINT");
      await run.ended;
      await expectNothingLeft(rootOf(run.stderr()));
    },
    fabricWithinMs,
  );
});
