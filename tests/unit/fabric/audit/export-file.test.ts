import { describe, expect, it } from "vitest";
import type { AuditRecord } from "../../../../fabric/audit/chain.ts";
import {
  ExportCheck,
  type ExportTrailer,
  headerText,
  parseHeader,
  parseRecord,
  parseTrailer,
  recordText,
  trailerText,
} from "../../../../fabric/audit/export-file.ts";
import {
  encodeWitness,
  judgeHead,
  keepHead,
  parseWitness,
  type Testimony,
  type WitnessedHead,
} from "../../../../fabric/audit/witness.ts";
import { limits } from "../../../../lib/limits.ts";
import { chainOf } from "../../../harness/audit-chain.ts";

const header = {
  installation: "ab".repeat(32),
  trustDomain: "weft-test.internal",
  epoch: 1,
  before: { seq: 0, hash: new Uint8Array(32) },
  startedAtMs: 5,
};
const records = chainOf(12);
const of = (all: readonly AuditRecord[], seq: number) => ({ seq, hash: (all[seq - 1] as AuditRecord).hash });
const headOf = (seq: number) => of(records, seq);

function trailer(over: Partial<ExportTrailer> = {}): ExportTrailer {
  return { count: 12, last: headOf(12), head: headOf(12), witnesses: [], finishedAtMs: 6, ...over };
}

function check(lines: readonly string[], testimonies: readonly Testimony[] = []) {
  const checking = new ExportCheck(testimonies);
  for (const line of lines) checking.line(line.replace(/\n$/, ""));
  return checking.finish();
}

const whole = [headerText(header), ...records.map(recordText), trailerText(trailer())];
const saw = (seq: number, all = records, epoch = 1): Testimony => ({ witness: "node/nd-1", epoch, ...of(all, seq) });

describe("M-A9 an export of the audit chain", () => {
  it("comes back as it was written, one line each", () => {
    for (const line of whole) expect(line.match(/\n/g)).toHaveLength(1);
    expect(parseHeader(whole[0] as string)).toMatchObject(header);
    expect(parseRecord(whole[3] as string)).toEqual(records[2]);
    expect(parseTrailer(whole.at(-1) as string)).toMatchObject(trailer());
  });

  it("is right when nothing is wrong with it, and when it is a range", () => {
    expect(check(whole)).toMatchObject({ ok: true, count: 12, last: headOf(12), witnessFaults: [] });
    const range = [
      headerText({ ...header, before: headOf(4) }),
      ...records.slice(4, 9).map(recordText),
      trailerText(trailer({ count: 5, last: headOf(9) })),
    ];
    expect(check(range, [saw(2), saw(7), saw(11)])).toMatchObject({
      ok: true,
      count: 5,
      witnessesChecked: 1,
      witnessesOutside: 2,
    });
  });

  const cases: [string, readonly string[], string, number][] = [
    ["no header", whole.slice(1), "AUDIT_MALFORMED", 1],
    ["nothing", [], "AUDIT_MALFORMED", 1],
    ["no trailer", whole.slice(0, -1), "AUDIT_CUT", 13],
    ["the last lines cut", whole.slice(0, 9), "AUDIT_CUT", 9],
    ["the tail cut, the trailer kept", [...whole.slice(0, 9), whole.at(-1) as string], "AUDIT_CUT", 9],
    ["a line cut", whole.with(5, (whole[5] as string).slice(0, 80)), "AUDIT_MALFORMED", 5],
    ["a field more", whole.with(5, (whole[5] as string).replace("{", '{"note":"x",')), "AUDIT_MALFORMED", 5],
    ["a line altered", whole.with(5, (whole[5] as string).replace("org-5", "org-6")), "AUDIT_ALTERED", 5],
    ["a line missing", whole.toSpliced(5, 1), "AUDIT_MISSING", 5],
    ["two lines changed places", whole.with(5, whole[6] as string).with(6, whole[5] as string), "AUDIT_REORDERED", 5],
    ["a wrong head", whole.with(-1, trailerText(trailer({ last: of(chainOf(12, "x"), 12) }))), "AUDIT_FORKED", 12],
    ["something after the trailer", [...whole, whole[3] as string], "AUDIT_MALFORMED", 13],
  ];
  it.each(cases)("names the first bad record: %s", (_name, lines, code, seq) => {
    expect(check(lines)).toMatchObject({ ok: false, fault: { code, seq } });
  });

  it("THR-U1 a tail cut together with its trailer is consistent in itself, and contradicts one witness", () => {
    const cut = [...whole.slice(0, 9), trailerText(trailer({ count: 8, last: headOf(8), head: headOf(8) }))];
    expect(check(cut)).toMatchObject({ ok: true });
    expect(check(cut, [saw(5), saw(8)])).toMatchObject({ ok: true, witnessesChecked: 2 });
    const report = check(cut, [saw(5), saw(10)]);
    expect(report).toMatchObject({ ok: false, fault: { code: "AUDIT_CUT", seq: 10 } });
    expect(report.witnessFaults).toMatchObject([{ witness: "node/nd-1", witnessed: expect.any(String) }]);
  });

  it("THR-U1 a history written anew contradicts whoever saw the old one", () => {
    const other = chainOf(12, "x");
    const rewritten = [
      headerText(header),
      ...other.map(recordText),
      trailerText(trailer({ last: of(other, 12), head: of(other, 12) })),
    ];
    expect(check(rewritten)).toMatchObject({ ok: true });
    expect(check(rewritten, [saw(9), saw(4)])).toMatchObject({ ok: false, fault: { code: "AUDIT_FORKED", seq: 4 } });
  });

  it("calls what a restore took a gap", () => {
    const other = chainOf(12, "x");
    const restored = [
      headerText({ ...header, epoch: 2 }),
      ...other.map(recordText),
      trailerText(trailer({ last: of(other, 12), head: of(other, 12) })),
    ];
    expect(check(restored, [saw(9)])).toMatchObject({ ok: false, fault: { code: "AUDIT_GAP", seq: 9 } });
    expect(check(restored, [saw(9, other, 2)])).toMatchObject({ ok: true });
  });

  it("takes no memory per record, and survives any text", () => {
    for (const text of [
      "",
      "{}",
      "null",
      "[]",
      '"x"',
      "\u0000",
      "{".repeat(2_000),
      "x".repeat(limits.auditLineMaxBytes + 1),
    ])
      expect(check([whole[0] as string, text]).ok).toBe(false);
  });
});

describe("what a witness keeps", () => {
  const head = (seq: number, epoch = 1, fill = seq): WitnessedHead => ({
    epoch,
    seq,
    hash: new Uint8Array(32).fill(fill % 256),
  });

  it("comes back as it was written, and nothing else does", () => {
    const book = { installation: "cd".repeat(32), clusterId: "cl-1", nodeId: "nd-1", heads: [head(3), head(9)] };
    expect(parseWitness(encodeWitness(book))).toEqual(book);
    for (const text of ["", "{}", encodeWitness(book).replace("v1", "v2"), encodeWitness(book).slice(0, -5)])
      expect(parseWitness(text)).toBeUndefined();
  });

  it("tells what goes back, what forks and what a new epoch begins", () => {
    const heads = [head(3), head(9)];
    expect(judgeHead([], head(5)).is).toBe("newer");
    expect(judgeHead(heads, head(10)).is).toBe("newer");
    expect(judgeHead(heads, head(9)).is).toBe("known");
    expect(judgeHead(heads, head(3)).is).toBe("back");
    expect(judgeHead(heads, head(8)).is).toBe("back");
    expect(judgeHead(heads, head(9, 1, 77)).is).toBe("forked");
    expect(judgeHead(heads, head(3, 1, 77)).is).toBe("forked");
    expect(judgeHead(heads, head(5, 2, 77)).is).toBe("newer");
    expect(judgeHead([...heads, head(5, 2)], head(9)).is).toBe("older-epoch");
  });

  it("stays within its bound, keeps the first and the newest, and spreads over what is between", () => {
    let heads: readonly WitnessedHead[] = [];
    for (let seq = 1; seq <= 5_000; seq += 1) heads = keepHead(heads, head(seq));
    expect(heads).toHaveLength(limits.auditWitnessHeadsMaxCount);
    expect(heads[0]?.seq).toBe(1);
    expect(heads.at(-1)?.seq).toBe(5_000);
    const gaps = heads.slice(1).map((each, at) => each.seq - (heads[at]?.seq ?? 0));
    expect(Math.max(...gaps)).toBeLessThan(5_000 / 8);
    expect([...heads].sort((a, b) => a.seq - b.seq)).toEqual(heads);
  });
});
