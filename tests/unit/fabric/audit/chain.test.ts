import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type AuditFaultCode,
  type AuditHead,
  type AuditRecord,
  auditHash,
  ChainWalk,
  ZERO_HASH,
} from "../../../../fabric/audit/chain.ts";
import { chainOf, rehashed } from "../../../harness/audit-chain.ts";

function walk(records: readonly AuditRecord[], head?: AuditHead) {
  const chain = new ChainWalk();
  for (const record of records) chain.take(record);
  return { chain, fault: chain.finish(head) };
}

describe("M-A9 the audit chain", () => {
  const records = chainOf(20);
  const head = records.at(-1) as AuditRecord;

  it("finds nothing wrong with a chain, of any length, from any record on", () => {
    expect(walk([]).fault).toBeUndefined();
    expect(walk([], { seq: 0, hash: ZERO_HASH }).fault).toBeUndefined();
    for (let to = 1; to <= records.length; to += 1) {
      const part = records.slice(0, to);
      const { chain, fault } = walk(part, part.at(-1));
      expect(fault).toBeUndefined();
      expect(chain.count).toBe(to);
    }
    const later = new ChainWalk(records[4]);
    for (const record of records.slice(5)) later.take(record);
    expect(later.finish(head)).toBeUndefined();
  });

  it("hashes fields behind their lengths: moving text between two of them changes the hash", () => {
    const row = records[0] as AuditRecord;
    const moved = { ...row, actor: row.actor.slice(0, -1), clusterId: `${row.actor.slice(-1)}${row.clusterId}` };
    expect(auditHash(moved)).not.toEqual(auditHash(row));
  });

  const at = (seq: number): AuditRecord => records[seq - 1] as AuditRecord;
  const put = (seq: number, record: AuditRecord) => records.with(seq - 1, record);
  const forged = rehashed({ ...at(7), actor: "nobody" });
  const attacks: [string, readonly AuditRecord[], AuditFaultCode, number][] = [
    ["a field altered", put(7, { ...at(7), actor: "nobody" }), "AUDIT_ALTERED", 7],
    ["a time altered", put(7, { ...at(7), atMs: at(7).atMs + 1 }), "AUDIT_ALTERED", 7],
    ["a hash altered", put(7, { ...at(7), hash: new Uint8Array(32).fill(1) }), "AUDIT_ALTERED", 7],
    ["a record written anew, hash and all", put(7, forged), "AUDIT_REWRITTEN", 7],
    [
      "two written anew, one after the other",
      put(7, forged).with(7, rehashed({ ...at(8), prevHash: forged.hash })),
      "AUDIT_REWRITTEN",
      8,
    ],
    ["the last one written anew", put(20, rehashed({ ...head, object: "x" })), "AUDIT_FORKED", 20],
    ["another history before it", put(7, rehashed({ ...at(7), prevHash: at(3).hash })), "AUDIT_REWRITTEN", 7],
    ["the first one missing", records.slice(1), "AUDIT_MISSING", 1],
    ["one missing", records.toSpliced(6, 1), "AUDIT_MISSING", 7],
    ["three missing", records.toSpliced(6, 3), "AUDIT_MISSING", 7],
    ["the last one missing", records.slice(0, -1), "AUDIT_CUT", 20],
    ["the last five missing", records.slice(0, -5), "AUDIT_CUT", 16],
    ["everything missing", [], "AUDIT_CUT", 1],
    ["two changed places", put(7, at(8)).with(7, at(7)), "AUDIT_REORDERED", 7],
    ["one moved to the end", [...records.toSpliced(6, 1), at(7)], "AUDIT_REORDERED", 7],
    ["one twice", records.toSpliced(7, 0, at(7)), "AUDIT_REORDERED", 7],
  ];
  it.each(attacks)("names the first bad record: %s", (_name, altered, code, seq) => {
    expect(walk(altered, head).fault).toMatchObject({ code, seq });
  });

  it("a head that is behind its records is no head", () => {
    expect(walk(records, at(18)).fault).toMatchObject({ code: "AUDIT_FORKED", seq: 19 });
  });

  it("finds every single change of a field, a byte of a hash, a place: 2 000 random ones", () => {
    const fields = [
      "actor",
      "clusterId",
      "organizationId",
      "action",
      "object",
      "beforeJson",
      "afterJson",
      "result",
    ] as const;
    const change = fc.oneof(
      fc.record({
        kind: fc.constant("field" as const),
        seq: fc.integer({ min: 1, max: 20 }),
        field: fc.constantFrom(...fields),
      }),
      fc.record({ kind: fc.constant("drop" as const), seq: fc.integer({ min: 1, max: 20 }) }),
      fc.record({
        kind: fc.constant("swap" as const),
        seq: fc.integer({ min: 1, max: 20 }),
        other: fc.integer({ min: 1, max: 20 }),
      }),
      fc.record({
        kind: fc.constant("bit" as const),
        seq: fc.integer({ min: 1, max: 20 }),
        byte: fc.integer({ min: 0, max: 31 }),
      }),
    );
    fc.assert(
      fc.property(change, (one) => {
        fc.pre(one.kind !== "swap" || one.seq !== one.other);
        const wanted = one.kind === "swap" ? Math.min(one.seq, one.other) : one.seq;
        let altered = records;
        if (one.kind === "field") altered = put(one.seq, { ...at(one.seq), [one.field]: `${at(one.seq)[one.field]}!` });
        if (one.kind === "drop") altered = records.toSpliced(one.seq - 1, 1);
        if (one.kind === "swap") altered = put(one.seq, at(one.other)).with(one.other - 1, at(one.seq));
        if (one.kind === "bit") {
          const hash = Uint8Array.from(at(one.seq).hash);
          hash[one.byte] = (hash[one.byte] ?? 0) ^ 1;
          altered = put(one.seq, { ...at(one.seq), hash });
        }
        expect(walk(altered, head).fault?.seq).toBe(wanted);
      }),
      { numRuns: 2_000 },
    );
  });
});
