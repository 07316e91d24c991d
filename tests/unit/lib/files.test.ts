import {
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readFileIfAny, removeFile, replaceFile } from "../../../lib/files.ts";

const root = mkdtempSync(join(tmpdir(), "weft-files-"));
afterAll(() => rmSync(root, { recursive: true }));

function folder(): string {
  return mkdtempSync(join(root, "f-"));
}

describe("replacing a file", () => {
  it("leaves exactly the new content, mode 0600, and nothing else", () => {
    const dir = folder();
    const path = join(dir, "a");
    replaceFile(path, "old");
    replaceFile(path, new Uint8Array([1, 2, 3]));
    expect([...readFileSync(path)]).toEqual([1, 2, 3]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir)).toEqual(["a"]);
  });

  it("is a rename: who has the old file open goes on reading the old content", () => {
    const path = join(folder(), "a");
    replaceFile(path, "old");
    const descriptor = openSync(path, "r");
    replaceFile(path, "new content");
    const seen = Buffer.alloc(20);
    expect(seen.subarray(0, readSync(descriptor, seen)).toString()).toBe("old");
    expect(readFileSync(path, "utf8")).toBe("new content");
  });

  it("keeps the old content when it cannot finish", () => {
    const dir = folder();
    const path = join(dir, "a");
    mkdirSync(path);
    writeFileSync(join(path, "kept"), "x");
    expect(() => replaceFile(path, "new")).toThrow();
    expect(readFileSync(join(path, "kept"), "utf8")).toBe("x");
  });

  it("is not stopped by what a crash left behind", () => {
    const dir = folder();
    const path = join(dir, "a");
    writeFileSync(`${path}.new`, "half", { mode: 0o644 });
    replaceFile(path, "whole");
    expect(readFileSync(path, "utf8")).toBe("whole");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir)).toEqual(["a"]);
  });

  it("makes the folder, closed to others, and takes another mode", () => {
    const dir = join(folder(), "b", "c");
    replaceFile(join(dir, "a"), "x", 0o644);
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(statSync(join(dir, "a")).mode & 0o777).toBe(0o644);
  });
});

describe("reading and removing", () => {
  it("takes an absent file for none, and nothing else", () => {
    const dir = folder();
    expect(readFileIfAny(join(dir, "absent"))).toBeUndefined();
    expect(() => readFileIfAny(dir)).toThrow(/EISDIR/);
    removeFile(join(dir, "absent"));
    replaceFile(join(dir, "a"), "x");
    expect(readFileIfAny(join(dir, "a"))?.toString()).toBe("x");
    removeFile(join(dir, "a"));
    expect(readdirSync(dir)).toEqual([]);
  });
});
