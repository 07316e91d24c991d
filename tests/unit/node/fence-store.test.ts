/** LAW-F3 at rest: the highest fence of each resource, across restarts, full disks and damaged files. */

import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { silentLog } from "../../../lib/log.ts";
import { openFenceStore, type RaisedFence } from "../../../node/fence-store.ts";

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "weft-fences-"));
});
afterEach(() => {
  chmodSync(stateDir, 0o700);
  rmSync(stateDir, { recursive: true, force: true });
});

const open = (maxCount?: number) =>
  openFenceStore({ stateDir, log: silentLog, ...(maxCount === undefined ? {} : { maxCount }) });
const mark = (epoch: number, counter: number, holder = "nd-a/boot-1") => ({
  epoch: BigInt(epoch),
  counter: BigInt(counter),
  holder,
});

describe("the fences an egress has seen", () => {
  it("LAW-F3 takes a higher one, the same of the same holder again, and nothing lower", () => {
    const fences = open();
    expect(fences.offer("rs-1", mark(1, 5))).toBe("raised");
    expect(fences.offer("rs-1", mark(1, 5))).toBe("accepted");
    expect(fences.offer("rs-1", mark(1, 4, "nd-b/boot-1"))).toBe("refused");
    expect(fences.offer("rs-1", mark(1, 6, "nd-b/boot-1"))).toBe("raised");
    expect(fences.offer("rs-1", mark(1, 5))).toBe("refused");
    // Across a restore: a lower counter under a higher epoch is higher.
    expect(fences.offer("rs-1", mark(2, 1))).toBe("raised");
    expect(fences.offer("rs-1", mark(1, 9))).toBe("refused");
    expect(fences.highest("rs-2")).toBeUndefined();
  });

  it("LAW-F1 refuses an equal one of another holder, boot or nobody", () => {
    const fences = open();
    fences.offer("rs-1", mark(1, 5));
    for (const holder of ["nd-b/boot-1", "nd-a/boot-2", ""]) {
      expect(fences.offer("rs-1", mark(1, 5, holder)), holder).toBe("refused");
    }
  });

  it("LAW-F3 remembers across a restart, and writes before it answers", () => {
    const raised: RaisedFence[] = [];
    const fences = open();
    fences.onRaise((each) => {
      raised.push(each);
      // Who is told acts under it: by then another process would find it.
      expect(open().highest(each.resourceId)).toEqual(each.mark);
    });
    fences.offer("rs-1", mark(3, 2 ** 40));
    fences.offer("rs-2", mark(1, 1));
    fences.offer("rs-2", mark(1, 1));
    expect(raised.map(({ resourceId }) => resourceId)).toEqual(["rs-1", "rs-2"]);
    const again = open();
    expect(again.offer("rs-1", mark(3, 2 ** 40 - 1))).toBe("refused");
    expect(again.offer("rs-1", mark(3, 2 ** 40))).toBe("accepted");
  });

  it("LAW-F3 refuses what the disk does not take, and goes on refusing less", () => {
    const fences = open();
    fences.offer("rs-1", mark(1, 1));
    // A folder where the new file would be: root writes into read-only folders.
    rmSync(join(stateDir, "fences.json"));
    const before = stateDir;
    stateDir = mkdtempSync(join(tmpdir(), "weft-fences-"));
    rmSync(before, { recursive: true });
    writeFileSync(before, "");
    expect(fences.offer("rs-1", mark(1, 2))).toBe("refused");
    expect(fences.highest("rs-1")).toEqual(mark(1, 1));
    expect(fences.offer("rs-1", mark(1, 1))).toBe("accepted");
    rmSync(before);
  });

  it("LAW-F3 refuses everything over a file that cannot be read, and leaves it as it is", () => {
    for (const damage of ["{", '{"rs-1":{"epoch":"-1","counter":"1","holder":""}}', "[]"]) {
      writeFileSync(join(stateDir, "fences.json"), damage);
      const fences = open();
      expect(fences.offer("rs-1", mark(9, 9)), damage).toBe("refused");
      expect(readFileSync(join(stateDir, "fences.json"), "utf8")).toBe(damage);
    }
  });

  it("has a bound, beyond which a new resource is refused and none is forgotten", () => {
    const fences = open(2);
    expect([1, 2, 3].map((at) => fences.offer(`rs-${at}`, mark(1, 1)))).toEqual(["raised", "raised", "refused"]);
    expect(fences.offer("rs-1", mark(1, 2))).toBe("raised");
  });
});
