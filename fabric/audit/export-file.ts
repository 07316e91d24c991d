/**
 * An export of the audit chain: a text of one JSON object per line. A header says where it begins and of which
 * installation, then come the records, then a trailer says where it ends, what the head was and who had witnessed which.
 * A file without its trailer is not whole, whatever it holds.
 */

import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { type AuditFault, type AuditHead, type AuditRecord, ChainWalk, ZERO_HASH } from "./chain.ts";
import { type Testimony, WitnessCheck, type WitnessFault } from "./witness.ts";

const FORMAT = "weft-audit-export-v1";

export interface ExportHeader {
  /** SHA-256 of the installation key, hex. */
  readonly installation: string;
  readonly trustDomain: string;
  readonly epoch: number;
  /** The record before the first one: number 0 and zeros for a whole chain. */
  readonly before: AuditHead;
  readonly startedAtMs: number;
}

export interface ExportTrailer {
  readonly count: number;
  /** The last record of the file. */
  readonly last: AuditHead;
  /** The head of the chain when it was exported. */
  readonly head: AuditHead;
  readonly witnesses: readonly Testimony[];
  readonly finishedAtMs: number;
}

const counter = z.number().int().nonnegative();
const hash = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .transform((text) => new Uint8Array(Buffer.from(text, "hex")));
const head = z.strictObject({ seq: counter, hash });
const headerLine = z.strictObject({
  format: z.literal(FORMAT),
  installation: z.string().regex(/^[0-9a-f]{64}$/),
  trustDomain: z.string(),
  epoch: counter,
  before: head,
  startedAtMs: counter,
});
const recordLine = z.strictObject({
  seq: counter,
  atMs: counter,
  actor: z.string(),
  clusterId: z.string(),
  organizationId: z.string(),
  action: z.string(),
  object: z.string(),
  beforeJson: z.string(),
  afterJson: z.string(),
  result: z.string(),
  prevHash: hash,
  hash,
});
const testimony = z.strictObject({ witness: z.string(), epoch: counter, seq: counter, hash });
const trailerLine = z.strictObject({
  end: z.literal(true),
  count: counter,
  last: head,
  head,
  witnesses: z.array(testimony),
  finishedAtMs: counter,
});

function lineOf(value: object): string {
  const text = JSON.stringify(value, (_key, each: unknown) =>
    each instanceof Uint8Array ? Buffer.from(each).toString("hex") : each,
  );
  return `${text}\n`;
}

/** What of a record, or of anything like one, says where a chain stands. */
const headOf = ({ seq, hash: own }: AuditHead): AuditHead => ({ seq, hash: own });

export function headerText({ installation, trustDomain, epoch, before, startedAtMs }: ExportHeader): string {
  const started = Math.floor(startedAtMs);
  return lineOf({ format: FORMAT, installation, trustDomain, epoch, before: headOf(before), startedAtMs: started });
}

export function recordText(record: AuditRecord): string {
  const { seq, atMs, actor, clusterId, organizationId, action, object, beforeJson, afterJson, result } = record;
  const { prevHash, hash: own } = record;
  return lineOf({
    ...{ seq, atMs, actor, clusterId, organizationId, action, object, beforeJson, afterJson, result },
    ...{ prevHash, hash: own },
  });
}

export function trailerText({ count, last, head, witnesses, finishedAtMs }: ExportTrailer): string {
  const told = witnesses.map(({ witness, epoch, seq, hash: own }) => ({ witness, epoch, seq, hash: own }));
  const heads = { last: headOf(last), head: headOf(head) };
  return lineOf({ end: true, count, ...heads, witnesses: told, finishedAtMs: Math.floor(finishedAtMs) });
}

/** What became of checking an export. */
export interface ExportReport {
  readonly ok: boolean;
  /** Absent: the file has no header. */
  readonly header?: ExportHeader;
  /** Absent: the file does not end as an export does. */
  readonly trailer?: ExportTrailer;
  /** Records that are right, from the first on. */
  readonly count: number;
  readonly last: AuditHead;
  /** The first record that is wrong, by the chain or by a witness. */
  readonly fault?: AuditFault;
  readonly witnessFaults: readonly WitnessFault[];
  readonly witnessesChecked: number;
  /** Witnessed heads that say nothing about this file: they are from before its first record, or after a range's end. */
  readonly witnessesOutside: number;
}

/** The header of an export, or undefined when the line is none. For whoever continues a file. */
export function parseHeader(line: string): ExportHeader | undefined {
  return parsed(headerLine, line);
}

/** The record of a line, or undefined. */
export function parseRecord(line: string): AuditRecord | undefined {
  return parsed(recordLine, line);
}

/** The trailer of a line, or undefined. A second reading can then hold the file against the witnesses it names itself. */
export function parseTrailer(line: string): ExportTrailer | undefined {
  return parsed(trailerLine, line);
}

function parsed<T>(schema: z.ZodType<T>, line: string): T | undefined {
  if (line.length > limits.auditLineMaxBytes) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return undefined;
  }
  const outcome = schema.safeParse(json);
  return outcome.success ? outcome.data : undefined;
}

/** Checks an export line by line, in memory that does not depend on its length, against the testimonies it is given. */
export class ExportCheck {
  readonly #testimonies: readonly Testimony[];
  #header: ExportHeader | undefined;
  #trailer: ExportTrailer | undefined;
  #walk = new ChainWalk();
  #witnesses: WitnessCheck;
  #fault: AuditFault | undefined;
  #last: AuditHead = { seq: 0, hash: ZERO_HASH };

  constructor(testimonies: readonly Testimony[] = []) {
    this.#testimonies = testimonies;
    this.#witnesses = new WitnessCheck(testimonies, 0);
  }

  get header(): ExportHeader | undefined {
    return this.#header;
  }

  line(text: string): void {
    if (this.#header === undefined) this.#begin(text);
    else if (this.#trailer !== undefined) this.#malformed("there is something after the trailer");
    else this.#next(text);
  }

  finish(): ExportReport {
    const [header, trailer] = [this.#header, this.#trailer];
    if (header === undefined) this.#malformed("the file does not begin as an export does");
    const fault = this.#fault ?? this.#walk.finish(trailer?.last) ?? this.#endFault(trailer);
    const { seq } = this.#last;
    const isEnd = trailer === undefined || trailer.head.seq <= trailer.last.seq;
    const witnessFaults = this.#witnesses.finish(seq, isEnd);
    const [first] = witnessFaults;
    const worst = fault ?? (first === undefined ? undefined : { code: first.code, seq: first.seq, why: first.why });
    const witnessesChecked = this.#witnesses.checked;
    return {
      ok: worst === undefined,
      ...(header === undefined ? {} : { header }),
      ...(trailer === undefined ? {} : { trailer }),
      count: this.#walk.count,
      last: this.#walk.at,
      ...(worst === undefined ? {} : { fault: worst }),
      witnessFaults,
      witnessesChecked,
      witnessesOutside: this.#testimonies.filter(({ seq }) => seq > 0).length - witnessesChecked,
    };
  }

  #begin(text: string): void {
    const header = parseHeader(text);
    if (header === undefined) {
      this.#malformed("the file does not begin as an export does");
      return;
    }
    this.#header = header;
    this.#walk = new ChainWalk(header.before);
    this.#witnesses = new WitnessCheck(this.#testimonies, header.epoch);
  }

  #next(text: string): void {
    const record = parseRecord(text);
    if (record !== undefined) {
      this.#walk.take(record);
      this.#witnesses.take(record);
      this.#last = record;
      return;
    }
    const trailer = parseTrailer(text);
    if (trailer === undefined) this.#malformed(`what follows record ${this.#last.seq} is no record`);
    else this.#trailer = trailer;
  }

  #endFault(trailer: ExportTrailer | undefined): AuditFault | undefined {
    const { seq } = this.#last;
    if (trailer === undefined) {
      const why = `the file breaks off after record ${seq}: its end was cut, or the export was never finished`;
      return { code: "AUDIT_CUT", seq: seq + 1, why };
    }
    if (trailer.count === this.#walk.count && trailer.head.seq >= seq) return undefined;
    const why = `the trailer tells of ${trailer.count} records up to head ${trailer.head.seq}; the file holds ${this.#walk.count}`;
    return { code: "AUDIT_MALFORMED", seq, why };
  }

  #malformed(why: string): void {
    const seq = this.#walk.at.seq + 1;
    this.#fault ??= this.#walk.finish() ?? { code: "AUDIT_MALFORMED", seq, why };
  }
}
