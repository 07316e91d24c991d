/** M-A7 from the command line to a process and back: a real control, a real node, `weft workload`; then without control. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type WorkloadReported, WorkloadService } from "../../gen/weft/admin/v1/workload_pb.ts";
import { WorkloadState } from "../../gen/weft/control/v1/control_pb.ts";
import { WorkloadKind } from "../../gen/weft/fabric/v1/workload_pb.ts";
import { silentLog } from "../../lib/log.ts";
import { loadNodeConfig } from "../../node/config.ts";
import { type NodeHandle, startNode } from "../../node/main.ts";
import { openWorkloadHost } from "../../node/workloads/host.ts";
import { rpcClient } from "../../rpc/client.ts";
import { startTestControl, type TestControl } from "../harness/control-process.ts";
import { eventually } from "../harness/eventually.ts";
import { type Ran, repository, run } from "../harness/fabric.ts";
import { joinNode } from "../harness/joined-node.ts";
import { ceilingFor, isRunning, openWorkloadBench, type WorkloadBench } from "../harness/workload-bench.ts";

const isRoot = openWorkloadHost().self.uid === 0;
const bin = join(repository, "cli/bin.ts");
let control: TestControl;
let node: NodeHandle;
let stateDir: string;
/** Only its folder of programs. */
let bench: WorkloadBench;

const start = (): Promise<NodeHandle> =>
  startNode(
    loadNodeConfig({
      env: {},
      flags: {
        stateDir,
        control: control.running.publicAddress,
        dialOutOnly: true,
        ceiling: { workloads: ceilingFor(bench.dir) },
      },
    }),
    { version: "1.0-test", pid: process.pid, rssPeakBytes: () => 1, log: silentLog },
  );

beforeAll(async () => {
  bench = openWorkloadBench();
  control = await startTestControl();
  const joined = await joinNode({
    operator: control.operator(),
    publicAddress: control.running.publicAddress,
    clusterId: control.outcome.cluster.id,
    name: "host-1",
    roles: [],
  });
  stateDir = joined.stateDir;
  // The port was any free one when the context was written.
  const file = join(control.contextDir, "context.json");
  const context = JSON.parse(readFileSync(file, "utf8")) as object;
  const { operatorAddress, publicAddress } = control.running;
  writeFileSync(file, JSON.stringify({ ...context, operatorAddress, publicAddress }), { mode: 0o600 });
  node = await start();
});
afterAll(async () => {
  await node?.[Symbol.asyncDispose]();
  await control?.[Symbol.asyncDispose]();
  await bench?.close();
  rmSync(stateDir, { recursive: true, force: true });
});

const env = (): NodeJS.ProcessEnv => ({ WEFT_CONTEXT: control.contextDir });
const weft = (...args: readonly string[]): Promise<Ran> =>
  run(process.execPath, [bin, "workload", ...args], { env: env() });

async function json(...args: readonly string[]): Promise<{ code: number | null; out: Record<string, unknown> }> {
  const { code, stdout } = await weft(...args, "--json");
  expect(stdout.trimEnd().split("\n")).toHaveLength(1);
  return { code, out: JSON.parse(stdout) as Record<string, unknown> };
}

const admin = () => rpcClient(WorkloadService, control.operator());
const place = (name: string) => ({ clusterId: control.outcome.cluster.id, nodeId: "host-1", name });

const reported = (name: string, state: WorkloadState): Promise<WorkloadReported> =>
  eventually(
    async () => {
      const { workloads } = await admin().listWorkloads(place(name));
      const found = workloads[0]?.reported;
      return found?.state === state ? found : undefined;
    },
    { what: `${name} reported as ${state}`, withinMs: 15_000, everyMs: 100 },
  );

const at = ["--node", "host-1"];
const privileges = isRoot ? ["--host-privileges"] : [];

describe("weft workload", () => {
  it("sets, approves, shows, follows and removes; what a program says is text and nothing else", {
    timeout: 60_000,
  }, async () => {
    const program = bench.program(
      "talker",
      "#!/bin/sh\nprintf '\\033[2Jhello\\n'\necho \"word $1\"\nn=0\nwhile :; do n=$((n+1)); echo tick $n; sleep 0.1; done\n",
    );
    const set = await json(
      "set",
      "talker",
      ...at,
      "--command",
      program,
      "--arg",
      "-x",
      "--release",
      "1",
      ...privileges,
    );
    expect(set).toMatchObject({ code: 0, out: { ok: true, waitsForApproval: isRoot } });
    const fingerprint = (await admin().listWorkloads(place("talker"))).workloads[0]?.fingerprint ?? "";
    if (isRoot) expect((await json("approve", "talker", ...at, "--fingerprint", fingerprint)).code).toBe(0);
    await reported("talker", WorkloadState.RUNNING);
    const { out: list } = await json("list", "--node", "host-1");
    expect(list["workloads"]).toMatchObject([
      { name: "talker", desired: "running", state: "running", version: "1", current: true, reason: "" },
    ]);

    const { out } = await json("logs", "talker", ...at);
    const lines = (out["lines"] as readonly { text: string; stream: string }[]).map(({ text }) => text);
    expect(lines.slice(0, 3)).toEqual(["\u001b[2Jhello", "word -x", "tick 1"]);
    const plain = await weft("logs", "talker", ...at, "--lines", "0");
    expect(plain.stdout).toContain("\\u001b[2Jhello");
    expect(plain.stdout).not.toContain("\u001b");

    const follower = spawn(
      process.execPath,
      [bin, "workload", "logs", "talker", ...at, "--follow", "--json", "--lines", "1"],
      {
        env: { ...process.env, ...env() },
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const ticks: number[] = [];
    createInterface({ input: follower.stdout }).on("line", (line) => {
      const { text } = JSON.parse(line) as { text: string };
      ticks.push(Number(text.replace("tick ", "")));
    });
    await eventually(() => ticks.length >= 10, { what: "ticks that are followed", withinMs: 15_000 });
    follower.kill("SIGINT");
    expect((await once(follower, "exit"))[0]).toBe(0);
    expect(ticks).toEqual(ticks.map((_, n) => (ticks[0] ?? 0) + n));

    // What is not named stays as it was.
    expect((await json("set", "talker", ...at, "--desired", "stopped")).code).toBe(0);
    expect(await reported("talker", WorkloadState.STOPPED)).toMatchObject({ version: "1" });
    expect((await weft("show", "talker", ...at)).stdout).toContain(`${program} "-x"`);
    await admin().removeWorkload(place("talker"));
    expect(await json("logs", "nobody", ...at)).toMatchObject({ code: 1, out: { detail: "WORKLOAD_NOT_FOUND" } });
  });

  it("says why a host will not, and refuses secrets on the spot", { timeout: 60_000 }, async () => {
    await json("set", "shell", ...at, "--command", "/bin/sh");
    await admin().setWorkload({
      ...place("box"),
      spec: { kind: WorkloadKind.CONTAINER, image: "registry.example/box" },
    });
    const { DEGRADED } = WorkloadState;
    expect((await reported("shell", DEGRADED)).reason).toBe("beyond this host's ceiling: the command /bin/sh");
    expect((await reported("box", DEGRADED)).reason).toBe("this agent runs no containers");
    const secret = await json("set", "shell", ...at, "--env", "DB_PASSWORD=x");
    expect(secret).toMatchObject({ code: 2, out: { message: expect.stringContaining("looks like a secret") } });
    for (const name of ["shell", "box"]) await admin().removeWorkload(place(name));
  });

  it("WS1 what is desired stays in force when control is gone, over a restart of the agent too", {
    timeout: 60_000,
  }, async () => {
    const program = bench.program("stayer", `#!/bin/sh\necho $$ > ${bench.dir}/stayer.pid\nexec sleep 1000\n`);
    const pidNow = (): number => Number(readFileSync(join(bench.dir, "stayer.pid"), "utf8"));
    const spec = { kind: WorkloadKind.NATIVE, command: program, hostPrivileges: isRoot };
    const { workload } = await admin().setWorkload({ ...place("stayer"), spec });
    if (isRoot) await admin().approveWorkload({ ...place("stayer"), fingerprint: workload?.fingerprint ?? "" });
    const first = await eventually(() => pidNow() || undefined, { what: "it runs", withinMs: 15_000 });
    await control.running.close(0);
    expect(isRunning(first)).toBe(true);
    await node[Symbol.asyncDispose]();
    expect(isRunning(first)).toBe(false);
    node = await start();
    const second = await eventually(() => (pidNow() === first ? undefined : pidNow()), { what: "it runs again" });
    expect(isRunning(second)).toBe(true);
    await control.restart();
    expect(isRunning(second)).toBe(true);
  });
});
