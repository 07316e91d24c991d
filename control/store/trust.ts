/**
 * Trust rows: what a writer of the database must not be able to make up. Each carries a MAC by a key that is not in the
 * database (certs/seal.ts), over its table's name and every value that means something; a row without a right MAC is
 * refused wherever it would create trust. Private keys rest sealed for exactly one row.
 */

import {
  isRowAuthentic,
  macRow,
  type RowValue,
  type SealedPlace,
  type SealingKey,
  seal,
  unseal,
} from "../../certs/seal.ts";
import { WeftError } from "../../lib/errors.ts";

export type MacField = RowValue;

/** What the sealing key is used for in the store. */
export interface TrustSeal {
  /** Names the sealing key, hex. */
  readonly keyId: string;
  mac(table: string, fields: readonly MacField[]): Uint8Array;
  verify(table: string, fields: readonly MacField[], mac: Uint8Array | null | undefined): boolean;
  seal(place: SealedPlace, plain: Uint8Array): Uint8Array;
  /** Throws `failed_precondition` (SEALING_KEY_WRONG) or `data_loss` (SEALED_FORGED). */
  open(place: SealedPlace, sealed: Uint8Array): Uint8Array;
}

export function trustSeal(key: SealingKey): TrustSeal {
  return {
    keyId: key.keyId,
    mac: (table, fields) => macRow(key, table, fields),
    verify: (table, fields, mac) => isRowAuthentic(key, table, fields, mac),
    seal: (place, plain) => seal(key, place, plain),
    open: (place, sealed) => unseal(key, place, sealed),
  };
}

/** Throws `data_loss` (TRUST_ROW_UNAUTHENTIC) unless the row was written by a holder of the sealing key. */
export function requireAuthentic(
  seal: TrustSeal,
  table: string,
  fields: readonly MacField[],
  mac: Uint8Array | null | undefined,
): void {
  if (seal.verify(table, fields, mac)) return;
  const message = "a stored trust record was altered; nothing is issued from it";
  throw new WeftError("data_loss", message, { detail: "TRUST_ROW_UNAUTHENTIC", metadata: { table } });
}

/** JSON with sorted keys and no `undefined`: one value, one text. For MACs and audit records. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(sorted(value)) ?? "";
}

function sorted(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(sorted);
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, each]) => [key, sorted(each)]));
}
