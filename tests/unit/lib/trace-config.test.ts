import { describe, expect, it } from "vitest";
import { loadControlConfig } from "../../../control/config.ts";
import { ConfigError } from "../../../lib/config-error.ts";
import { tracesUrl } from "../../../lib/trace-config.ts";
import { loadNodeConfig } from "../../../node/config.ts";

type Load = (flags: Record<string, unknown>, env?: Record<string, string>) => object;

const processes: readonly (readonly [string, string, Load])[] = [
  [
    "a node",
    "WEFT_NODE_",
    (flags, env = {}) => loadNodeConfig({ env, flags: { stateDir: "/s", control: "c.example:7443", ...flags } }),
  ],
  [
    "control",
    "WEFT_CONTROL_",
    (flags, env = {}) => loadControlConfig({ env, flags: { dataDir: "/d", sealingKeyFile: "/k", ...flags } }),
  ],
];

describe.each(processes)("the traces of %s", (_name, prefix, load) => {
  const problemOf = (tracesEndpoint: string): string => {
    try {
      load({ tracesEndpoint });
      return "";
    } catch (thrown) {
      if (thrown instanceof ConfigError) return thrown.problems.join();
      throw thrown;
    }
  };

  it("are off unless an endpoint is set, and OTEL_* sets nothing", () => {
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318",
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://127.0.0.1:4318/v1/traces",
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=x",
      OTEL_TRACES_SAMPLER: "traceidratio",
      OTEL_TRACES_SAMPLER_ARG: "0.5",
      OTEL_SERVICE_NAME: "x",
      OTEL_RESOURCE_ATTRIBUTES: "a=b",
    };
    const config = load({}, env);
    expect(config).not.toHaveProperty("tracesEndpoint");
    expect(config).toMatchObject({ tracesRatio: 1, tracesAttributes: [] });
    expect(config).not.toHaveProperty("tracesServiceName");
  });

  it("are set by flag and by variable", () => {
    const env = { [`${prefix}TRACES_ENDPOINT`]: "https://otlp.example", [`${prefix}TRACES_RATIO`]: "0.25" };
    const flags = { tracesAttributes: "deployment.environment.name=prod, team=edge", tracesServiceName: "edge" };
    expect(load(flags, env)).toMatchObject({
      tracesEndpoint: "https://otlp.example",
      tracesRatio: 0.25,
      tracesServiceName: "edge",
      tracesAttributes: ["deployment.environment.name=prod", "team=edge"],
    });
    for (const wrong of [
      { tracesRatio: "1.5" },
      { tracesRatio: "-1" },
      { tracesRatio: "x" },
      { tracesAttributes: "x" },
    ]) {
      expect(() => load(wrong), JSON.stringify(wrong)).toThrow(ConfigError);
    }
  });

  it.each(["http://127.0.0.1:4318", "http://[::1]:4318/", "http://localhost:4318/otlp", "https://otlp.example/"])(
    "may go to %s",
    (url) => {
      expect(problemOf(url)).toBe("");
    },
  );

  it.each([
    ["http://otlp.example:4318", /beyond loopback.*https/],
    ["http://10.0.0.7:4318", /beyond loopback/],
    ["http://127.0.0.1.example:4318", /beyond loopback/],
    ["grpc://127.0.0.1:4317", /http:\/\/ or https:\/\//],
    ["127.0.0.1:4318", /http:\/\/ or https:\/\//],
    ["https://me:hunter2@otlp.example", /tracesHeadersFile/],
    ["https://hunter2@otlp.example", /tracesHeadersFile/],
    ["https://otlp.example/?token=hunter2", /no query/],
    ["http://127.0.0.1:4318/#hunter2", /no fragment/],
  ])("may not go to %s, and the answer repeats no secret", (url, why) => {
    expect(problemOf(url)).toMatch(why);
    expect(problemOf(url)).not.toContain("hunter2");
  });
});

it("are posted below the base, as OTLP has it", () => {
  const at = (endpoint: string): string => tracesUrl(endpoint).href;
  expect(at("http://127.0.0.1:4318")).toBe("http://127.0.0.1:4318/v1/traces");
  expect(at("https://otlp.example/tenant/7/")).toBe("https://otlp.example/tenant/7/v1/traces");
  expect(at("https://otlp.example/v1/traces")).toBe("https://otlp.example/v1/traces");
});
