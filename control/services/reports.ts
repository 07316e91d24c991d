/** Checks of what nodes report: numbers that are numbers, texts that are short and plain, counts within bounds. */

import { limits } from "../../lib/limits.ts";
import { invalid, plainText } from "./service-context.ts";

/** A counter from the wire as a number. Throws `invalid_argument` beyond what a store keeps exactly. */
export function counter(field: string, value: bigint): number {
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid(field, `${field} is out of range`);
  return Number(value);
}

/** A finite number of [min, max]. Throws `invalid_argument`. */
export function within(field: string, value: number, min: number, max: number): number {
  if (!(value >= min && value <= max)) throw invalid(field, `${field} is out of range`);
  return value;
}

/** A short text without control characters, empty allowed. Throws `invalid_argument`. */
export function shortText(field: string, text: string): string {
  return plainText(field, text, limits.reportedTextMaxBytes);
}

/** An id that a node made itself: not empty, bounded, plain. Throws `invalid_argument`. */
export function ownId(field: string, text: string, maxChars: number): string {
  if (text === "") throw invalid(field, `${field} is needed`);
  return plainText(field, text, maxChars);
}

/** At most `maxCount` of something. Throws `invalid_argument`. */
export function atMost<T>(field: string, list: readonly T[], maxCount: number): readonly T[] {
  if (list.length > maxCount) throw invalid(field, `${field}: at most ${maxCount}`);
  return list;
}
