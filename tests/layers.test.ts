/**
 * The house's table of rooms, enforced: who may import whom, what is pure, and that no files import each other in a ring.
 */

import { describe, expect, it } from "vitest";
import { cyclesIn, importsOf, layers, layerViolation } from "./house/imports.ts";
import { handWritten, sourceFile } from "./house/source.ts";

const all = handWritten().flatMap(importsOf);

describe("the project", () => {
  it("imports only what the layers allow", () => {
    expect(all.map(layerViolation).filter((violation) => violation !== undefined)).toEqual([]);
  });

  it("has no import cycles", () => {
    expect(cyclesIn(all).map((cycle) => cycle.join(" -> "))).toEqual([]);
  });

  it("is seen by these tests", () => {
    expect(all.length).toBeGreaterThan(20);
    expect(all.some(({ from, file }) => from === "tests/layers.test.ts" && file === "tests/house/imports.ts")).toBe(
      true,
    );
  });

  it("keeps control and node apart in the table itself", () => {
    expect(layers["control"]).not.toContain("node");
    expect(layers["node"]).not.toContain("control");
  });
});

const violations = (path: string, text: string): string[] =>
  importsOf(sourceFile(path, text))
    .map(layerViolation)
    .filter((violation) => violation !== undefined);

describe("the rule of layers finds", () => {
  it.each([
    ["fabric/a.ts", 'import { x } from "../relay/x.ts";'],
    ["control/a.ts", 'import type { X } from "../node/x.ts";'],
    ["node/roles/a.ts", 'export { x } from "../../control/x.ts";'],
    ["relay/a.ts", 'const x = await import("../edge/x.ts");'],
    ["relay/a.ts", 'import {\n  one,\n  type two,\n} from "../control/x.ts";'],
    ["lib/a.ts", 'import "../certs/x.ts";'],
    ["lib/a.ts", 'import net from "node:net";'],
    ["fabric/trunk/a.ts", 'import { connect } from "node:tls";'],
    ["fabric/a.ts", 'import http2 from "http2";'],
    ["fabric/a.ts", 'import { readFile } from "node:fs/promises";'],
    ["fabric/a.ts", 'import { setTimeout } from "node:timers/promises";'],
    ["fabric/a.ts", 'import pg from "pg";'],
    ["fabric/a.ts", 'import { PGlite } from "@electric-sql/pglite/live";'],
    ["cli/commands/show.ts", 'import { startControl } from "../../control/main.ts";'],
    ["cli/commands/up.ts", 'import { leases } from "../../control/store/leases.ts";'],
    ["lib/a.ts", 'import { x } from "./b";'],
    ["drawer/a.ts", 'import { x } from "../lib/x.ts";'],
    ["lib/a.ts", 'import { x } from "../tests/harness/eventually.ts";'],
  ])("%s: %s", (path, text) => {
    expect(violations(path, text)).toHaveLength(1);
  });

  it("and lets pass what is allowed, or only looks like an import", () => {
    expect(violations("cli/commands/up.ts", 'import { startControl } from "../../control/main.ts";')).toEqual([]);
    expect(violations("tests/unit/a.test.ts", 'import { x } from "../../control/store/x.ts";')).toEqual([]);
    expect(violations("fabric/a.ts", 'import { createHash } from "node:crypto";')).toEqual([]);
    expect(
      violations("fabric/a.ts", '// import { x } from "../relay/x.ts";\nconst s = `import "../edge/a.ts"`;'),
    ).toEqual([]);
    expect(violations("relay/a.ts", 'import { preamble } from "../fabric/preamble.ts";')).toEqual([]);
  });
});

describe("the rule of cycles finds", () => {
  it("a ring of three, through types too", () => {
    const ring = [
      sourceFile("lib/a.ts", 'import { b } from "./b.ts";'),
      sourceFile("lib/b.ts", 'import type { C } from "./c.ts";'),
      sourceFile("lib/c.ts", 'export { a } from "./a.ts";'),
    ];
    expect(cyclesIn(ring.flatMap(importsOf))).toEqual([["lib/a.ts", "lib/b.ts", "lib/c.ts", "lib/a.ts"]]);
  });

  it("and none in a diamond", () => {
    const diamond = [
      sourceFile("lib/a.ts", 'import "./b.ts";\nimport "./c.ts";'),
      sourceFile("lib/b.ts", 'import "./d.ts";'),
      sourceFile("lib/c.ts", 'import "./d.ts";'),
    ];
    expect(cyclesIn(diamond.flatMap(importsOf))).toEqual([]);
  });
});
