/**
 * Style that is decided by a test instead of a review. The rules, and why, are in tests/house/rules.ts; each proves on a
 * planted violation that it can fail.
 */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { limits } from "../lib/limits.ts";
import { functionsOf } from "./house/functions.ts";
import { badName, sourceRules, unitless } from "./house/rules.ts";
import { handWritten, scrub, sourceFile } from "./house/source.ts";

const files = handWritten();

describe.each(sourceRules)("$name", (rule) => {
  it("is kept by every file", () => {
    const broken = files
      .filter(({ path }) => rule.covers(path))
      .flatMap((file) => rule.find(file).map(({ line, message }) => `${file.path}:${line}: ${message}`));
    expect(broken).toEqual([]);
  });

  it("is found broken in a planted file", () => {
    for (const { path, text } of rule.planted) {
      expect(rule.covers(path)).toBe(true);
      expect(rule.find(sourceFile(path, text))).toHaveLength(1);
    }
  });
});

describe("file names", () => {
  it("are nouns in kebab-case, no drawers, no barrels", () => {
    expect(files.map(({ path }) => badName(path)).filter((bad) => bad !== undefined)).toEqual([]);
  });

  it.each(["lib/utils.ts", "lib/helpers/a.ts", "lib/common.ts", "fabric/types.ts", "rpc/index.ts", "rpc/peerId.ts"])(
    "%s is refused",
    (path) => {
      expect(badName(path)).toBeDefined();
    },
  );

  it.each(["lib/clock.ts", "control/store/join-tokens.ts", "tests/unit/a.test.ts", "vitest.config.ts"])(
    "%s is a name",
    (path) => {
      expect(badName(path)).toBeUndefined();
    },
  );
});

describe("limits", () => {
  it("all end in a unit", () => {
    expect(unitless(limits)).toEqual([]);
    expect(unitless({ peekMax: 1, peekMaxBytes: 1 })).toEqual(["peekMax"]);
  });
});

describe("the lock", () => {
  it("names no registry host", () => {
    expect(readFileSync(new URL("../package-lock.json", import.meta.url), "utf8")).not.toMatch(/"resolved": "http/);
  });
});

describe("the scanner under the rules", () => {
  it("blanks comments and literals, and nothing else", () => {
    const text =
      'const a = "Date.now()"; // Date.now()\nconst b = /`{/ ? `x ${f({ y: "}" })} {` : 1 / 2; /* { */ g();\n';
    expect(scrub(text)).toBe(
      'const a = "          ";              \nconst b = /  / ? `  ${f({ y: " " })}  ` : 1 / 2;         g();\n',
    );
  });

  it("keeps every line and column of every file", () => {
    for (const { path, text, code } of files) {
      expect(code.length, path).toBe(text.length);
      expect(code.split("\n").length, path).toBe(text.split("\n").length);
    }
  });

  it("finds balanced braces in every file", () => {
    for (const { path, code } of files) expect([path, code.split("{").length]).toEqual([path, code.split("}").length]);
  });
});

describe("the function finder", () => {
  const heads = (text: string): (string | number)[][] =>
    functionsOf(sourceFile("lib/a.ts", text)).map(({ line, lineCount }) => [line, lineCount]);

  it("sees declarations, methods, accessors, arrows and callbacks", () => {
    expect(heads("export async function* f<T>(\n  a: T,\n): AsyncGenerator<T> {\n  yield a;\n}\n")).toEqual([[1, 5]]);
    expect(
      heads(
        "const a = {\n  get b() {\n    return 1;\n  },\n  async c(d: { e: number }): Promise<void> {\n    f();\n  },\n};\n",
      ),
    ).toEqual([
      [2, 3],
      [5, 3],
    ]);
    expect(heads("list.map((x) => {\n  return x;\n});\n")).toEqual([[1, 3]]);
    expect(heads("class A {\n  constructor(a: number) {\n    super();\n  }\n}\n")).toEqual([[2, 3]]);
  });

  it("takes no other block for a function", () => {
    const blocks =
      "if (f(1)) {\n  g();\n} else if (h(2)) {\n  g();\n} else {\n  g();\n}\nfor (const a of b()) {\n  g();\n}\nwhile (f()) {\n  g();\n}\n";
    expect(heads(blocks)).toEqual([]);
    expect(
      heads("try {\n  f();\n} catch (error) {\n  g();\n}\nswitch (f()) {\n  case 1: {\n    g();\n  }\n}\n"),
    ).toEqual([]);
    expect(
      heads("interface A {\n  b(c: number): void;\n}\nconst a = {\n  b: f(),\n};\nconst c = f({\n  d: 1,\n});\n"),
    ).toEqual([]);
  });
});
