/** What the command and the processes it starts refuse, before they serve anybody: each says why and exits as promised. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSealingKeyFile } from "../../certs/seal.ts";
import { type Ran, repository, run } from "../harness/fabric.ts";
import { briefly } from "../harness/shared-stores.ts";

const bin = join(repository, "cli/bin.ts");
const dir = mkdtempSync(join(tmpdir(), "weft-refusals-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const weft = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> =>
  run(process.execPath, [...briefly, bin, ...args], { env, withinMs: 30_000 });

const control = (key: string, ...more: string[]): string[] => [
  ...["--data-dir", join(dir, "data"), "--sealing-key-file", join(dir, key)],
  ...["--public-port", "0", "--operator-port", "0", "--log-level", "warn", ...more],
];

describe("words that are no command", () => {
  it.each([
    [["nod"], "Did you mean node"],
    [["node", "lst"], "Did you mean list"],
    [["node", "list", "--josn"], "Did you mean --json"],
    [["request", "reject", "x"], "--reason"],
    [["node", "show"], "missing required argument"],
    [["request", "approve", "a", "b", "--fingerprint", "adfa-9e2c"], "nothing was approved"],
    [["request", "approve", "a", "b", "--name", "relay-1"], "nothing was approved"],
  ])("%j exit with 2 and say what was meant", async (args, hint) => {
    const { code, stdout, stderr } = await weft(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(hint);
  });

  it("are one JSON line with --json", async () => {
    const { code, stdout } = await weft(["node", "lst", "--json"]);
    expect(code).toBe(2);
    expect(stdout.trimEnd().split("\n")).toHaveLength(1);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: "usage", detail: "commander.unknownCommand" });
  });

  it("a missing context says how to get one", async () => {
    const { code, stderr } = await weft(["node", "list", "--context", join(dir, "none")]);
    expect(code).toBe(78);
    expect(stderr).toContain("WEFT_CONTEXT");
  });
});

describe("processes that do not start", () => {
  it.each([
    [["node", "run", "--state-dir", join(dir, "none"), "--control", "127.0.0.1:1"], 1, { detail: "IDENTITY_MISSING" }],
    [["node", "run"], 78, { error: "config" }],
    [["control", "run", ...control("no.key")], 78, { detail: "KEY_FILE_MISSING" }],
    [["control", "run", ...control("no.key"), "--postgres-url-file", "/x"], 78, { error: "config" }],
  ])("%j with --json say so in one JSON line", async (args, exit, facts) => {
    const { code, stdout } = await weft([...args, "--json"]);
    expect(stdout.trimEnd().split("\n")).toHaveLength(1);
    expect({ code, ...JSON.parse(stdout) }).toMatchObject({ code: exit, ok: false, ...facts });
  });
});

describe("configuration", () => {
  it("with three mistakes is told all three", async () => {
    const file = join(dir, "bad.json");
    writeFileSync(file, JSON.stringify({ stateDir: "", control: ["nowhere"], publicPort: 70_000 }));
    const { code, stdout, stderr } = await weft(["config", "check", "node", file, "--json"]);
    expect(code).toBe(78);
    const { ok, problems } = JSON.parse(stdout) as { ok: boolean; problems: string[] };
    expect(ok).toBe(false);
    expect(problems.map((problem) => problem.split(/[.:]/)[0])).toEqual(["stateDir", "control", "publicPort"]);
    for (const problem of problems) expect(stderr).toContain(problem);
  });

  it("that is right is told so, unless production asks for more", async () => {
    const file = join(dir, "good.json");
    writeFileSync(file, JSON.stringify({ stateDir: join(dir, "n"), control: ["127.0.0.1:7443"], dev: true }));
    expect((await weft(["config", "check", "node", file])).code).toBe(0);
    const strict = await weft(["config", "check", "node", file, "--production"]);
    expect(strict.code).toBe(78);
    expect(strict.stdout).toContain("dev:");
  });
});

describe("control", () => {
  beforeAll(async () => {
    const made = await weft(["control", "init", ...control("sealing.key"), "--context-dir", join(dir, "op"), "--json"]);
    expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(made.stdout)).toMatchObject({ cluster: { slug: "default" }, context: join(dir, "op") });
    createSealingKeyFile(join(dir, "other.key"));
  }, 60_000);

  it("is made once", async () => {
    const again = await weft([
      "control",
      "init",
      ...control("sealing.key"),
      "--context-dir",
      join(dir, "op3"),
      "--json",
    ]);
    expect(again.code).toBe(1);
    expect(JSON.parse(again.stdout)).toMatchObject({ detail: "INSTALLATION_EXISTS" });
  }, 20_000);

  it("does not start on a store sealed with another key, and says so", async () => {
    const { code, stdout, stderr } = await weft(["control", "run", ...control("other.key")]);
    expect({ code, stdout }).toEqual({ code: 78, stdout: "" });
    expect(stderr).toMatch(/seal/i);
  }, 20_000);

  it("does not offer operators a port beyond loopback unasked", async () => {
    const { code, stderr } = await weft(["control", "run", ...control("sealing.key", "--operator-host", "0.0.0.0")]);
    expect(code).toBe(78);
    expect(stderr).toContain("operatorHost");
  }, 20_000);

  it.each([
    [{ NODE_TLS_REJECT_UNAUTHORIZED: "0" }, "NODE_TLS_REJECT_UNAUTHORIZED"],
    [{ NODE_OPTIONS: "--tls-min-v1.0" }, "tls-min"],
  ])(
    "does not start under %j",
    async (env, named) => {
      for (const args of [
        ["control", "run", ...control("sealing.key")],
        ["node", "run", "--state-dir", join(dir, "n"), "--control", "127.0.0.1:1"],
      ]) {
        const { code, stderr } = await weft(args, env);
        expect({ args: args[0], code }).toEqual({ args: args[0], code: 78 });
        expect(stderr).toContain(named);
      }
    },
    20_000,
  );
});
