import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { layoutOf, openPlan } from "../../../cli/up/layout.ts";
import { temporaryRoot } from "../../../cli/up/temporary-root.ts";

let parent = "";
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "roots-"));
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

/** A process that has ended. */
const gone = (): number => spawnSync(process.execPath, ["-e", ""]).pid;

function folder(name: string, owner: string | undefined): string {
  const path = join(parent, name);
  mkdirSync(join(path, "nodes"), { recursive: true });
  if (owner !== undefined) writeFileSync(join(path, "up.pid"), owner);
  return path;
}

it("a fabric that was killed leaves a folder, and the next one removes it and says so", () => {
  const left = folder("weft-left", `${gone()}\n`);
  const said: string[] = [];
  const root = temporaryRoot((line) => said.push(line), parent);
  expect(existsSync(left)).toBe(false);
  expect(said).toEqual([`removed ${left}, which a killed fabric had left behind`]);
  // Its own is not.
  temporaryRoot((line) => said.push(line), parent);
  expect(existsSync(root)).toBe(true);
  expect(said).toHaveLength(1);
});

it("a new folder is one that a fabric can be planned in", async () => {
  const root = temporaryRoot(() => {}, parent);
  expect(await openPlan(layoutOf(root))).toMatchObject({ isNew: true });
});

it("what may be somebody's stays: an owner that lives, a folder without one, another name, a link", () => {
  const outside = folder("elsewhere", `${gone()}`);
  const kept = [
    folder("weft-lives", `${process.pid}`),
    folder("weft-nobodys", undefined),
    folder("weft-odd", "not a number"),
    folder("weft-all", "-1"),
    outside,
  ];
  symlinkSync(outside, join(parent, "weft-link"));
  temporaryRoot(() => {}, parent);
  expect(kept.filter((path) => !existsSync(path))).toEqual([]);
});
