/** LAW-C6: what this host runs for control, whatever a signed snapshot says. */

import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { WorkloadKind, WorkloadSchema } from "../../../../gen/weft/fabric/v1/workload_pb.ts";
import { loadNodeConfig } from "../../../../node/config.ts";
import { judgeWorkload, type WorkloadCeiling, type WorkloadHost } from "../../../../node/workloads/ceiling.ts";
import type { Wished } from "../../../harness/workload-bench.ts";

const parse = (workloads: unknown): WorkloadCeiling =>
  loadNodeConfig({ env: {}, flags: { stateDir: "s", control: "c:1", ceiling: { workloads } } }).ceiling.workloads;
const none = loadNodeConfig({ env: {}, flags: { stateDir: "s", control: "c:1" } }).ceiling.workloads;
const some = parse({
  commands: [
    { path: "/usr/bin/tool", args: ["--serve", "8080"] },
    { path: "/usr/bin/any", args: "any" },
    { path: "/usr/bin/bare" },
  ],
  folders: ["/opt/app"],
  users: ["agent", "app"],
  environment: ["COLOR", "APP_*"],
  files: ["/etc/app"],
  directories: ["/srv/app"],
});

const users = { root: 0, agent: 1_000, app: 1_001, other: 1_002 };
const hostAs = (self: keyof typeof users, over: Partial<WorkloadHost> = {}): WorkloadHost => ({
  platform: "linux",
  self: { name: self, uid: users[self], gid: users[self] },
  user: (name) => {
    const uid = users[name as keyof typeof users];
    return uid === undefined ? undefined : { name, uid, gid: uid };
  },
  realPath: (path) => links[path] ?? (path.includes("missing") ? undefined : path),
  isProgram: (path) => !path.includes("data"),
  ...over,
});
const links: Readonly<Record<string, string>> = {
  "/opt/app/current": "/opt/app/v2/server",
  "/opt/app/out": "/bin/sh",
  "/etc/app/out": "/etc/shadow",
  "/srv/app/out": "/root",
};

type SpecOver = NonNullable<Wished["spec"]>;
const judged = (spec: SpecOver, ceiling = some, host = hostAs("agent"), more: Wished = {}) =>
  judgeWorkload(
    ceiling,
    host,
    create(WorkloadSchema, {
      name: "w",
      spec: { kind: WorkloadKind.NATIVE, command: "/opt/app/server", ...spec },
      ...more,
    }),
  );

describe("LAW-C6 the ceiling of workloads", () => {
  it("is nothing unless the host says otherwise", () => {
    expect(judged({}, none)).toEqual({
      ok: false,
      ceiling: true,
      reason: "beyond this host's ceiling: the command /opt/app/server",
    });
  });

  it("lets through what it names, links resolved", () => {
    expect(judged({ args: ["-x"] })).toMatchObject({
      ok: true,
      plan: { path: "/opt/app/server", args: ["-x"], cwd: "/" },
    });
    expect(judged({ command: "/opt/app/current" })).toMatchObject({ ok: true, plan: { path: "/opt/app/v2/server" } });
    expect(judged({ command: "/usr/bin/tool", args: ["--serve", "8080"] })).toMatchObject({ ok: true });
    expect(judged({ command: "/usr/bin/any", args: ["what", "ever"] })).toMatchObject({ ok: true });
    expect(judged({ command: "/usr/bin/bare" })).toMatchObject({ ok: true });
    expect(
      judged({
        runAs: "agent",
        workingDirectory: "/srv/app/data",
        environment: [
          { name: "COLOR", value: "blue" },
          { name: "APP_PASSWORD", file: "/etc/app/password" },
        ],
        health: { command: "/opt/app/check", args: ["1"] },
      }),
    ).toMatchObject({
      ok: true,
      plan: {
        cwd: "/srv/app/data",
        values: { COLOR: "blue" },
        files: { APP_PASSWORD: "/etc/app/password" },
        healthCommand: { path: "/opt/app/check", args: ["1"] },
      },
    });
    expect(judged({ workingDirectory: "/srv/app" })).toMatchObject({ ok: true, plan: { cwd: "/srv/app" } });
  });

  it.each<[string, SpecOver, string]>([
    ["another program", { command: "/bin/sh" }, "the command /bin/sh"],
    ["a program of the folder's name", { command: "/opt/application/x" }, "the command"],
    ["a way out of the folder", { command: "/opt/app/../../bin/sh" }, "no plain absolute path"],
    ["a link out of the folder", { command: "/opt/app/out" }, "the command /opt/app/out"],
    ["the folder itself", { command: "/opt/app" }, "the command"],
    ["a relative path", { command: "server" }, "no plain absolute path"],
    ["other arguments", { command: "/usr/bin/tool", args: ["--serve", "80"] }, "/usr/bin/tool with these arguments"],
    ["more arguments", { command: "/usr/bin/tool", args: ["--serve", "8080", "-x"] }, "with these arguments"],
    ["arguments where none are named", { command: "/usr/bin/bare", args: ["-c"] }, "with these arguments"],
    ["another user", { runAs: "other" }, "the user other"],
    ["a variable", { environment: [{ name: "LD_PRELOAD", value: "x" }] }, "the variable LD_PRELOAD"],
    ["a variable of the agent's", { environment: [{ name: "WEFT_X", value: "x" }] }, "the variable WEFT_X"],
    ["a longer name", { environment: [{ name: "COLORS", value: "x" }] }, "the variable COLORS"],
    ["a file elsewhere", { environment: [{ name: "COLOR", file: "/etc/shadow" }] }, "the file /etc/shadow"],
    ["a link to a file elsewhere", { environment: [{ name: "COLOR", file: "/etc/app/out" }] }, "the file /etc/app/out"],
    ["a directory elsewhere", { workingDirectory: "/root" }, "the working directory /root"],
    ["a link to a directory elsewhere", { workingDirectory: "/srv/app/out" }, "the working directory"],
    ["a health command", { health: { command: "/bin/sh", args: ["-c", "x"] } }, "the command /bin/sh"],
  ])("refuses %s", (_what, spec, reason) => {
    const verdict = judged(spec);
    expect(verdict).toMatchObject({ ok: false, ceiling: true });
    expect(verdict.ok ? "" : verdict.reason).toContain(`beyond this host's ceiling: `);
    expect(verdict.ok ? "" : verdict.reason).toContain(reason);
  });

  it.each<[string, SpecOver, WorkloadHost, string]>([
    ["a missing program", { command: "/usr/bin/any-missing" }, hostAs("agent"), "beyond"],
    ["what is no program", { command: "/opt/app/data" }, hostAs("agent"), "no program"],
    ["another platform", {}, hostAs("agent", { platform: "darwin" }), "no processes on darwin"],
    ["an unknown user", { runAs: "ghost" }, hostAs("agent"), "no user ghost"],
    ["another user without being root", { runAs: "app" }, hostAs("agent"), "cannot start anything as app"],
    ["a container", { kind: WorkloadKind.CONTAINER }, hostAs("agent"), "runs no containers"],
    ["a kind of another version", { kind: 77 as WorkloadKind }, hostAs("agent"), "does not know this kind"],
  ])("reports %s as degraded, with the reason", (_what, spec, host, reason) => {
    const verdict = judged(spec, some, host);
    expect(verdict.ok ? "" : verdict.reason).toContain(reason);
  });
});

describe("M-A7 host privileges", () => {
  const open = { ...some, users: [...some.users, "root"], hostPrivileges: true };
  const root = hostAs("root");

  it("are needed to run as root, and are three words: the workload's, an operator's, the host's", () => {
    expect(judged({}, open, root)).toMatchObject({
      ok: false,
      reason: expect.stringContaining("only with host privileges"),
    });
    expect(judged({ hostPrivileges: true }, open, root)).toMatchObject({
      ok: false,
      reason: "no operator has approved its host privileges",
    });
    const approved = { privilegesApproved: true };
    expect(judged({ hostPrivileges: true }, { ...open, hostPrivileges: false }, root, approved)).toMatchObject({
      ok: false,
      ceiling: true,
    });
    expect(judged({ hostPrivileges: true }, { ...open, users: ["agent"] }, root, approved)).toMatchObject({
      ok: false,
    });
    expect(judged({ hostPrivileges: true }, open, root, approved)).toMatchObject({
      ok: true,
      plan: { user: { uid: 0 } },
    });
  });

  it("are not needed by an agent that is root to run something as somebody else", () => {
    expect(judged({ runAs: "app" }, open, root)).toMatchObject({ ok: true, plan: { user: { uid: users.app } } });
  });
});

describe("the configuration of the ceiling", () => {
  it.each([
    { commands: [{ path: "relative" }] },
    { commands: [{ path: "/a/../b" }] },
    { folders: ["/opt/app/"] },
    { environment: ["*"] },
    { files: [""] },
    { surprise: true },
  ])("%j is refused", (workloads) => {
    expect(() => parse(workloads)).toThrow("ceiling");
  });
});
