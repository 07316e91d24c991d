import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { z } from "zod";
import {
  type ConfigSources,
  envName,
  flagSchema,
  hostPortSchema,
  isLoopbackHost,
  listOf,
  loadConfig,
  portSchema,
} from "../../../lib/config.ts";
import { ConfigError } from "../../../lib/config-error.ts";

const dir = mkdtempSync(join(tmpdir(), "weft-config-"));
afterAll(() => rmSync(dir, { recursive: true }));

const schema = z.object({
  stateDir: z.string().default("none"),
  port: portSchema.default(1),
  peers: listOf(hostPortSchema).default([]),
  quiet: flagSchema.default(false),
  ceiling: z.strictObject({ roles: z.array(z.string()) }).default({ roles: [] }),
});

function file(content: unknown): string {
  const path = join(dir, `${crypto.randomUUID()}.json`);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

function load(sources: Partial<ConfigSources>, cross?: Parameters<typeof loadConfig<typeof schema.shape>>[2]) {
  return loadConfig(schema, { env: {}, flags: {}, envPrefix: "T_", ...sources }, cross);
}

function problemsOf(act: () => unknown): readonly string[] {
  try {
    act();
    return [];
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.problems;
    throw thrown;
  }
}

describe("configuration", () => {
  it("takes a flag over the environment over the file over the default", () => {
    const sources = { file: file({ port: 2, stateDir: "f" }), env: { T_PORT: "3" }, flags: { port: "4" } };
    expect(load({}).port).toBe(1);
    expect(load({ file: sources.file }).port).toBe(2);
    expect(load({ file: sources.file, env: sources.env }).port).toBe(3);
    expect(load(sources)).toMatchObject({ port: 4, stateDir: "f" });
  });

  it("takes neither an undefined flag nor an empty variable for given", () => {
    expect(load({ file: file({ port: 2 }), env: { T_PORT: "" }, flags: { port: undefined } }).port).toBe(2);
  });

  it("reads structured variables as JSON and lists as words", () => {
    expect(load({ env: { T_CEILING: '{"roles":["relay"]}' } }).ceiling.roles).toEqual(["relay"]);
    const expected = [
      { host: "a", port: 1 },
      { host: "::1", port: 2 },
    ];
    expect(load({ env: { T_PEERS: "a:1, [::1]:2" } }).peers).toEqual(expected);
    expect(load({ env: { T_PEERS: '["a:1","[::1]:2"]' } }).peers).toEqual(expected);
    expect(load({ flags: { peers: "a:1,[::1]:2" } }).peers).toEqual(expected);
  });

  it("keeps text that only begins like JSON", () => {
    expect(load({ env: { T_STATE_DIR: "[odd" } }).stateDir).toBe("[odd");
  });

  it("names variables after keys", () => {
    expect(envName("WEFT_NODE_", "stateDir")).toBe("WEFT_NODE_STATE_DIR");
    expect(envName("T_", "dev")).toBe("T_DEV");
  });

  it("tells every problem at once, each with where it came from", () => {
    const path = file({ porrt: 1, stateDir: 7 });
    const problems = problemsOf(() => load({ file: path, env: { T_PORT: "70000" }, flags: { quiet: "maybe" } }));
    expect(problems).toHaveLength(4);
    const text = problems.join("\n");
    expect(text).toContain(`${path}: unknown key "porrt"`);
    expect(text).toMatch(new RegExp(`^stateDir: .*\\(${path.replaceAll(".", "\\.")}\\)$`, "m"));
    expect(text).toMatch(/^port: .*\(T_PORT\)$/m);
    expect(text).toMatch(/^quiet: .*\(flag --quiet\)$/m);
  });

  it("refuses unknown keys inside a value too", () => {
    expect(problemsOf(() => load({ env: { T_CEILING: '{"roles":[],"role":[]}' } }))).toHaveLength(1);
  });

  it("says what is wrong with a file", () => {
    expect(problemsOf(() => load({ file: join(dir, "absent.json") }))[0]).toContain("cannot be read");
    expect(problemsOf(() => load({ file: file("{") }))[0]).toContain("is not JSON");
    expect(problemsOf(() => load({ file: file("[1]") }))[0]).toContain("must hold one JSON object");
    expect(problemsOf(() => load({ file: file("null") }))[0]).toContain("must hold one JSON object");
  });

  it("asks the cross checks about values that are right by themselves", () => {
    const cross = ({ port }: { port: number }): string[] => (port === 1 ? ["port: too low"] : []);
    expect(problemsOf(() => load({}, cross))).toEqual(["port: too low"]);
    expect(problemsOf(() => load({ flags: { port: 2 } }, cross))).toEqual([]);
  });

  it("is frozen", () => {
    expect(Object.isFrozen(load({}))).toBe(true);
  });
});

describe("values", () => {
  it.each(["a", "a:0", "a:65536", "::1:22", "[::1]", ":80", "a:80:80", "a b:1", "http://a:1"])(
    "%s is no host:port",
    (text) => {
      expect(hostPortSchema.safeParse(text).success).toBe(false);
    },
  );

  it.each(["true", "1", true])("%s is a flag that is set", (word) => {
    expect(flagSchema.parse(word)).toBe(true);
  });

  it.each(["false", "0", false])("%s is a flag that is not set", (word) => {
    expect(flagSchema.parse(word)).toBe(false);
  });

  it.each(["yes", "", 1, null])("%s is no flag", (word) => {
    expect(flagSchema.safeParse(word).success).toBe(false);
  });

  it("knows hosts that name this machine only", () => {
    for (const host of ["127.0.0.1", "127.9.9.9", "::1", "localhost"]) expect(isLoopbackHost(host), host).toBe(true);
    for (const host of ["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example", "localhost.example", "", "128.0.0.1"]) {
      expect(isLoopbackHost(host), host).toBe(false);
    }
  });
});
