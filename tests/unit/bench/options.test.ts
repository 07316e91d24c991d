import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { benchOptions, numberOption } from "../../../bench/load/options.ts";

describe("the command line of a bench", () => {
  it("takes options as given or by default", () => {
    expect(benchOptions(["--ms", "5"], { ms: "50", mbytes: "100" })).toMatchObject({ ms: "5", mbytes: "100" });
    expect(benchOptions(["--help"], { ms: "50" })).toBeUndefined();
    expect(benchOptions(["--ms", "-5"], { ms: "50" })).toMatchObject({ ms: "-5" });
  });

  it.each(["-5", "", "five", "NaN", "Infinity"])("refuses %j for a number of at least 0", (text) => {
    expect(() => numberOption("--ms", text, { min: 0 })).toThrow(`--ms takes a number of at least 0, not "${text}"`);
  });

  it("refuses half a run", () => {
    expect(() => numberOption("--runs", "1.5", { min: 1, whole: true })).toThrow("a whole number");
    expect(numberOption("--runs", "3", { min: 1, whole: true })).toBe(3);
  });

  it.each([
    ["rtt", "--ms", "-5"],
    ["rtt", "--mbytes", "0"],
    ["steady", "--hogs", "many"],
    ["failover", "--fault", "plague"],
    ["failover", "--fault", "kill", "--runs", "-1"],
    ["routing", "--nodes", "x"],
    ["routing", "--node", "1000"],
    ["relay", "-3"],
    ["trunk", "--fast"],
    ["trunk-bulk", "much"],
    ["splice", "-1"],
  ])("bench %s %s %s: one line, and nothing is started", (name, ...args) => {
    const file = new URL(`../../../bench/${name}.ts`, import.meta.url).pathname;
    const { status, stdout, stderr } = spawnSync(process.execPath, [file, ...args], { encoding: "utf8" });
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(/^bench: /);
    expect([status, stdout]).toEqual([2, ""]);
  });
});
