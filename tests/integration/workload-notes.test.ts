/** What an agent writes down of the processes it starts, for the one after it: when it is wrong, or cannot be read or written. */

import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { noteLeader } from "../../node/workloads/orphans.ts";
import { isRunning, openWorkloadBench, type WorkloadBench } from "../harness/workload-bench.ts";

function opened(): WorkloadBench {
  const own = openWorkloadBench();
  onTestFinished(() => own.close());
  return own;
}

describe("M-A7 what is written down of processes", () => {
  it("WS2 starts nothing beside what it could not look for", async () => {
    const own = opened();
    await own.supervisor.close();
    // A note that cannot be read, whoever asks.
    mkdirSync(join(own.dir, "state", "workloads", "web", "process.json"), { recursive: true });
    own.again();
    own.wish(own.wished("web", own.program("web", "#!/bin/sh\nexec sleep 1000\n")));
    expect((await own.until("web", "degraded")).reason).toContain("supervises nothing");
  });

  it("O2 a leader that cannot be written down runs and ends all the same", async () => {
    const own = opened();
    // The agent has looked for what was left: nobody has written anything down yet.
    mkdirSync(join(own.dir, "state", "workloads", "web", "process.json"), { recursive: true });
    const web = own.wished("web", own.program("web", "#!/bin/sh\nexec sleep 1000\n"));
    own.wish(web);
    const { pid } = await own.until("web", "running");
    own.wish({ ...web, running: false });
    await own.until("web", "stopped");
    expect(isRunning(pid)).toBe(false);
  });

  it("O2 a number that was taken by another process since is nobody's", async () => {
    const own = opened();
    await own.supervisor.close();
    const stranger = spawn("sleep", ["1000"], { detached: true, stdio: "ignore" });
    onTestFinished(() => void stranger.kill("SIGKILL"));
    const { pid = 0 } = stranger;
    const folder = join(own.dir, "state", "workloads", "web");
    mkdirSync(folder, { recursive: true });
    noteLeader(folder, pid);
    const note = JSON.parse(readFileSync(join(folder, "process.json"), "utf8")) as { started: string };
    writeFileSync(join(folder, "process.json"), JSON.stringify({ ...note, started: `${Number(note.started) - 1}` }));
    own.again();
    own.wish(own.wished("web", own.program("web", "#!/bin/sh\nexec sleep 1000\n")));
    await own.until("web", "running");
    expect(isRunning(pid)).toBe(true);
  });
});
