/** M-A7 workloads of a node as real processes: started, watched, restarted, replaced, ended, and nothing left over. */

import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { create, toJsonString } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../lib/limits.ts";
import { openWorkloadHost } from "../../node/workloads/host.ts";
import { eventually } from "../harness/eventually.ts";
import { repository } from "../harness/fabric.ts";
import { isRunning, openWorkloadBench, type Wished, type WorkloadBench } from "../harness/workload-bench.ts";

let bench: WorkloadBench;

beforeAll(() => {
  bench = openWorkloadBench({ users: [openWorkloadHost().self.name, "nobody"] });
  bench.program("sleeper", "#!/bin/sh\necho here $WEFT_WORKLOAD_VERSION\nexec sleep 1000\n");
});
afterAll(() => bench.close());

/** What a program has open that was started as `exec sleep` by the shell of that number: what both were given. */
const descriptorsOf = async (pid: number): Promise<string[]> => {
  await eventually(() => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n", { what: "the shell's last word" });
  return readdirSync(`/proc/${pid}/fd`).sort();
};
const sleeper = (): string => join(bench.dir, "bin", "sleeper");

/** A child of `leader`, by the number it wrote into its log. */
const numberInLog = (name: string, word: string): Promise<number> =>
  eventually(
    () =>
      bench
        .log(name)
        .map((line) => new RegExp(`^${word} (\\d+)$`).exec(line)?.[1])
        .findLast((each) => each !== undefined),
    { what: `${word} in the log` },
  ).then(Number);

describe("M-A7 life", () => {
  it("runs, is replaced by another version, stopped and started by wish, and ended when nobody wishes for it", async () => {
    bench.wish(bench.wished("web", sleeper(), { version: "1" }));
    const first = await bench.until("web", "running");
    expect(first).toMatchObject({ version: "1", restarts: 0, reason: "", lastEnd: "" });
    expect(isRunning(first.pid)).toBe(true);
    await eventually(() => bench.log("web").includes("here 1"), { what: "its first words" });

    bench.wish(bench.wished("web", sleeper(), { version: "2" }));
    const second = await bench.until("web", "running", ({ version }) => version === "2");
    expect(second.pid).not.toBe(first.pid);
    expect(isRunning(first.pid)).toBe(false);

    bench.wish(bench.wished("web", sleeper(), { version: "2" }, { running: false }));
    await bench.until("web", "stopped");
    expect(isRunning(second.pid)).toBe(false);

    bench.wish(bench.wished("web", sleeper(), { version: "2" }));
    const third = await bench.until("web", "running");
    bench.wish();
    await eventually(() => !isRunning(third.pid), { what: "its end" });
    expect(bench.supervisor.status()).toEqual([]);
    const told = bench.events.filter(({ kind }) => kind === "workload_state").map(({ facts }) => facts["state"]);
    expect(told).toEqual(expect.arrayContaining(["starting", "running", "stopping", "stopped"]));
  });

  it("ends whoever hangs on the polite signal after the grace, with everything in its group", async () => {
    const stubborn = bench.program(
      "stubborn",
      "#!/bin/sh\ntrap '' TERM\nsh -c 'trap \"\" TERM; echo child $$; while :; do sleep 1; done' &\necho up\nwhile :; do sleep 1; done\n",
    );
    bench.wish(bench.wished("hang", stubborn, { stopGraceMs: 400n }));
    const { pid } = await bench.until("hang", "running");
    const child = await numberInLog("hang", "child");
    await eventually(() => bench.log("hang").includes("up"));
    bench.wish(bench.wished("hang", stubborn, { stopGraceMs: 400n }, { running: false }));
    expect(await bench.until("hang", "stopped")).toMatchObject({ lastEnd: "SIGKILL" });
    expect([isRunning(pid), isRunning(child)]).toEqual([false, false]);
  });

  it("crashes into waits and is failed in the end, with what it said last", async () => {
    const crash = bench.program("crash", "#!/bin/sh\necho dying >&2\nexit 7\n");
    const restart = { backoffMinMs: 100n, backoffMaxMs: 150n, restartsMaxCount: 3, windowMs: 60_000n };
    bench.wish(bench.wished("crash", crash, { restart }));
    await bench.until("crash", "backoff", ({ restarts }) => restarts > 0);
    expect(await bench.until("crash", "failed")).toMatchObject({ restarts: 3, lastEnd: "exit 7", pid: 0 });
    expect(bench.status("crash").reason).toContain("exit 7");
    expect(bench.log("crash")).toEqual(["dying", "dying", "dying", "dying"]);
    expect(bench.supervisor.tail("crash")?.newest(1)[0]?.stream).toBe("err");
  });

  it("ends what a crashed leader leaves in its group, and who left the group, before it starts again", async () => {
    const litter = bench.program(
      "litter",
      "#!/bin/sh\nsleep 1000 & echo grouped $!\nsetsid sh -c 'echo escaped $$; exec sleep 1000' &\nsleep 0.3\nexit 1\n",
    );
    const restart = { backoffMinMs: 60_000n, backoffMaxMs: 60_000n, restartsMaxCount: 3, windowMs: 600_000n };
    bench.wish(bench.wished("litter", litter, { restart }));
    const left = [await numberInLog("litter", "grouped"), await numberInLog("litter", "escaped")];
    await bench.until("litter", "backoff");
    expect(left.map(isRunning)).toEqual([false, false]);
  });

  it("what cannot be started says why", async () => {
    const broken = bench.program("broken", "#!/no/such/interpreter\n");
    bench.wish(bench.wished("broken", broken));
    const { reason, lastEnd } = await bench.until("broken", "backoff");
    expect(`${reason} ${lastEnd}`).toContain("ENOENT");
    expect(reason).not.toContain(bench.dir);
  });
});

describe("M-A7 health hooks", () => {
  const quick = { periodMs: 200n, timeoutMs: 1_000n, failuresMaxCount: 2, startWithinMs: 10_000n };

  it("a port: starting until it accepts, restarted when it stops accepting", async () => {
    const server = createServer((socket) => socket.destroy());
    const port = await new Promise<number>((resolve) =>
      server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port)),
    );
    bench.wish(bench.wished("ported", sleeper(), { health: { tcpPort: port, ...quick } }));
    const { pid } = await bench.until("ported", "running");
    await new Promise((resolve) => server.close(resolve));
    await bench.until("ported", "backoff");
    expect(isRunning(pid)).toBe(false);
    expect(bench.status("ported").reason).toContain(`port ${port}: ECONNREFUSED`);
    const again = await bench.until("ported", "starting");
    expect(again.restarts).toBeGreaterThan(0);
  });

  it("a command, within its time", async () => {
    const flag = join(bench.dir, "sick");
    const hook = bench.program("hook", `#!/bin/sh\ntest ! -e ${flag}\n`);
    bench.wish(bench.wished("asked", sleeper(), { health: { command: hook, ...quick } }));
    const { pid } = await bench.until("asked", "running");
    writeFileSync(flag, "");
    await bench.until("asked", "backoff");
    expect(isRunning(pid)).toBe(false);
    expect(bench.status("asked").reason).toBe("was unwell: health command: exit 1");
    const slow = bench.program("slow-hook", "#!/bin/sh\nsleep 1000\n");
    bench.wish(
      bench.wished("asked", sleeper(), { health: { command: slow, ...quick, timeoutMs: 50n, startWithinMs: 1_500n } }),
    );
    await bench.until("asked", "backoff", ({ reason }) => reason.includes("no end within 50 ms"));
  });
});

describe("LAW-I1 LAW-C6 what a process is given", () => {
  it("is its own environment, three descriptors, a strict umask and a session: nothing of the agent's", async () => {
    process.env["WEFT_TEST_SECRET"] = "do-not-pass-on";
    process.env["APP_SECRET"] = "nor-this";
    writeFileSync(join(bench.dir, "secrets", "password"), "open sesame\n");
    const nosy = bench.program(
      "nosy",
      "#!/bin/sh\nenv | sort | sed 's/^/env /'\necho umask $(umask)\necho cwd $(pwd)\necho group $(ps -o pgid= -o sid= -p $$)\necho words \"$@\"\nexec sleep 1000\n",
    );
    bench.wish(
      bench.wished("nosy", nosy, {
        args: ["a b", "$(id)", "; ls"],
        workingDirectory: bench.dir,
        version: "9",
        environment: [
          { name: "APP_COLOR", value: "$HOME blue" },
          { name: "APP_PASSWORD", file: join(bench.dir, "secrets", "password") },
        ],
      }),
    );
    const { pid } = await bench.until("nosy", "running");
    await eventually(() => bench.log("nosy").some((line) => line.startsWith("words")), { what: "all it has to say" });
    delete process.env["WEFT_TEST_SECRET"];
    delete process.env["APP_SECRET"];
    const said = (word: string): string[] =>
      bench.log("nosy").flatMap((line) => (line.startsWith(`${word} `) ? [line.slice(word.length + 1)] : []));
    const env = said("env").filter((each) => !/^(PWD|_|SHLVL|OLDPWD)=/.test(each));
    const { name } = openWorkloadHost().self;
    expect(env.map((each) => each.replace(/^(WEFT_WORKLOAD_MARK)=.*/, "$1"))).toEqual([
      "APP_COLOR=$HOME blue",
      "APP_PASSWORD=open sesame",
      `HOME=${bench.dir}`,
      "LANG=C.UTF-8",
      `LOGNAME=${name}`,
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      `USER=${name}`,
      "WEFT_WORKLOAD=nosy",
      "WEFT_WORKLOAD_MARK",
      "WEFT_WORKLOAD_VERSION=9",
    ]);
    expect(bench.log("nosy").join("\n")).not.toMatch(/do-not-pass-on|nor-this/);
    // The shell itself has its script open, until it has become what it ends with.
    const few = async (): Promise<boolean> => (await descriptorsOf(pid)).join() === "0,1,2";
    await eventually(few, { what: "nothing but three descriptors" });
    expect(said("umask")).toEqual(["0077"]);
    expect(said("cwd")).toEqual([bench.dir]);
    expect(said("group")[0]?.split(/\s+/)).toEqual([String(pid), String(pid)]);
    expect(said("words")).toEqual(["a b $(id) ; ls"]);
    expect(process.umask()).not.toBe(0o077);
  });

  it("a variable whose file is no plain text is a reason, never a wait", async () => {
    const secrets = join(bench.dir, "secrets");
    execFileSync("/usr/bin/env", ["mkfifo", join(secrets, "fifo")]);
    writeFileSync(join(secrets, "large"), "x".repeat(limits.workloadVariableFileMaxBytes + 1));
    writeFileSync(join(secrets, "binary"), "a\0b");
    const wants = (file: string) =>
      bench.wished(file, sleeper(), { environment: [{ name: "APP_SECRET", file: join(secrets, file) }] });
    bench.wish(wants("fifo"), wants("large"), wants("binary"));
    for (const [name, why] of [
      ["fifo", "is no plain file"],
      ["large", "is too large"],
      ["binary", "is no text"],
    ] as const) {
      expect((await bench.until(name, "backoff")).lastEnd).toBe(`the file of the variable APP_SECRET ${why}`);
    }
  });

  it.runIf(openWorkloadHost().self.uid === 0)("is another user's rights when it runs as one", async () => {
    const who = bench.program("who", "#!/bin/sh\necho who $(id -un) $(id -Gn)\nexec sleep 1000\n");
    bench.wish(bench.wished("who", who, { runAs: "nobody", hostPrivileges: false }));
    await bench.until("who", "running");
    const { gid } = openWorkloadHost().user("nobody") ?? { gid: -1 };
    const line = await eventually(() => bench.log("who").find((each) => each.startsWith("who")));
    expect(line).toMatch(/^who nobody \S+$/);
    expect(gid).toBeGreaterThan(0);
  });

  it("nothing at all when it is beyond the ceiling, which is an event, and told once", async () => {
    bench.wish(bench.wished("shell", "/bin/sh"));
    expect(await bench.until("shell", "degraded")).toMatchObject({
      pid: 0,
      reason: "beyond this host's ceiling: the command /bin/sh",
    });
    bench.wish(bench.wished("shell", "/bin/sh"));
    const alarms = bench.events.filter(
      ({ kind, facts }) => kind === "ceiling_refused" && facts["workload"] === "shell",
    );
    expect(alarms).toHaveLength(1);
  });
});

describe("M-A7 logs", () => {
  it("keep exactly the last lines of a flood, within their bounds in memory and on disk", async () => {
    const lines = 150_000;
    const flood = bench.program("flood", `#!/bin/sh\nseq 1 ${lines}\necho end of it\nexec sleep 1000\n`);
    bench.wish(bench.wished("flood", flood));
    await bench.until("flood", "running");
    const tail = bench.supervisor.tail("flood");
    if (tail === undefined) throw new Error("no log");
    let peakBytes = 0;
    const off = tail.onLine(() => {
      peakBytes = Math.max(peakBytes, tail.sizeBytes);
    });
    await eventually(() => bench.log("flood").at(-1) === "end of it", {
      withinMs: 20_000,
      what: "the end of the flood",
    });
    off();
    const numbers = bench.log("flood").slice(0, -1).map(Number);
    expect(numbers.length).toBeGreaterThan(1_000);
    expect(numbers).toEqual(numbers.map((_, at) => lines - numbers.length + 1 + at));
    expect(peakBytes).toBeLessThanOrEqual(limits.workloadLogMemoryBytes);
    const folder = join(bench.dir, "state", "workloads", "flood");
    const files = readdirSync(folder).filter((name) => name.startsWith("log"));
    expect(files.sort()).toEqual(["log", "log.1"]);
    for (const file of files) {
      expect(statSync(join(folder, file)).size).toBeLessThanOrEqual(limits.workloadLogFileBytes);
    }
    console.info(`log: ${numbers.length} lines kept of ${lines}, peak ${peakBytes} bytes in memory`);
  });

  it("LT2 an endless flood is read no faster than its rate: it waits, the agent does not", async () => {
    const endless = bench.program("endless", "#!/bin/sh\nexec seq -f 1234567%.0f 1000000 99999999\n");
    const startedMs = performance.now();
    bench.wish(bench.wished("endless", endless));
    const tail = bench.supervisor.tail("endless");
    if (tail === undefined) throw new Error("no log");
    const lineBytes = "12345671000000\n".length;
    const enoughBytes = limits.workloadLogBurstBytes + 384 * 1024;
    await eventually(() => tail.lastSeq * lineBytes > enoughBytes, { what: "more than the burst", withinMs: 15_000 });
    const seconds = (performance.now() - startedMs) / 1_000;
    const readBytes = tail.lastSeq * lineBytes;
    // Two chunks of a pipe on top: the one that made the debt, and the one behind it.
    const mayBytes = limits.workloadLogBurstBytes + limits.workloadLogBytesPerSecond * seconds + 2 * 64 * 1024;
    expect(readBytes).toBeLessThanOrEqual(mayBytes);
    bench.wish();
    await eventually(() => bench.supervisor.status().length === 0, { what: "its end" });
  });

  it("end lines that do not end, and outlive the agent on disk", async () => {
    const long = bench.program("long", "#!/bin/sh\nprintf '%05000d' 7\nprintf '\\n\\303\\nno end'\n");
    bench.wish(bench.wished("long", long, { restart: { backoffMinMs: 60_000n, backoffMaxMs: 60_000n } }));
    await bench.until("long", "backoff");
    const kept = bench.log("long");
    expect(kept.map((line) => line.length)).toEqual([limits.workloadLogLineMaxBytes, 5_000 - 4_096, 1, 6]);
    await bench.supervisor.close();
    bench.again();
    bench.wish(bench.wished("long", long, {}, { running: false }));
    await bench.until("long", "stopped");
    expect(bench.log("long")).toEqual(kept);
  });
});

describe("M-A7 when the agent goes", () => {
  const mine: number[] = [];
  const leftOpenAt = 25;
  afterAll(() => {
    for (const pid of mine) if (isRunning(pid)) process.kill(pid, "SIGKILL");
  });

  /** An agent in a process of its own, with what it started. */
  async function startAgent(
    own: WorkloadBench,
    ...wished: Wished[]
  ): Promise<[ChildProcessByStdio<Writable, Readable, null>, number[]]> {
    const snapshot = toJsonString(SnapshotSchema, create(SnapshotSchema, { workloads: wished }));
    // A descriptor that whoever starts the agent left open, where the runtime does not look for such.
    const leftOpen = openSync("/dev/null", "r");
    const nothing = Array.from({ length: leftOpenAt - 3 }, () => "ignore" as const);
    const agent = spawn(process.execPath, [join(repository, "tests/harness/workload-agent.ts"), own.dir, snapshot], {
      stdio: ["pipe", "pipe", "inherit", ...nothing, leftOpen],
    }) as ChildProcessByStdio<Writable, Readable, null>;
    closeSync(leftOpen);
    const [line] = (await once(createInterface({ input: agent.stdout }), "line")) as [string];
    const pids = JSON.parse(line) as number[];
    mine.push(agent.pid ?? 0, ...pids);
    return [agent, pids];
  }

  it("in order, everything it started is gone first; by force, it is gone once the next one starts", {
    timeout: 60_000,
  }, async () => {
    const own = openWorkloadBench();
    await own.supervisor.close();
    const calm = own.program("calm", "#!/bin/sh\nexec sleep 1000\n");
    const daemon = own.program(
      "daemon",
      `#!/bin/sh\nsetsid sh -c 'echo $$ > ${own.dir}/escaped; exec sleep 1000' &\nexec sleep 1000\n`,
    );
    // It forgets its environment, so only the number of its leader says whose it is.
    const blank = own.program(
      "blank",
      `#!/bin/sh\nenv -i sleep 1000 &\necho $! > ${own.dir}/blank\nexec env -i sleep 1000\n`,
    );
    const wishes = [own.wished("calm", calm), own.wished("daemon", daemon), own.wished("blank", blank)];
    const numberIn = (file: string): Promise<number> =>
      eventually(() => Number(readFileSync(join(own.dir, file), "utf8")) || undefined, { what: file });

    const [first, pids] = await startAgent(own, ...wishes);
    const others = [await numberIn("escaped"), await numberIn("blank")];
    mine.push(...others);
    expect(await descriptorsOf(pids[1] ?? 0)).toEqual(["0", "1", "2"]);
    first.kill("SIGKILL");
    await once(first, "exit");
    // Said in the documents: by force, they run on, and nobody looks after them.
    expect([...pids, ...others].map(isRunning)).toEqual([true, true, true, true, true]);

    const [second, again] = await startAgent(own, ...wishes);
    expect([...pids, ...others].map(isRunning)).toEqual([false, false, false, false, false]);
    expect(again).not.toEqual(expect.arrayContaining(pids));

    // While one agent lives, another one on its folder leaves its processes alone and starts none.
    own.again();
    own.wish(own.wished("calm", calm));
    await own.until("calm", "degraded");
    expect(again.map(isRunning)).toEqual([true, true, true]);
    await own.supervisor.close();

    second.stdin.end();
    expect((await once(second, "exit"))[0]).toBe(0);
    expect(again.map(isRunning)).toEqual([false, false, false]);
    await own.close();
  });
});
