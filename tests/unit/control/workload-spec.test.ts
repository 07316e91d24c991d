/** What a workload may say (M-A7): defaults, bounds, and no secrets where they would be read. */

import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { checkWorkload, looksSecret, specFingerprint, specMessage } from "../../../control/domain/workload-spec.ts";
import { WorkloadKind, WorkloadSpecSchema } from "../../../gen/weft/fabric/v1/workload_pb.ts";
import { limits } from "../../../lib/limits.ts";
import type { Wished } from "../../harness/workload-bench.ts";

type SpecOver = NonNullable<Wished["spec"]>;
const specOf = (over: SpecOver) =>
  create(WorkloadSpecSchema, { kind: WorkloadKind.NATIVE, command: "/opt/app/server", ...over });
const checked = (over: SpecOver = {}, name = "app", running = true) => checkWorkload(name, specOf(over), running);

describe("M-A7 specs", () => {
  it("have every question answered, and come back as they went", () => {
    const spec = checked({ health: { tcpPort: 80 } });
    expect(spec).toMatchObject({
      stopGraceMs: limits.workloadGraceDefaultMs,
      restart: { backoffMinMs: 1_000, backoffMaxMs: 60_000, restartsMaxCount: 10, windowMs: 600_000 },
      health: { periodMs: 10_000, timeoutMs: 2_000, failuresMaxCount: 3, startWithinMs: 60_000 },
    });
    expect(checkWorkload("app", create(WorkloadSpecSchema, specMessage(spec)), true)).toEqual(spec);
  });

  it("have one fingerprint, whatever the order of their variables, and another one for any change", () => {
    const a = { name: "A", value: "1" };
    const b = { name: "B", file: "/etc/b" };
    expect(specFingerprint(checked({ environment: [a, b] }))).toBe(specFingerprint(checked({ environment: [b, a] })));
    const prints = [
      {},
      { args: ["x"] },
      { version: "2" },
      { runAs: "x" },
      { environment: [a] },
      { hostPrivileges: true },
    ];
    expect(new Set(prints.map((each) => specFingerprint(checked(each)))).size).toBe(prints.length);
  });

  it.each([
    "DB_PASSWORD",
    "password",
    "API_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "api-key",
    "PRIVATE_KEY",
    "KEY",
    "PGPASSWD",
  ])("%s looks like a secret", (name) => {
    expect(looksSecret(name)).toBe(true);
    expect(() => checked({ environment: [{ name: name.replace("-", "_"), value: "x" }] })).toThrow(
      "looks like a secret",
    );
    expect(() => checked({ args: [`--${name}=x`] })).toThrow("looks like a secret");
    expect(() => checked({ args: [`--${name}`, "x"] })).toThrow("looks like a secret");
    expect(checked({ environment: [{ name: name.replace("-", "_"), file: "/etc/x" }] }).environment).toHaveLength(1);
  });

  it.each(["PORT", "DB_PASSWORD_FILE", "TOKEN_URL", "KEYBOARD", "MONKEY", "COMPASS_MODE", "PASSENGER"])(
    "%s does not",
    (name) => {
      expect(looksSecret(name)).toBe(false);
    },
  );

  it.each(["postgres://me:sesame@db/app", "-----BEGIN EC PRIVATE KEY-----\nx"])(
    "%s is one by what it says",
    (value) => {
      expect(() => checked({ environment: [{ name: "A", value }] })).toThrow("looks like a secret");
      expect(() => checked({ args: [value] })).toThrow("looks like a secret");
      expect(() => checked({ args: [`--target=${value}`] })).toThrow("looks like a secret");
    },
  );

  it.each<[string, SpecOver, string?]>([
    ["command", { command: "server" }],
    ["command", { command: "/a/../b" }],
    ["command", { command: "/a\0b" }],
    ["args", { args: Array.from({ length: 65 }, () => "x") }],
    ["args", { args: ["a\0"] }],
    ["environment", { environment: [{ name: "A B", value: "" }] }],
    ["environment", { environment: [{ name: "WEFT_NODE_STATE_DIR", value: "" }] }],
    ["environment", { environment: [{ name: "A", value: "1", file: "/x" }] }],
    ["environment", { environment: [{ name: "A" }, { name: "A" }] }],
    ["environment", { environment: [{ name: "A", file: "relative" }] }],
    ["working_directory", { workingDirectory: "tmp" }],
    ["run_as", { runAs: "-root" }],
    ["version", { version: "a\nb" }],
    ["image", { image: "x" }],
    ["image", { kind: WorkloadKind.CONTAINER, command: "" }],
    ["command", { kind: WorkloadKind.CONTAINER, image: "x" }],
    ["kind", { kind: WorkloadKind.UNSPECIFIED }],
    ["restart", { restart: { backoffMinMs: 1n } }],
    ["restart", { restart: { backoffMinMs: 5_000n, backoffMaxMs: 1_000n } }],
    ["restart", { restart: { restartsMaxCount: 4_000 } }],
    ["stop_grace_ms", { stopGraceMs: -1n }],
    ["stop_grace_ms", { stopGraceMs: 9_007_199_254_740_993n }],
    ["health", { health: { tcpPort: 80, command: "/x" } }],
    ["health", { health: { tcpPort: 70_000 } }],
    ["health", { health: { tcpPort: 80, periodMs: 1n } }],
    ["name", {}, "entry"],
    ["name", {}, "rdp-worker"],
    ["name", {}, "Not Plain"],
    ["name", {}, "../x"],
    ["name", { kind: WorkloadKind.BUILTIN, command: "" }, "app"],
    ["spec", { kind: WorkloadKind.BUILTIN, command: "", runAs: "x" }, "relay"],
    ["spec", { args: Array.from({ length: 5 }, () => "x".repeat(4_000)) }],
  ])("name %s when it is wrong", (field, over, name = "app") => {
    expect(() => checked(over, name)).toThrow(
      expect.objectContaining({
        reason: "invalid_argument",
        message: expect.stringMatching(new RegExp(`(^|; )${field}: `)),
      }),
    );
  });

  it("of a built-in ask for its role and nothing else", () => {
    expect(checked({ kind: WorkloadKind.BUILTIN, command: "" }, "relay").kind).toBe("builtin");
    expect(() => checked({ kind: WorkloadKind.BUILTIN, command: "" }, "relay", false)).toThrow("remove the role");
  });
});
