import { create } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it, vi } from "vitest";
import { enumName, enumValue, exitCodes, plain, print, report, safeText, table, when } from "../../../cli/output.ts";
import { NodeHealth, NodeRole } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { AuditHeadSchema } from "../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { ConfigError } from "../../../lib/config-error.ts";
import { type Reason, reasons, WeftError } from "../../../lib/errors.ts";
import { detailOf } from "../fabric/snapshot/stage.ts";

afterEach(() => vi.restoreAllMocks());

/** What `act` wrote to the two outputs. */
function outputs<T>(act: () => T): { result: T; out: string; err: string } {
  let out = "";
  let err = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += String(text);
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    err += String(text);
    return true;
  });
  const result = act();
  vi.restoreAllMocks();
  return { result, out, err };
}

describe("a value as JSON", () => {
  it("keeps 64-bit integers as numbers while they are exact, and as text beyond", () => {
    const max = BigInt(Number.MAX_SAFE_INTEGER);
    expect(plain([0n, max, -max, max + 1n, -max - 1n])).toEqual([
      0,
      Number.MAX_SAFE_INTEGER,
      -Number.MAX_SAFE_INTEGER,
      "9007199254740992",
      "-9007199254740992",
    ]);
  });

  it("writes bytes as hex and leaves protobuf's own fields and absent ones out, at every depth", () => {
    const head = create(AuditHeadSchema, { seq: 3n, hash: new Uint8Array([1, 0xff]) });
    expect(plain({ head, list: [head], none: undefined, no: null, text: "x" })).toEqual({
      head: { seq: 3, hash: "01ff" },
      list: [{ seq: 3, hash: "01ff" }],
      no: null,
      text: "x",
    });
  });

  it("is exactly one line on standard output", () => {
    const { out, err } = outputs(() => print({ json: true }, { a: "two\nlines", n: 1n }, () => "text"));
    expect(out).toBe('{"a":"two\\nlines","n":1}\n');
    expect(err).toBe("");
  });

  it("is not said to people", () => {
    expect(outputs(() => print({}, { a: 1 }, () => "text")).out).toBe("text\n");
    expect(outputs(() => print({}, { a: 1 }, () => "text\n")).out).toBe("text\n");
  });
});

describe("text from others", () => {
  it.each([
    ["\u001b[2J", "\\u001b[2J"],
    ["\u001b]0;title\u0007", "\\u001b]0;title\\u0007"],
    ["\u009b31m", "\\u009b31m"],
    ["a\nb\r\tc", "a\\u000ab\\u000d\\u0009c"],
    ["\u0000\u007f", "\\u0000\\u007f"],
    ["user\u202egnp.exe", "user\\u202egnp.exe"],
    ["\u2066\u2069\u200e\u200f", "\\u2066\\u2069\\u200e\\u200f"],
    ["plain ümlaut 漢字 \\u001b", "plain ümlaut 漢字 \\u001b"],
  ])("%j cannot command a terminal", (text, shown) => {
    expect(safeText(text)).toBe(shown);
  });

  it("nor through a table or an error", () => {
    expect(table(["NAME"], [["\u001b[31mred"]])).not.toContain("\u001b");
    const { err } = outputs(() => report(new WeftError("not_found", "no \u001b[31mred"), {}));
    expect(err).not.toContain("\u001b");
  });
});

describe("a table", () => {
  it("is as wide as its content, without spaces at line ends", () => {
    const rows = [
      ["a", "long cell", "x"],
      ["longer", "b", ""],
    ];
    expect(table(["ID", "NAME", "Z"], rows)).toBe("ID      NAME       Z\na       long cell  x\nlonger  b");
  });

  it("without rows says so", () => {
    expect(table(["ID"], [])).toBe("(none)");
  });
});

describe("names and times", () => {
  it("shows short names of enums and reads them back", () => {
    expect(enumName(NodeRole, NodeRole.RDP_WORKER)).toBe("rdp-worker");
    expect(enumName(NodeHealth, 99)).toBe("99");
    for (const value of Object.values(NodeRole).filter((role) => typeof role === "number" && role !== 0)) {
      expect(enumValue(NodeRole, enumName(NodeRole, value as number), "role")).toBe(value);
    }
    expect(enumValue(NodeRole, "RDP_worker", "role")).toBe(NodeRole.RDP_WORKER);
  });

  it.each(["rely", "", "unspecified", "1", "__proto__", "constructor", "toString"])(
    "%j is no role, and the ones there are get listed",
    (name) => {
      expect(detailOf(() => enumValue(NodeRole, name, "role"))).toBe("CLI_ENUM");
      expect(() => enumValue(NodeRole, name, "role")).toThrow("entry, relay, egress");
    },
  );

  it("shows moments in UTC, and none as a dash", () => {
    expect(when(0n)).toBe("-");
    expect(when(1_800_000_000_000n)).toBe("2027-01-15T08:00:00Z");
    expect(when(1_800_000_000_123)).toBe("2027-01-15T08:00:00Z");
  });
});

const expected: Partial<Record<Reason, number>> = {
  invalid_argument: 2,
  unavailable: 69,
  deadline_exceeded: 69,
  canceled: 69,
  permission_denied: 77,
  unauthenticated: 77,
};

describe("exit codes", () => {
  it.each(reasons)("%s has its own, and says what to do where that is known", (reason) => {
    const { result, out, err } = outputs(() => report(new WeftError(reason, "it failed", { detail: "X_Y" }), {}));
    expect(result).toBe(expected[reason] ?? 1);
    expect(out).toBe("");
    expect(err.startsWith("weft: it failed [X_Y]\n")).toBe(true);
  });

  it("a bug is a failure without a stack", () => {
    const { result, err } = outputs(() => report(new TypeError("x is undefined"), {}));
    expect(result).toBe(exitCodes.failure);
    expect(err).toBe("weft: x is undefined\n");
  });

  it("with --json an error is one object, too", () => {
    const { out, result } = outputs(() =>
      report(new WeftError("unavailable", "away", { cause: new Error("10.0.0.1") }), { json: true }),
    );
    expect(JSON.parse(out)).toEqual({ ok: false, error: "unavailable", detail: "UNAVAILABLE", message: "away" });
    expect(out.split("\n")).toHaveLength(2);
    expect(result).toBe(69);
  });

  it("a context that cannot be used is a wrong configuration; one that is being written is there in a moment", () => {
    const codeOf = (reason: "failed_precondition" | "unavailable", detail: string) =>
      outputs(() => report(new WeftError(reason, "no", { detail }), {})).result;
    expect(codeOf("failed_precondition", "CONTEXT_FILE_DAMAGED")).toBe(78);
    expect(codeOf("unavailable", "CONTEXT_FILE_BUSY")).toBe(69);
  });

  it("a wrong configuration lists every problem", () => {
    const { result, out, err } = outputs(() => report(new ConfigError(["a: one", "b: two"]), { json: true }));
    expect(result).toBe(78);
    expect(JSON.parse(out)).toEqual({ ok: false, error: "config", problems: ["a: one", "b: two"] });
    expect(err).toContain("  - a: one\n  - b: two");
  });
});
