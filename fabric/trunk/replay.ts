/**
 * A lane's sent and unacknowledged batches, in order. Invariants: numbers are consecutive; the cursor is the next one to go
 * out on the active attachment; a rewind sets it to the first unacknowledged batch, so what goes out after a move is a
 * consecutive run that starts there.
 */

/** What keeping a small batch costs beside its bytes. */
const BATCH_OVERHEAD_BYTES = 128;

interface Batch {
  readonly seq: number;
  bytes: Buffer;
  /** When it was built, if it holds droppable messages. */
  droppableSinceMs: number | undefined;
  sentAtMs: number;
  sends: number;
}

export interface Acked {
  readonly bytes: number;
  /** How long the newest acknowledged batch was under way; undefined when it went out more than once. */
  readonly delayMs: number | undefined;
  readonly seq: number;
}

export class Replay {
  #batches: Batch[] = [];
  #head = 0;
  #cursorSeq = 1;
  /** The number the next new batch gets. */
  nextSeq = 1;
  /** Kept bytes, with what keeping them costs. */
  costBytes = 0;

  get firstUnackedSeq(): number {
    return this.nextSeq - this.count;
  }

  get count(): number {
    return this.#batches.length - this.#head;
  }

  /** Keeps a new batch; it still has to be taken by `next`. `droppableSinceMs`: now, if it holds droppable messages. */
  push(bytes: Buffer, droppableSinceMs?: number): void {
    this.#batches.push({ seq: this.nextSeq, bytes, droppableSinceMs, sentAtMs: 0, sends: 0 });
    this.nextSeq += 1;
    this.costBytes += bytes.length + BATCH_OVERHEAD_BYTES;
  }

  /** When the oldest unacknowledged batch last went out; undefined when there is none, or it never did. */
  get oldestSentAtMs(): number | undefined {
    const oldest = this.#batches[this.#head];
    return oldest === undefined || oldest.sends === 0 ? undefined : oldest.sentAtMs;
  }

  /** Whether a kept batch waits to go out. */
  get waiting(): boolean {
    return this.#cursorSeq < this.nextSeq;
  }

  /** The next kept batch to write, or undefined when all are out. */
  next(nowMs: number): Buffer | undefined {
    if (this.#cursorSeq >= this.nextSeq) return undefined;
    const batch = this.#batches[this.#head + (this.#cursorSeq - this.firstUnackedSeq)] as Batch;
    this.#cursorSeq += 1;
    batch.sends += 1;
    batch.sentAtMs = nowMs;
    return batch.bytes;
  }

  /** Replaces kept batches whose droppable messages are older than `beforeMs` by what `rewrite` makes of them: no longer ones. */
  thin(beforeMs: number, rewrite: (bytes: Buffer) => Buffer): void {
    for (let i = this.#head; i < this.#batches.length; i += 1) {
      const batch = this.#batches[i] as Batch;
      if (batch.droppableSinceMs === undefined || batch.droppableSinceMs >= beforeMs) continue;
      batch.droppableSinceMs = undefined;
      this.costBytes -= batch.bytes.length;
      batch.bytes = rewrite(batch.bytes);
      this.costBytes += batch.bytes.length;
    }
  }

  /** Starts over at the first unacknowledged batch. Returns the bytes that will go out again. */
  rewind(): number {
    this.#cursorSeq = this.firstUnackedSeq;
    return this.costBytes - this.count * BATCH_OVERHEAD_BYTES;
  }

  /** Drops what the far end has. Returns undefined for old news, "beyond" when it claims what was never sent. */
  ack(nextExpectedSeq: number, nowMs: number): Acked | undefined | "beyond" {
    const first = this.firstUnackedSeq;
    if (nextExpectedSeq > this.nextSeq) return "beyond";
    if (nextExpectedSeq <= first) return undefined;
    let bytes = 0;
    const count = nextExpectedSeq - first;
    const newest = this.#batches[this.#head + count - 1] as Batch;
    // A batch nobody has taken since it was built cannot be in the far end.
    if (newest.sends === 0) return "beyond";
    for (let i = 0; i < count; i += 1) {
      const batch = this.#batches[this.#head + i] as Batch;
      bytes += batch.bytes.length;
      this.#batches[this.#head + i] = undefined as unknown as Batch;
    }
    this.#head += count;
    this.costBytes -= bytes + count * BATCH_OVERHEAD_BYTES;
    if (this.#head > 64 && this.#head * 2 > this.#batches.length) {
      this.#batches = this.#batches.slice(this.#head);
      this.#head = 0;
    }
    if (this.#cursorSeq < nextExpectedSeq) this.#cursorSeq = nextExpectedSeq;
    return { bytes, delayMs: newest.sends === 1 ? nowMs - newest.sentAtMs : undefined, seq: newest.seq };
  }

  clear(): void {
    this.#batches = [];
    this.#head = 0;
    this.costBytes = 0;
    this.#cursorSeq = this.nextSeq;
  }
}
