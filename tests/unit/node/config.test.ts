import { describe, expect, it } from "vitest";
import { ConfigError } from "../../../lib/config-error.ts";
import { loadNodeConfig } from "../../../node/config.ts";

const base = { stateDir: "/s", control: "control.example:7443" };

function problemsOf(flags: Record<string, unknown>, env: Record<string, string> = {}): readonly string[] {
  try {
    loadNodeConfig({ env, flags });
    return [];
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.problems;
    throw thrown;
  }
}

describe("the configuration of a node", () => {
  it("needs a state folder and control, and nothing else", () => {
    const config = loadNodeConfig({ env: {}, flags: base });
    expect(config.control).toEqual([{ host: "control.example", port: 7443 }]);
    expect(config).toMatchObject({
      publicHost: "127.0.0.1",
      operatorHost: "127.0.0.1",
      dialOutOnly: false,
      dev: false,
    });
    expect(problemsOf({})).toHaveLength(2);
    expect(problemsOf({ ...base, control: "" })).toHaveLength(1);
  });

  it("keeps the operator port on loopback unless told so in words", () => {
    expect(problemsOf({ ...base, operatorHost: "0.0.0.0" })[0]).toContain("allowRemoteOperators");
    expect(problemsOf({ ...base, operatorHost: "0.0.0.0", allowRemoteOperators: true })).toEqual([]);
    expect(problemsOf({ ...base, operatorHost: "::1" })).toEqual([]);
  });

  it("shows metrics nowhere unless asked to, and beyond loopback only when told so in words", () => {
    expect(loadNodeConfig({ flags: base, env: {} }).metricsPort).toBeUndefined();
    expect(problemsOf({ ...base, metricsPort: 9464 })).toEqual([]);
    expect(problemsOf({ ...base, metricsPort: 9464, metricsHost: "0.0.0.0" })[0]).toContain("allowRemoteMetrics");
    expect(problemsOf({ ...base, metricsPort: 9464, metricsHost: "0.0.0.0", allowRemoteMetrics: true })).toEqual([]);
  });

  it("reads the ceiling from one variable, and takes no unknown key in it: a typing error would leave it open", () => {
    const { ceiling } = loadNodeConfig({
      flags: base,
      env: { WEFT_NODE_CEILING: '{"roles":["relay"],"targets":[{"cidr":"10.0.0.0/8","toPort":443}]}' },
    });
    expect(ceiling).toMatchObject({ roles: ["relay"], targets: [{ cidr: "10.0.0.0/8", fromPort: 1, toPort: 443 }] });
    expect(problemsOf(base, { WEFT_NODE_CEILING: '{"role":["relay"]}' })).toHaveLength(1);
    expect(problemsOf(base, { WEFT_NODE_CEILING: '{"targets":[{"cidr":"10.0.0.0/8","ports":1}]}' })).toHaveLength(1);
    expect(problemsOf(base, { WEFT_NODE_CEILING: '{"targets":[{"cidr":"example.com/8"}]}' })).toHaveLength(1);
    expect(problemsOf(base, { WEFT_NODE_CEILING: '{"roles":["admin"]}' })).toHaveLength(1);
  });
});
