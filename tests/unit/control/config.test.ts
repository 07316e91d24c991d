import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { loadControlConfig } from "../../../control/config.ts";
import { ConfigError } from "../../../lib/config-error.ts";
import { unsafeStart } from "../../../lib/env.ts";

const good = { dataDir: "/var/lib/weft", sealingKeyFile: "/etc/weft/sealing.key" };

function problemsOf(flags: Record<string, unknown>, env: Record<string, string> = {}): readonly string[] {
  try {
    loadControlConfig({ env, flags });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

const dir = mkdtempSync(join(tmpdir(), "weft-config-"));
afterAll(() => rmSync(dir, { recursive: true }));
let files = 0;

function fileWith(content: unknown): string {
  files += 1;
  const file = join(dir, `control-${files}.json`);
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}

describe("control configuration", () => {
  test("flag over environment over file over default", () => {
    const file = fileWith({ ...good, publicPort: 1, operatorPort: 2, logLevel: "warn" });
    const env = { WEFT_CONTROL_PUBLIC_PORT: "10", WEFT_CONTROL_OPERATOR_PORT: "20" };
    const config = loadControlConfig({ file, env, flags: { publicPort: "100" } });
    expect(config).toMatchObject({ publicPort: 100, operatorPort: 20, logLevel: "warn", publicHost: "127.0.0.1" });
    expect(Object.isFrozen(config)).toBe(true);
  });

  test("lives of leaves come from file, environment and flag, within bounds", () => {
    const file = fileWith({ ...good, leafLifeSeconds: 60 });
    const env = { WEFT_CONTROL_CLIENT_LEAF_LIFE_SECONDS: "3600" };
    expect(loadControlConfig({ file, env, flags: {} })).toMatchObject({
      leafLifeSeconds: 60,
      clientLeafLifeSeconds: 3_600,
    });
    expect(loadControlConfig({ file, env, flags: { leafLifeSeconds: "20" } }).leafLifeSeconds).toBe(20);
    for (const leafLifeSeconds of ["4", "86401", "20.5", "soon"])
      expect(() => loadControlConfig({ file, env, flags: { leafLifeSeconds } })).toThrow(ConfigError);
  });

  test("a file with three mistakes reports three", () => {
    const file = fileWith({ ...good, publicPort: 70_000, logLevel: "loud", sealingKey: "hunter2" });
    const reported = (() => {
      try {
        loadControlConfig({ file, env: {}, flags: {} });
        return [];
      } catch (error) {
        return error instanceof ConfigError ? error.problems : [String(error)];
      }
    })();
    expect(reported).toHaveLength(3);
    expect(reported.join("\n")).toMatch(/publicPort[\s\S]*logLevel|logLevel[\s\S]*publicPort/);
    expect(reported.join("\n")).toContain("sealingKey");
    expect(reported.join("\n")).not.toContain("hunter2");
  });

  test.each([
    ["no store", { dataDir: undefined }, "exactly one"],
    ["two stores", { postgresUrlFile: "/etc/weft/pg" }, "exactly one"],
    ["the sealing key beside the data", { sealingKeyFile: "/var/lib/weft/seal" }, "inside dataDir"],
    ["the sealing key deep in the data", { sealingKeyFile: "/var/lib/weft/a/../b/seal" }, "inside dataDir"],
    ["operators from anywhere", { operatorHost: "0.0.0.0" }, "beyond loopback"],
    ["operators from a network", { operatorHost: "10.1.2.3" }, "beyond loopback"],
    ["one port twice", { publicPort: 7000, operatorPort: 7000 }, "also publicPort"],
    ["a development control for the world", { dev: true, publicHost: "0.0.0.0" }, "stays on loopback"],
  ])("%s is refused", (_name, flags, message) => {
    const problems = problemsOf({ ...good, ...flags });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(message);
  });

  test("what is meant is allowed", () => {
    expect(problemsOf({ ...good, operatorHost: "10.1.2.3", allowRemoteOperators: true })).toEqual([]);
    expect(problemsOf({ ...good, dev: true, sealingKeyFile: "/var/lib/weft/seal" })).toEqual([]);
    expect(problemsOf({ ...good, dataDir: "/var/lib/weft", sealingKeyFile: "/var/lib/weft-keys/seal" })).toEqual([]);
  });
});

describe("unsafe starts", () => {
  test.each([
    [{ NODE_TLS_REJECT_UNAUTHORIZED: "0" }, []],
    [{ SSLKEYLOGFILE: "/tmp/keys" }, []],
    [{ NODE_OPTIONS: "--max-old-space-size=100 --tls-keylog=/tmp/keys" }, []],
    [{ NODE_OPTIONS: "--inspect=0.0.0.0:9229" }, []],
    [{ NODE_OPTIONS: "--inspect_brk" }, []],
    [{}, ["--tls-keylog=/tmp/keys"]],
    [{}, ["--inspect"]],
    [{}, ["--tls-min-v1.0"]],
  ])("%j %j", (env, execArgv) => {
    expect(unsafeStart({ env, execArgv })).toHaveLength(1);
    const start = { env, execArgv };
    expect(() => loadControlConfig({ env: {}, flags: good }, start)).toThrow(ConfigError);
    expect(loadControlConfig({ env: {}, flags: { ...good, dev: true } }, start).dev).toBe(true);
  });

  test("an ordinary start is none", () => {
    const env = { NODE_OPTIONS: "--max-old-space-size=4096 --enable-source-maps", NODE_TLS_REJECT_UNAUTHORIZED: "1" };
    expect(unsafeStart({ env, execArgv: ["--import=./x.ts"] })).toEqual([]);
  });
});
