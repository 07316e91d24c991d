/**
 * Keys that were unsealed: what is the same sealed bytes of the same place is the same key. Rows are read and authenticated
 * every time; only opening and parsing is done once.
 */

import type { SealedPlace } from "../../certs/seal.ts";
import type { TrustSeal } from "./trust.ts";

/** More keys than an installation has in use; beyond, all of them are opened anew. */
const keptMaxCount = 256;

const opened = new WeakMap<TrustSeal, Map<string, unknown>>();

/**
 * What `make` makes of sealed bytes and of whatever public bytes belong to them. Throws what opening throws
 * (control/store/trust.ts) and what `make` throws; neither is kept.
 */
export function openedKey<T>(
  seal: TrustSeal,
  place: SealedPlace,
  bytes: { readonly sealed: Uint8Array; readonly beside?: Uint8Array },
  make: (plain: Uint8Array) => T,
): T {
  const hex = (each: Uint8Array | undefined): string => (each === undefined ? "" : Buffer.from(each).toString("hex"));
  const name = `${JSON.stringify(place)} ${hex(bytes.sealed)} ${hex(bytes.beside)}`;
  const kept = opened.get(seal) ?? new Map<string, unknown>();
  const known = kept.get(name) as T | undefined;
  if (known !== undefined) return known;
  const made = make(seal.open(place, bytes.sealed));
  if (kept.size >= keptMaxCount) kept.clear();
  opened.set(seal, kept.set(name, made));
  return made;
}
