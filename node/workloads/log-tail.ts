/**
 * The end of what a workload says, on standard output and standard error, as lines.
 *
 * LT1. Bounded: at most `workloadLogMemoryBytes` in memory, at most twice `workloadLogFileBytes` on disk (`log` and `log.1`),
 *      however much is said; a line longer than `workloadLogLineMaxBytes` becomes several.
 * LT2. Nothing that was taken is dropped before the bound: who says more than `workloadLogBytesPerSecond` is read more slowly
 *      (`roomMs`), and waits in its own writes. An agent carries other people's bytes in the same process.
 * LT3. A follower that is slower than what is said loses the oldest lines and is told how many.
 */

import { closeSync, mkdirSync, openSync, readFileSync, renameSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { RateBucket } from "../../lib/rate-bucket.ts";

export type LogStream = "out" | "err";

export interface LogLine {
  /** One more for every line since the agent started. */
  readonly seq: number;
  readonly atMs: number;
  readonly stream: LogStream;
  readonly text: string;
}

const newline = 0x0a;
/** What a line costs in memory beside its text. */
const lineOverheadBytes = 64;

function sizeOf(line: LogLine): number {
  return Buffer.byteLength(line.text) + lineOverheadBytes;
}

/** `2026-11-22T08:00:00.000Z out text`: how a line stands in the file. */
function fileText({ atMs, stream, text }: Omit<LogLine, "seq">): string {
  return `${new Date(atMs).toISOString()} ${stream} ${text}\n`;
}

function parsedLine(text: string): Omit<LogLine, "seq"> | undefined {
  const match = /^(\S{20,30}) (out|err) (.*)$/s.exec(text);
  const atMs = Date.parse(match?.[1] ?? "");
  return match === null || Number.isNaN(atMs)
    ? undefined
    : { atMs, stream: match[2] === "err" ? "err" : "out", text: match[3] ?? "" };
}

/** An append-only file that is renamed away when it is full. Failing to write loses the file, never the workload. */
class RotatingFile {
  readonly #path: string;
  #descriptor: number | undefined;
  #sizeBytes = 0;

  constructor(folder: string) {
    this.#path = join(folder, "log");
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      this.#open();
    } catch {
      this.#descriptor = undefined;
    }
  }

  append(text: string): void {
    if (this.#descriptor === undefined) return;
    const bytes = Buffer.from(text);
    try {
      if (this.#sizeBytes > 0 && this.#sizeBytes + bytes.length > limits.workloadLogFileBytes) {
        closeSync(this.#descriptor);
        renameSync(this.#path, `${this.#path}.1`);
        this.#open();
      }
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#descriptor, bytes, at);
      this.#sizeBytes += bytes.length;
    } catch {
      this.close();
    }
  }

  /** What the files hold, oldest first. */
  content(): string {
    return [`${this.#path}.1`, this.#path]
      .map((path) => {
        try {
          return readFileSync(path, "utf8");
        } catch {
          return "";
        }
      })
      .join("");
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  #open(): void {
    this.#descriptor = openSync(this.#path, "a", 0o600);
    this.#sizeBytes = statSync(this.#path).size;
  }
}

export class LogTail {
  readonly #clock: Clock;
  readonly #file: RotatingFile;
  readonly #bucket: RateBucket;
  readonly #partial: Record<LogStream, Buffer> = { out: Buffer.alloc(0), err: Buffer.alloc(0) };
  readonly #waiting = new Set<() => void>();
  #lines: LogLine[] = [];
  #sizeBytes = 0;
  #nextSeq = 1;

  constructor(clock: Clock, folder: string) {
    this.#clock = clock;
    this.#file = new RotatingFile(folder);
    this.#bucket = new RateBucket(
      { rateBytesPerSecond: limits.workloadLogBytesPerSecond, burstBytes: limits.workloadLogBurstBytes },
      clock.monoMs(),
    );
    for (const text of this.#file.content().split("\n")) {
      const line = parsedLine(text);
      if (line !== undefined) this.#keep(line);
    }
    this.#forget();
  }

  /** Bytes held in memory, at most. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Takes what was said. */
  take(stream: LogStream, chunk: Buffer): void {
    this.#bucket.take(chunk.length, this.#clock.monoMs());
    let rest = this.#partial[stream].length === 0 ? chunk : Buffer.concat([this.#partial[stream], chunk]);
    const lines: Omit<LogLine, "seq">[] = [];
    const atMs = this.#clock.nowMs();
    for (;;) {
      const end = rest.indexOf(newline);
      const cut = end < 0 || end > limits.workloadLogLineMaxBytes ? limits.workloadLogLineMaxBytes : end;
      if (end < 0 && rest.length < limits.workloadLogLineMaxBytes) break;
      lines.push({ atMs, stream, text: rest.toString("utf8", 0, cut) });
      rest = rest.subarray(cut === end ? cut + 1 : cut);
    }
    // A small slice would keep the whole chunk it is cut from.
    this.#partial[stream] = Buffer.from(rest);
    this.#add(lines);
  }

  /** What was said without a last line end is a line all the same, once there is nobody to go on with it. */
  flush(): void {
    for (const stream of ["out", "err"] as const) {
      const rest = this.#partial[stream];
      this.#partial[stream] = Buffer.alloc(0);
      if (rest.length > 0) this.#add([{ atMs: this.#clock.nowMs(), stream, text: rest.toString("utf8") }]);
    }
  }

  /** How long to wait before more is read; 0: read on (LT2). */
  roomMs(): number {
    return this.#bucket.waitMs(1, this.#clock.monoMs());
  }

  /** The newest lines, oldest first; 0: all that are kept. */
  newest(count: number): readonly LogLine[] {
    return count === 0 ? [...this.#lines] : this.#lines.slice(-count);
  }

  /** Lines behind `seq`, and how many of them are no longer kept. */
  after(seq: number): { readonly lines: readonly LogLine[]; readonly missed: number } {
    const first = this.#lines[0]?.seq ?? this.#nextSeq;
    const at = this.#lines.findIndex((line) => line.seq > seq);
    return { lines: at < 0 ? [] : this.#lines.slice(at), missed: Math.max(0, first - seq - 1) };
  }

  /** The number of the newest line. */
  get lastSeq(): number {
    return this.#nextSeq - 1;
  }

  /** Calls `fn` at every new line; returns how to stop that. */
  onLine(fn: () => void): () => void {
    this.#waiting.add(fn);
    return () => void this.#waiting.delete(fn);
  }

  close(): void {
    this.#file.close();
  }

  #add(lines: readonly Omit<LogLine, "seq">[]): void {
    if (lines.length === 0) return;
    this.#file.append(lines.map(fileText).join(""));
    for (const line of lines) this.#keep(line);
    this.#forget();
    for (const fn of [...this.#waiting]) fn();
  }

  #keep(line: Omit<LogLine, "seq">): void {
    const kept = { ...line, seq: this.#nextSeq++ };
    this.#lines.push(kept);
    this.#sizeBytes += sizeOf(kept);
  }

  #forget(): void {
    let drop = 0;
    for (const line of this.#lines) {
      if (this.#sizeBytes <= limits.workloadLogMemoryBytes) break;
      this.#sizeBytes -= sizeOf(line);
      drop += 1;
    }
    if (drop > 0) this.#lines.splice(0, drop);
  }
}
