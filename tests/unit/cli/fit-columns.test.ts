/** Tables on terminals that are narrower than they are. */

import { expect, it } from "vitest";
import { columnMin, fitColumns, pieces } from "../../../cli/fit-columns.ts";
import { table } from "../../../cli/output.ts";

it("the widest columns give way, as far as the line needs, and none below what can be read", () => {
  const columns = [5, 40, 30].map((wanted) => ({ wanted, min: 5 }));
  expect(fitColumns(columns, 60)).toEqual([5, 25, 26]);
  expect(fitColumns(columns, 200)).toEqual([5, 40, 30]);
  expect(fitColumns(columns, undefined)).toEqual([5, 40, 30]);
  expect(
    fitColumns(
      columns.map((column) => ({ ...column, min: 20 })),
      20,
    ),
  ).toEqual([5, 20, 20]);
  expect(columnMin(["ID", "nd-0123456789abcdef"])).toBe(19);
  expect(columnMin(["ROLES", "entry,relay,egress"])).toBe(6);
  expect(columnMin(["X".repeat(80)])).toBe(24);
});

it("a cell is cut behind blanks and commas, and loses nothing else", () => {
  expect(pieces("entry,relay,egress", 12)).toEqual(["entry,relay,", "egress"]);
  expect(pieces("no beat for more than 60 s", 12)).toEqual(["no beat for", "more than 60", "s"]);
  expect(pieces("nd-0123456789abcdef", 12)).toEqual(["nd-012345678", "9abcdef"]);
  expect(pieces("", 12)).toEqual([""]);
});

it("a table fits the line it is given, and every letter is in it", () => {
  const long = "its clock is 5 s behind control's: look at its time service";
  const text = table(["NAME", "ALERT", "DETAIL"], [["entry-1", "node-clock-skew", long]], 60);
  expect(Math.max(...text.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(60);
  for (const word of long.split(" ")) expect(text).toContain(word);
  // Where nobody looks, a row is a line.
  expect(table(["NAME", "DETAIL"], [["entry-1", long]]).split("\n")).toHaveLength(2);
});
