import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseWitness, WITNESS_FILE } from "../../../fabric/audit/witness.ts";
import { type AuditWitness, openAuditWitness } from "../../../node/audit-witness.ts";
import { openSnapshotHolder } from "../../../node/snapshot-holder.ts";
import { envelopeWith, installation, stateFolder, testPorts } from "./stage.ts";

const hash = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);

function open(stateDir: string) {
  const ports = testPorts();
  const { clock, log, events, identity } = ports;
  const deps = { stateDir, identity, installationKeySpki: installation.spkiDer, clock, log, events };
  const snapshot = openSnapshotHolder({ ...deps, limit: (each) => each });
  const witness = openAuditWitness({ ...deps, snapshot });
  return {
    ports,
    witness,
    offer(version: bigint, seq: bigint, fill: number, epoch = 1n): void {
      expect(snapshot.offer(envelopeWith({ epoch, version, auditHead: { seq, hash: hash(fill) } }))).toBe("applied");
    },
  };
}

const reported = (witness: AuditWitness) => witness.reported() ?? { seq: 0 };

describe("REVIEW-16 a node witnesses the audit chain", () => {
  it("repeats the highest head it was shown, across restarts", () => {
    using folder = stateFolder();
    const first = open(folder.dir);
    expect(first.witness.reported()).toBeUndefined();
    first.offer(1n, 10n, 1);
    first.offer(2n, 10n, 1);
    first.offer(3n, 25n, 2);
    expect(first.witness.reported()).toEqual({ epoch: 1, seq: 25, hash: hash(2) });
    const again = open(folder.dir);
    expect(again.witness.reported()).toEqual({ epoch: 1, seq: 25, hash: hash(2) });
    const book = parseWitness(readFileSync(join(folder.dir, WITNESS_FILE), "utf8"));
    expect(book).toMatchObject({ clusterId: "cl-a", nodeId: "nd-self", heads: [{ seq: 10 }, { seq: 25 }] });
    expect(first.ports.kinds()).not.toContain("audit_contradicted");
  });

  const contradictions: [string, bigint, number][] = [
    ["a head that goes back", 20n, 7],
    ["another record at the number of the head", 25n, 7],
    ["another record at an earlier number", 10n, 7],
  ];
  it.each(contradictions)("keeps and tells %s, and repeats what it contradicts from then on", (_name, seq, fill) => {
    using folder = stateFolder();
    const { ports, witness, offer } = open(folder.dir);
    offer(1n, 10n, 1);
    offer(2n, 25n, 2);
    offer(3n, seq, fill);
    const held = seq === 10n ? { seq: 10, hash: hash(1) } : { seq: 25, hash: hash(2) };
    expect(reported(witness)).toMatchObject(held);
    expect(ports.kinds()).toContain("audit_contradicted");
    expect(readdirSync(folder.dir).filter((file) => file.startsWith("audit-fork-"))).toHaveLength(1);
    // A history written anew grows past what was seen: it stays contradicted, after a restart too.
    offer(4n, 90n, 9);
    expect(reported(witness)).toMatchObject(held);
    expect(reported(open(folder.dir).witness)).toMatchObject(held);
  });

  it("follows a new epoch, in which numbers may be lower, and keeps what it saw before", () => {
    using folder = stateFolder();
    const { ports, witness, offer } = open(folder.dir);
    offer(1n, 25n, 2);
    offer(2n, 20n, 3);
    offer(1n, 12n, 4, 2n);
    expect(witness.reported()).toEqual({ epoch: 2, seq: 12, hash: hash(4) });
    expect(ports.kinds().filter((kind) => kind === "audit_contradicted")).toHaveLength(1);
    const book = parseWitness(readFileSync(join(folder.dir, WITNESS_FILE), "utf8"));
    expect(book?.heads.map(({ epoch, seq }) => [epoch, seq])).toEqual([
      [1, 25],
      [2, 12],
    ]);
  });

  it("puts a damaged file aside", () => {
    using folder = stateFolder();
    open(folder.dir).offer(1n, 25n, 2);
    const path = join(folder.dir, WITNESS_FILE);
    writeFileSync(path, "{");
    const { witness } = open(folder.dir);
    expect(witness.reported()).toMatchObject({ seq: 25 });
    expect(existsSync(`${path}.damaged`)).toBe(true);
  });

  it("does not grow with what it sees", () => {
    using folder = stateFolder();
    const { offer, witness } = open(folder.dir);
    for (let at = 1; at <= 300; at += 1) offer(BigInt(at), BigInt(at * 3), at % 200);
    expect(reported(witness)).toMatchObject({ seq: 900 });
    expect(readFileSync(join(folder.dir, WITNESS_FILE)).length).toBeLessThan(16_384);
  });
});
