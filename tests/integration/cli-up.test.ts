/** `weft up` as a process: what it keeps, what it survives, and that nothing is left when it ends. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.ts";
import { fabricWithinMs, repository, run } from "../harness/fabric.ts";

const bin = join(repository, "cli/bin.ts");
const dir = mkdtempSync(join(tmpdir(), "weft-up-"));
const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});

interface Up {
  readonly child: ChildProcess;
  readonly processes: readonly { readonly name: string; readonly pid: number }[];
  readonly ended: Promise<number | null>;
  said(): string;
}

/** Starts `weft up --json`; resolves once it says that it stands. Temporary files go to a folder of the test's own. */
async function up(temporary: string, ...args: readonly string[]): Promise<Up> {
  mkdirSync(temporary, { recursive: true });
  const env = { ...process.env, TMPDIR: temporary };
  const child = spawn(process.execPath, [bin, "up", "--json", ...args], { stdio: ["ignore", "pipe", "pipe"], env });
  children.add(child);
  let out = "";
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  await Promise.race([
    eventually(() => out.endsWith("\n"), { withinMs: fabricWithinMs }),
    ended.then((code) => Promise.reject(new Error(`it ended with ${code}: ${said}`))),
  ]);
  return { child, processes: JSON.parse(out).processes, ended, said: () => said };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A killed orphan stays listed until somebody reaps it.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

const allGone = ({ processes }: Up): boolean => processes.every(({ pid }) => !isAlive(pid));

describe("weft up --data", () => {
  const data = join(dir, "kept");
  const ids = (): string[] =>
    readdirSync(join(data, "nodes")).map((name) => {
      const state = join(data, "nodes", name, "state");
      const files = readdirSync(state, { recursive: true, encoding: "utf8" });
      const text = files
        .map((file) => (file.endsWith(".json") ? readFileSync(join(state, file), "utf8") : ""))
        .join("");
      return `${name} ${/nd-[a-z2-7]{16}/.exec(text)?.[0]}`;
    });

  it(
    "leaves nothing running when it is killed, reuses identities, refuses a second start beside the first, survives a killed relay, drains at SIGTERM",
    async () => {
      const first = await up(join(dir, "t1"), "--data", data);
      const before = ids();
      expect(before).toHaveLength(7);
      expect(before.every((line) => /nd-[a-z2-7]{16}$/.test(line))).toBe(true);
      const beside = await run(process.execPath, [bin, "up", "--json", "--data", data]);
      expect(beside.code).toBe(1);
      expect(JSON.parse(beside.stdout)).toMatchObject({ ok: false, detail: "UP_PORTS_TAKEN" });

      // Nobody ends them: they notice.
      first.child.kill("SIGKILL");
      await eventually(() => allGone(first), { withinMs: 15_000, what: "every process to notice" });
      // The demo targets are no part of the table.
      const { targets } = JSON.parse(readFileSync(join(data, "fabric.json"), "utf8"));
      await eventually(
        async () => (await run("pgrep", ["-f", `targets.ts ${targets.webPort} ${targets.echoPort}`])).stdout === "",
        { withinMs: 20_000, what: "the targets to notice" },
      );

      const temporary = join(dir, "t1-again");
      const second = await up(temporary, "--data", data);
      expect(ids()).toEqual(before);
      const relay = second.processes.find(({ name }) => name === "relay-1");
      process.kill(relay?.pid ?? 0, "SIGKILL");
      await eventually(() => second.said().includes("relay-1 was ended by SIGKILL; the rest goes on"), {
        withinMs: 20_000,
      });
      // SIGINT, and a folder that goes as well: fabric-up.test.ts.
      second.child.kill("SIGTERM");
      expect(await second.ended, second.said()).toBe(0);
      expect(allGone(second)).toBe(true);
      expect(readdirSync(temporary)).toEqual([]);
    },
    fabricWithinMs * 2,
  );
});

describe("weft up", () => {
  it(
    "ends at once at the second Ctrl-C, and leaves no process and no file",
    async () => {
      const temporary = join(dir, "t2");
      const fabric = await up(temporary);
      fabric.child.kill("SIGINT");
      await eventually(() => fabric.said().includes("stopping"), { withinMs: 30_000, what: "the first Ctrl-C heard" });
      fabric.child.kill("SIGINT");
      expect(await fabric.ended).toBe(130);
      await eventually(() => allGone(fabric), { withinMs: 20_000 });
      expect(readdirSync(temporary)).toEqual([]);
    },
    fabricWithinMs,
  );
});
