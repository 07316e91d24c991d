/** docs/threats.md and the tests that cite its ids, kept together. */

import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));
const read = (path: string): string => readFileSync(`${root}${path}`, "utf8");

const rows = [...read("docs/threats.md").matchAll(/^\| ((?:THR|REVIEW)-[A-Z]?\d+) \| [^|]+ \| ([^|]+) \|$/gm)].map(
  ([, id = "", answer = ""]) => ({ id, answer }),
);
const cited = new Set(
  globSync(["tests/**/*.ts", "conformance/**/*.ts"], { cwd: root, exclude: ["tests/threats.test.ts"] }).flatMap(
    (path) => [
      ...new Set([...read(path.replaceAll("\\", "/")).matchAll(/\b(?:THR-[A-Z]+\d+|REVIEW-\d+)\b/g)].map(([id]) => id)),
    ],
  ),
);

/** "not there", or answered under another id of the list. */
const elsewhere = (answer: string): boolean => /^not there\b|: (THR|REVIEW)-/.test(answer);

describe("the list of threats", () => {
  it("is whole", () => {
    const reviews = Array.from({ length: 25 }, (_, at) => `REVIEW-${at + 1}`);
    expect(rows.map(({ id }) => id).filter((id) => id.startsWith("REVIEW"))).toEqual(reviews);
    expect(rows.length).toBeGreaterThan(80);
    expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length);
  });

  it.each(rows.filter(({ answer }) => !elsewhere(answer)))("$id is cited by a test", ({ id }) => {
    expect(cited).toContain(id);
  });

  it("has every id that tests cite", () => {
    expect([...cited].filter((id) => !rows.some((row) => row.id === id))).toEqual([]);
  });
});
