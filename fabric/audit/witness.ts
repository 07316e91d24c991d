/**
 * Witnesses of the audit chain: heads that somebody else was shown and kept. A store that lost or replaced records
 * contradicts them, however consistent it is in itself.
 *
 * H1. A witness keeps, per epoch, the highest head it was shown and a bounded number of earlier ones, spread over its past;
 *     heads are never replaced by lower ones.
 * H2. A head that goes back within one epoch, or another hash at a number it has seen, is evidence. A new epoch is a
 *     restore or a failover that control vouches for: heads of the old one are kept, and what is gone is called a gap.
 */

import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { type AuditFault, type AuditRecord, sameHash } from "./chain.ts";

/** A head as somebody was shown it. */
export interface WitnessedHead {
  /** Of the installation when it was the head: a restore raises it. */
  readonly epoch: number;
  readonly seq: number;
  readonly hash: Uint8Array;
}

/** What a node keeps. */
export interface WitnessBook {
  /** SHA-256 of the installation key, hex. */
  readonly installation: string;
  readonly clusterId: string;
  readonly nodeId: string;
  /** Oldest first, by epoch and number. */
  readonly heads: readonly WitnessedHead[];
  /** The head that a later snapshot of the same epoch contradicted first. */
  readonly contradicted?: WitnessedHead;
}

/** The name of a book in a node's data folder. */
export const WITNESS_FILE = "audit-witness.json";

const counter = z.number().int().nonnegative();
const hex32 = z.string().regex(/^[0-9a-f]{64}$/);
const storedHead = z.strictObject({ epoch: counter, seq: counter, hash: hex32 });
const stored = z.strictObject({
  format: z.literal("weft-audit-witness-v1"),
  installation: hex32,
  clusterId: z.string(),
  nodeId: z.string(),
  heads: z.array(storedHead).max(limits.auditWitnessHeadsMaxCount),
  contradicted: storedHead.optional(),
});

const hexOf = (hash: Uint8Array): string => Buffer.from(hash).toString("hex");

/** A book as text. */
export function encodeWitness(book: WitnessBook): string {
  const { installation, clusterId, nodeId } = book;
  const text = ({ epoch, seq, hash }: WitnessedHead) => ({ epoch, seq, hash: hexOf(hash) });
  const heads = book.heads.map(text);
  const contradicted = book.contradicted === undefined ? {} : { contradicted: text(book.contradicted) };
  const whole = { format: "weft-audit-witness-v1", installation, clusterId, nodeId, heads, ...contradicted };
  return `${JSON.stringify(whole)}\n`;
}

/** The book in a text, or undefined when it is none. */
export function parseWitness(text: string): WitnessBook | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = stored.safeParse(json);
  if (!parsed.success) return undefined;
  const { installation, clusterId, nodeId } = parsed.data;
  const read = (head: z.output<typeof storedHead>): WitnessedHead => ({
    ...head,
    hash: new Uint8Array(Buffer.from(head.hash, "hex")),
  });
  const heads = parsed.data.heads.map(read);
  const { contradicted } = parsed.data;
  return {
    ...{ installation, clusterId, nodeId, heads },
    ...(contradicted === undefined ? {} : { contradicted: read(contradicted) }),
  };
}

/** What a head is to a witness that has `heads` (H2). */
export function judgeHead(
  heads: readonly WitnessedHead[],
  next: WitnessedHead,
):
  | { readonly is: "newer" | "known" | "older-epoch" }
  | { readonly is: "back" | "forked"; readonly held: WitnessedHead } {
  const newest = heads.at(-1);
  if (newest === undefined || next.epoch > newest.epoch) return { is: "newer" };
  if (next.epoch < newest.epoch) return { is: "older-epoch" };
  const same = heads.find((head) => head.epoch === next.epoch && head.seq === next.seq);
  if (same !== undefined && !sameHash(same.hash, next.hash)) return { is: "forked", held: same };
  if (next.seq < newest.seq) return { is: "back", held: newest };
  return { is: same === undefined ? "newer" : "known" };
}

/** `heads` with a newer one, thinned where they are densest; the first and the newest of all always stay (H1). */
export function keepHead(heads: readonly WitnessedHead[], next: WitnessedHead): readonly WitnessedHead[] {
  const all = [...heads, next];
  if (all.length <= limits.auditWitnessHeadsMaxCount) return all;
  let least = 1;
  const gap = (at: number): number => {
    const [before, after] = [all[at - 1], all[at + 1]];
    if (before === undefined || after === undefined || before.epoch !== after.epoch) return Number.POSITIVE_INFINITY;
    return after.seq - before.seq;
  };
  for (let at = 2; at < all.length - 1; at += 1) if (gap(at) < gap(least)) least = at;
  return all.toSpliced(least, 1);
}

/** A witnessed head, and whose. */
export interface Testimony extends WitnessedHead {
  /** "node/nd-..." */
  readonly witness: string;
}

export interface WitnessFault extends AuditFault {
  readonly witness: string;
  /** What the witness remembers, and what the chain has there; absent when it has nothing there. */
  readonly witnessed: string;
  readonly chain?: string;
}

/** Holds testimonies against the records of a walk, record by record. */
export class WitnessCheck {
  readonly #waiting: readonly Testimony[];
  readonly #epoch: number;
  readonly #faults: WitnessFault[] = [];
  #next = 0;
  #checked = 0;
  #before = 0;
  #first: number | undefined;

  /** `epoch` is the chain's: a testimony of an earlier one that it contradicts is a gap. */
  constructor(testimonies: readonly Testimony[], epoch: number) {
    this.#waiting = testimonies.filter(({ seq }) => seq > 0).toSorted((a, b) => a.seq - b.seq);
    this.#epoch = epoch;
  }

  /** Testimonies that were compared with a record. */
  get checked(): number {
    return this.#checked;
  }

  /** Testimonies of records before the first one seen: nothing can be said about them. */
  get before(): number {
    return this.#before;
  }

  /** Records in order of their numbers. */
  take(record: AuditRecord): void {
    this.#first ??= record.seq;
    for (;;) {
      const testimony = this.#waiting[this.#next];
      if (testimony === undefined || testimony.seq > record.seq) return;
      this.#next += 1;
      if (testimony.seq < this.#first) this.#before += 1;
      else if (testimony.seq === record.seq) this.#compare(testimony, record);
    }
  }

  /** Everything that is contradicted, once the chain has ended; `isEnd`: it should end there. In order of number. */
  finish(last: number, isEnd: boolean): readonly WitnessFault[] {
    for (const testimony of this.#waiting.slice(this.#next)) {
      if (!isEnd || testimony.seq <= last) continue;
      this.#checked += 1;
      this.#fail(testimony, "AUDIT_CUT", `${testimony.witness} saw record ${testimony.seq}; the chain ends at ${last}`);
    }
    return this.#faults;
  }

  #compare(testimony: Testimony, record: AuditRecord): void {
    this.#checked += 1;
    if (sameHash(testimony.hash, record.hash)) return;
    const why = `${testimony.witness} saw another record ${record.seq} than the chain has`;
    this.#fail(testimony, "AUDIT_FORKED", why, record.hash);
  }

  #fail(testimony: Testimony, code: "AUDIT_CUT" | "AUDIT_FORKED", why: string, chain?: Uint8Array): void {
    const { witness, seq, epoch } = testimony;
    const isGap = epoch < this.#epoch;
    this.#faults.push({
      code: isGap ? "AUDIT_GAP" : code,
      seq,
      why: isGap ? `${why}; it saw it in epoch ${epoch}, before the store was restored to epoch ${this.#epoch}` : why,
      witness,
      witnessed: hexOf(testimony.hash),
      ...(chain === undefined ? {} : { chain: hexOf(chain) }),
    });
  }
}
