import { Command } from "commander";
import { afterEach, describe, expect, it, vi } from "vitest";
import { durationMs, hostPort, hostPorts, wholeNumber } from "../../../cli/arguments.ts";
import { rolesOf } from "../../../cli/role-names.ts";
import { action, contextDir, pick } from "../../../cli/session.ts";
import { NodeRole } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../../lib/errors.ts";
import { detailOf } from "../fabric/snapshot/stage.ts";

const items = [
  { id: "nd-1", name: "relay-1" },
  { id: "nd-2", name: "relay-2" },
  { id: "nd-3", name: "egress" },
  { id: "nd-4", name: "egress" },
  { id: "nd-5", name: "nd-1" },
];

describe("finding by id or name", () => {
  it("takes the id first, then the one with the name", () => {
    expect(pick(items, "nd-1", "node").name).toBe("relay-1");
    expect(pick(items, "relay-2", "node").id).toBe("nd-2");
    expect(detailOf(() => pick(items, "egress", "node"))).toBe("CLI_AMBIGUOUS");
    expect(pick(items, "nd-4", "node").id).toBe("nd-4");
  });

  it.each([
    ["relay1", 'did you mean "relay-1"?'],
    ["egres", 'did you mean "egress"?'],
  ])("suggests the nearest name for %s", (wanted, hint) => {
    expect(() => pick(items, wanted, "node")).toThrow(hint);
    expect(detailOf(() => pick(items, wanted, "node"))).toBe("CLI_NOT_FOUND");
  });

  it("suggests every name that is as near", () => {
    expect(() => pick(items, "relay-9", "node")).toThrow('did you mean "relay-1" or "relay-2"?');
  });

  it("suggests nothing that is far away, or when there is nothing", () => {
    const message = (act: () => unknown): string => {
      try {
        act();
      } catch (thrown) {
        return (thrown as Error).message;
      }
      return "";
    };
    expect(message(() => pick(items, "completely-different", "node"))).toBe('there is no node "completely-different"');
    expect(message(() => pick([], "x", "pool"))).toBe('there is no pool "x"');
  });
});

describe("values on the command line", () => {
  it.each([
    ["250ms", 250],
    ["90s", 90_000],
    ["10m", 600_000],
    ["24h", 86_400_000],
    ["1d", 86_400_000],
  ])("%s is %d ms", (text, ms) => {
    expect(durationMs(text)).toBe(ms);
  });

  it.each(["", "10", "m", "1.5h", "-1s", "10 m", "1w", "1h30m", "0x1s"])("%j is no duration", (text) => {
    expect(() => durationMs(text)).toThrow("write a number and a unit");
  });

  it.each(["", "a", "a:", ":1", "a:0", "a:65536", "::1:22", "a:b:1", "http://a:1"])("%j is no host:port", (text) => {
    expect(() => hostPort(text)).toThrow("write host:port");
  });

  it("reads addresses, several at once and repeated", () => {
    expect(hostPorts("b:2,[::1]:3", [{ host: "a", port: 1 }])).toEqual([
      { host: "a", port: 1 },
      { host: "b", port: 2 },
      { host: "::1", port: 3 },
    ]);
  });

  it("reads roles, with spaces", () => {
    expect(rolesOf("relay, entry")).toEqual([NodeRole.RELAY, NodeRole.ENTRY]);
    expect(() => rolesOf("relay,")).toThrow("is no role");
  });

  it.each(["", "x", "1.5", "-1", "1e3", "0x10", " 1", "11"])("%j is no whole number up to 10", (text) => {
    expect(() => wholeNumber(10)(text)).toThrow("whole number");
  });

  it("whole numbers up to their bound are", () => {
    expect([wholeNumber(10)("10"), wholeNumber()("0"), wholeNumber()("007")]).toEqual([10, 0, 7]);
  });
});

describe("a command's action", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    process.exitCode = undefined;
  });

  it("gets global options and its arguments, in that order", async () => {
    const seen: unknown[] = [];
    const program = new Command().option("--json").exitOverride();
    program
      .command("do <a> [b]")
      .option("--x <x>")
      .action(
        action(async (options, ...rest) => {
          seen.push({ ...options }, ...rest);
        }),
      );
    await program.parseAsync(["--json", "do", "1", "--x", "y"], { from: "user" });
    expect(seen).toEqual([{ json: true, x: "y" }, "1", undefined]);
  });

  it("that fails becomes the exit code, and is said", async () => {
    const said = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    const program = new Command().exitOverride();
    program.command("do").action(action(async () => Promise.reject(new WeftError("unavailable", "away"))));
    await program.parseAsync(["do"], { from: "user" });
    expect(process.exitCode).toBe(69);
    expect(said.mock.calls.join()).toContain("away");
    said.mockRestore();
  });

  it("that found nobody says where it looked, and who said so", async () => {
    let said = "";
    const err = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      said += String(text);
      return true;
    });
    const program = new Command().option("--context <dir>").option("--control <c>").exitOverride();
    const lost = new WeftError("unavailable", "away");
    program.command("do").action(action(async () => Promise.reject(lost)));
    const gone = new WeftError("unavailable", "relay-1 does not answer", { detail: "NODE_UNREACHABLE" });
    program.command("node").action(action(async () => Promise.reject(gone)));
    for (const words of [
      ["do", "--context", "/nowhere/at/all"],
      ["--control", "c:1", "do"],
    ])
      await program.parseAsync(words, { from: "user" }).catch(() => {});
    expect(said).toContain("is control running");
    expect(said).toContain("(--control)");
    await program.parseAsync(["node"], { from: "user" });
    expect(said).toContain("can its operator port be reached");
    err.mockRestore();
  });

  it("takes its context from the flag, then the environment, then the home folder", () => {
    vi.stubEnv("WEFT_CONTEXT", "/env");
    expect(contextDir({ context: "/flag" })).toBe("/flag");
    expect(contextDir({})).toBe("/env");
    vi.stubEnv("WEFT_CONTEXT", "");
    expect(contextDir({})).toMatch(/\/\.weft$/);
    vi.stubEnv("WEFT_CONTEXT", undefined);
    expect(contextDir({})).toMatch(/\/\.weft$/);
  });
});
