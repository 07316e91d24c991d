import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import {
  createSealingKeyFile,
  isRowAuthentic,
  macRow,
  openSealingKeyFile,
  type RowValue,
  SealingKey,
  seal,
  unseal,
} from "../../../certs/seal.ts";
import { runs } from "../../harness/counts.ts";

const directory = mkdtempSync(join(tmpdir(), "weft-seal-"));
afterAll(() => rmSync(directory, { recursive: true }));

const key = new SealingKey(Buffer.alloc(32, 1));
const place = { cluster: "c1", purpose: "ca/node", id: "g1", version: 1 };
const secret = Buffer.from("-----BEGIN PRIVATE KEY----- the secret");
const detail = (name: string) => expect.objectContaining({ detail: name });

describe("sealing (LAW-I1)", () => {
  it("what is sealed opens in its place, shows nothing, and never looks the same twice", () => {
    const blob = seal(key, place, secret);
    expect(Buffer.from(unseal(key, place, blob))).toEqual(secret);
    expect(Buffer.from(blob).includes("PRIVATE KEY")).toBe(false);
    expect(Buffer.from(seal(key, place, secret)).equals(blob)).toBe(false);
  });

  it("THR-C16 the wrong sealing key is named as such", () => {
    const blob = seal(key, place, secret);
    expect(() => unseal(new SealingKey(Buffer.alloc(32, 2)), place, blob)).toThrow(
      expect.objectContaining({ reason: "failed_precondition", detail: "SEALING_KEY_WRONG" }),
    );
  });

  it.each([
    { ...place, cluster: "c2" },
    { ...place, purpose: "ca/control" },
    { ...place, id: "g2" },
    { ...place, version: 2 },
    { ...place, id: "g11", version: 0 },
  ])("a row swapped to %o does not open", (other) => {
    expect(() => unseal(key, other, seal(key, place, secret))).toThrow(detail("SEALED_FORGED"));
  });

  it("any changed bit, any truncation is refused", () => {
    const blob = seal(key, place, secret);
    for (let at = 0; at < blob.length; at++) {
      const copy = Uint8Array.from(blob);
      copy[at] = (copy[at] ?? 0) ^ 0x10;
      expect(() => unseal(key, place, copy)).toThrow(/sealed/);
      expect(() => unseal(key, place, blob.subarray(0, at))).toThrow(detail("SEALED_FORGED"));
    }
  });

  it("the key file is made once, reopened, and nothing else passes for one", () => {
    const path = join(directory, "sealing.key");
    const made = createSealingKeyFile(path);
    expect(openSealingKeyFile(path).keyId).toBe(made.keyId);
    expect(Buffer.from(unseal(openSealingKeyFile(path), place, seal(made, place, secret)))).toEqual(secret);
    expect(() => createSealingKeyFile(path)).toThrow(detail("KEY_FILE_EXISTS"));
    expect(openSealingKeyFile(path).keyId).toBe(made.keyId);
    const text = readFileSync(path, "utf8");
    for (const odd of ["", "x", text.slice(0, -3), `${text}more`, text.toUpperCase()]) {
      writeFileSync(path, odd, { mode: 0o600 });
      expect(() => openSealingKeyFile(path)).toThrow(detail("SEALING_KEY_MALFORMED"));
    }
    expect(() => new SealingKey(new Uint8Array(31))).toThrow(detail("SEALING_KEY_MALFORMED"));
  });

  it("subkeys differ by purpose and by key, and tell nothing of each other", () => {
    const ids = ["a", "b", "row-mac", "seal\0a"].flatMap((purpose) =>
      [key, new SealingKey(Buffer.alloc(32, 2))].map((from) => Buffer.from(from.subkey(purpose)).toString("hex")),
    );
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe("row MACs", () => {
  const row: RowValue[] = ["n1", 3, Buffer.of(1, 2), null, true];

  it("an authentic row is recognised; a changed value, table, order, key or MAC length is not", () => {
    const mac = macRow(key, "nodes", row);
    expect(isRowAuthentic(key, "nodes", row, mac)).toBe(true);
    expect(isRowAuthentic(key, "nodes", ["n1", 3n, Buffer.of(1, 2), null, true], mac)).toBe(true);
    const other = new SealingKey(Buffer.alloc(32, 2));
    expect(isRowAuthentic(other, "nodes", row, mac)).toBe(false);
    expect(isRowAuthentic(key, "pools", row, mac)).toBe(false);
    expect(isRowAuthentic(key, "nodes", [...row].reverse(), mac)).toBe(false);
    for (const odd of [new Uint8Array(0), mac.subarray(1), Buffer.concat([mac, Buffer.of(0)]), null, undefined]) {
      expect(isRowAuthentic(key, "nodes", row, odd)).toBe(false);
    }
  });

  it("no two rows share an encoding", () => {
    const value: fc.Arbitrary<RowValue> = fc.oneof(
      fc.string({ maxLength: 3 }),
      fc.integer({ min: -9, max: 9 }),
      fc.boolean(),
      fc.constant(null),
      fc.uint8Array({ maxLength: 3 }),
    );
    const rows = fc.array(value, { maxLength: 4 });
    void fc.assert(
      fc.property(rows, rows, (a, b) => {
        const plain = (values: RowValue[]) =>
          JSON.stringify(values.map((v) => (v instanceof Uint8Array ? { bytes: [...v] } : Object.is(v, -0) ? 0 : v)));
        expect(isRowAuthentic(key, "t", b, macRow(key, "t", a))).toBe(plain(a) === plain(b));
      }),
      { numRuns: runs(1_000, 50_000) },
    );
  });
});
