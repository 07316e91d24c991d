import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AuditFileWriter, checkAuditFile, linesOf } from "../../../cli/audit-file.ts";
import { readTestimonies } from "../../../cli/audit-witness.ts";
import type { AuditRecord } from "../../../fabric/audit/chain.ts";
import { encodeWitness, WITNESS_FILE } from "../../../fabric/audit/witness.ts";
import { limits } from "../../../lib/limits.ts";
import { chainOf } from "../../harness/audit-chain.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weft-audit-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const installation = "ab".repeat(32);
const records = chainOf(40);
const headOf = (seq: number) => ({ seq, hash: (records[seq - 1] as AuditRecord).hash });
const header = {
  ...{ installation, trustDomain: "weft-test.internal", epoch: 1, startedAtMs: 5 },
  before: { seq: 0, hash: new Uint8Array(32) },
};
const about = { head: headOf(40), witnesses: [], finishedAtMs: 6 };
const path = () => join(folder, "audit.jsonl");

async function exported(witnesses = about.witnesses): Promise<string> {
  const writer = await AuditFileWriter.open(path(), header);
  writer.write(records.slice(0, 25));
  writer.write(records.slice(25));
  expect(writer.finish({ ...about, witnesses })).toBeUndefined();
  return path();
}

describe("M-A9 an exported audit log", () => {
  it("is a file once it is whole, and right", async () => {
    const file = await exported();
    expect(existsSync(`${file}.part`)).toBe(false);
    expect(await checkAuditFile(file, [])).toMatchObject({ ok: true, count: 40, last: headOf(40) });
    expect(readFileSync(file, "utf8").trimEnd().split("\n")).toHaveLength(42);
  });

  it("goes on where it broke off, in the middle of a line, of a character or of nothing", async () => {
    for (const cut of [0, 1, 7, 300]) {
      rmSync(path(), { force: true });
      const first = await AuditFileWriter.open(path(), header);
      first.write(records.slice(0, 30));
      first.leave();
      truncateSync(`${path()}.part`, readFileSync(`${path()}.part`).length - cut);
      const again = await AuditFileWriter.open(path(), { ...header, startedAtMs: 99 });
      expect(again.last.seq).toBe(cut === 0 ? 30 : cut === 300 ? again.last.seq : 29);
      again.write(records.slice(again.last.seq));
      expect(again.finish(about)).toBeUndefined();
      expect(await checkAuditFile(path(), [])).toMatchObject({ ok: true, count: 40 });
    }
  });

  it("goes on from the last right record of a file somebody touched, and not at all from another log's", async () => {
    const first = await AuditFileWriter.open(path(), header);
    first.write(records.slice(0, 30));
    first.leave();
    const part = `${path()}.part`;
    writeFileSync(part, readFileSync(part, "utf8").replace("org-12", "org-21"));
    const again = await AuditFileWriter.open(path(), header);
    expect(again.last.seq).toBe(11);
    again.leave();
    const other = AuditFileWriter.open(path(), { ...header, installation: "cd".repeat(32) });
    await expect(other).rejects.toMatchObject({ detail: "AUDIT_FILE_OTHER" });
  });

  it("THR-U1 a cut tail is named by the witnesses in its trailer, and by a node's data folder", async () => {
    const file = await exported();
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    const cut = join(folder, "cut.jsonl");
    const writer = await AuditFileWriter.open(cut, header);
    writer.write(records.slice(0, 30));
    writer.finish({ ...about, head: headOf(30) });
    expect(await checkAuditFile(cut, [])).toMatchObject({ ok: true });
    const state = join(folder, "nodes", "relay-1", "state");
    mkdirSync(state, { recursive: true });
    const heads = [10, 38].map((seq) => ({ epoch: 1, ...headOf(seq) }));
    const book = { installation, clusterId: "cl-1", nodeId: "nd-1", heads };
    writeFileSync(join(state, WITNESS_FILE), encodeWitness(book));
    for (const place of [folder, state, join(state, WITNESS_FILE)]) {
      const testimonies = readTestimonies(place, installation);
      expect(await checkAuditFile(cut, testimonies)).toMatchObject({
        ok: false,
        fault: { code: "AUDIT_CUT", seq: 38 },
      });
      expect(await checkAuditFile(file, testimonies)).toMatchObject({ ok: true, witnessesChecked: 2 });
    }
    writeFileSync(cut, [...lines.slice(0, 20), lines.at(-1)].join("\n"));
    expect(await checkAuditFile(cut, [])).toMatchObject({ fault: { code: "AUDIT_CUT", seq: 20 } });
    expect(() => readTestimonies(folder, "cd".repeat(32))).toThrow("another installation");
    expect(() => readTestimonies(join(folder, "none"), installation)).toThrow("data folder");
    writeFileSync(join(state, WITNESS_FILE), "{}");
    expect(() => readTestimonies(folder, installation)).toThrow("damaged");
  });

  it("names what is not there, and reads a line of any length in bounded pieces", async () => {
    await expect(checkAuditFile(join(folder, "none"), [])).rejects.toMatchObject({ detail: "AUDIT_FILE" });
    const file = join(folder, "long");
    writeFileSync(file, "x".repeat(limits.auditLineMaxBytes));
    for (let at = 0; at < 3; at += 1) appendFileSync(file, "y".repeat(limits.auditLineMaxBytes));
    appendFileSync(file, "\nshort\n");
    const lengths: number[] = [];
    for await (const line of linesOf(file)) lengths.push(line.length);
    expect(lengths).toEqual([limits.auditLineMaxBytes + 1, 5]);
    expect(await checkAuditFile(file, [])).toMatchObject({ ok: false, fault: { code: "AUDIT_MALFORMED", seq: 1 } });
  });
});
