/**
 * Exports of the audit log as files: written line by line and continued where they broke off, read line by line and checked
 * without any server. Neither takes memory by the length of the log.
 */

import {
  closeSync,
  createReadStream,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { StringDecoder } from "node:string_decoder";
import { type AuditFault, type AuditHead, type AuditRecord, ChainWalk } from "../fabric/audit/chain.ts";
import {
  ExportCheck,
  type ExportHeader,
  type ExportReport,
  type ExportTrailer,
  headerText,
  parseHeader,
  parseRecord,
  parseTrailer,
  recordText,
  trailerText,
} from "../fabric/audit/export-file.ts";
import type { Testimony } from "../fabric/audit/witness.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";

/** Lines of a file without their ends. A line that is too long to be one of an export comes cut, and the rest is skipped. */
export async function* linesOf(path: string): AsyncGenerator<string> {
  const decoder = new StringDecoder("utf8");
  let held = "";
  let skipping = false;
  for await (const chunk of createReadStream(path)) {
    const pieces = decoder.write(chunk as Buffer).split("\n");
    for (const [at, piece] of pieces.entries()) {
      if (!skipping) held += piece;
      if (held.length > limits.auditLineMaxBytes) {
        held = held.slice(0, limits.auditLineMaxBytes + 1);
        skipping = true;
      }
      if (at === pieces.length - 1) continue;
      yield held;
      [held, skipping] = ["", false];
    }
  }
  held += decoder.end();
  if (held !== "") yield held;
}

/** The trailer a file ends with, or undefined. Reads its end only. */
function trailerOf(path: string): ExportTrailer | undefined {
  const descriptor = openSync(path, "r");
  try {
    const { size } = fstatSync(descriptor);
    const bytes = Buffer.alloc(Math.min(size, limits.auditLineMaxBytes + 2));
    readSync(descriptor, bytes, 0, bytes.length, size - bytes.length);
    const lines = bytes.toString("utf8").trimEnd().split("\n");
    return parseTrailer(lines.at(-1) ?? "");
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Checks a file against itself, the witnesses it names and those given.
 * @throws WeftError not_found (AUDIT_FILE) when there is no such file.
 */
export async function checkAuditFile(path: string, testimonies: readonly Testimony[]): Promise<ExportReport> {
  if (!existsSync(path)) throw noSuchFile(path);
  const check = new ExportCheck([...(trailerOf(path)?.witnesses ?? []), ...testimonies]);
  for await (const line of linesOf(path)) check.line(line);
  return check.finish();
}

/** The header of a file. @throws WeftError not_found (AUDIT_FILE), invalid_argument (AUDIT_FILE_OTHER). */
export async function auditFileHeader(path: string): Promise<ExportHeader> {
  if (!existsSync(path)) throw noSuchFile(path);
  for await (const line of linesOf(path)) {
    const header = parseHeader(line);
    if (header !== undefined) return header;
    break;
  }
  throw new WeftError("invalid_argument", `${path} is no export of an audit log`, { detail: "AUDIT_FILE_OTHER" });
}

function noSuchFile(path: string): WeftError {
  return new WeftError("not_found", `there is no file ${path}`, { detail: "AUDIT_FILE" });
}

/** An export being written: `<path>.part` until it is whole. */
export class AuditFileWriter {
  readonly #path: string;
  readonly #descriptor: number;
  readonly #walk: ChainWalk;
  #count: number;
  #last: AuditHead;

  private constructor(path: string, descriptor: number, { at, count }: Begun) {
    this.#path = path;
    this.#descriptor = descriptor;
    this.#walk = new ChainWalk(at);
    this.#count = count;
    this.#last = at;
  }

  /** The last record written. */
  get last(): AuditHead {
    return this.#last;
  }

  get count(): number {
    return this.#count;
  }

  /**
   * Begins a file, or continues what is left of one of the same log, from its last right record on.
   * @throws WeftError failed_precondition (AUDIT_FILE_OTHER).
   */
  static async open(path: string, header: ExportHeader): Promise<AuditFileWriter> {
    const part = `${path}.part`;
    const begun = await beginningOf(part, header);
    if (begun !== undefined) truncateSync(part, begun.bytes);
    const descriptor = openSync(part, begun === undefined ? "w" : "a", 0o600);
    if (begun === undefined) writeAll(descriptor, headerText(header));
    return new AuditFileWriter(path, descriptor, begun ?? { at: header.before, count: 0, bytes: 0 });
  }

  write(records: readonly AuditRecord[]): void {
    for (const record of records) this.#walk.take(record);
    writeAll(this.#descriptor, records.map(recordText).join(""));
    this.#count += records.length;
    this.#last = records.at(-1) ?? this.#last;
  }

  /** Writes the trailer and gives the file its name. Returns what is wrong with the log, as far as it can tell. */
  finish(about: Pick<ExportTrailer, "head" | "witnesses" | "finishedAtMs">): AuditFault | undefined {
    writeAll(this.#descriptor, trailerText({ count: this.#count, last: this.#last, ...about }));
    this.leave();
    renameSync(`${this.#path}.part`, this.#path);
    return this.#walk.finish(this.#last);
  }

  /** Leaves what is there to be continued. */
  leave(): void {
    fsyncSync(this.#descriptor);
    closeSync(this.#descriptor);
  }
}

interface Begun {
  /** The last right record. */
  readonly at: AuditHead;
  readonly count: number;
  /** Of the file, up to its end. */
  readonly bytes: number;
}

/** What of a file can be continued; undefined when there is none. */
async function beginningOf(part: string, header: ExportHeader): Promise<Begun | undefined> {
  if (!existsSync(part)) return undefined;
  const known = await auditFileHeader(part).catch(() => undefined);
  if (known === undefined) return undefined;
  const { installation, before, epoch } = known;
  if (installation !== header.installation || before.seq !== header.before.seq || epoch !== header.epoch) {
    const message = `${part} is left from an export of another log or range; remove it or name another file`;
    throw new WeftError("failed_precondition", message, { detail: "AUDIT_FILE_OTHER" });
  }
  const walk = new ChainWalk(before);
  const { size } = statSync(part);
  let bytes = 0;
  for await (const line of linesOf(part)) {
    const end = bytes + Buffer.byteLength(line) + 1;
    const record = bytes === 0 || end > size ? undefined : parseRecord(line);
    if (record !== undefined) walk.take(record);
    // What is not right, or not whole, is written again.
    if (bytes > 0 && walk.at.seq !== record?.seq) break;
    bytes = end;
  }
  return { at: walk.at, count: walk.count, bytes };
}

function writeAll(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at, bytes.length - at);
}
