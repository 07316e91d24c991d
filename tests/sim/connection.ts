/**
 * Connections between the two simulated edges, in the shape that `edge/` uses them: the ends of a TLS connection with HTTP/2
 * streams on it. What they do follows what real ones were seen to do: a peer that is gone shows as an error, as a closed
 * stream, or as a clean end; a reset does not reach the far end while the path is frozen; write callbacks wait for the kernel.
 */

import { EventEmitter } from "node:events";
import type { Timer } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import type { SimProcess } from "./loop.ts";
import type { Chunk, Net } from "./net.ts";
import { Way } from "./net.ts";

interface PendingWrite {
  readonly sizeBytes: number;
  readonly done: (error?: Error | null) => void;
}

const gone = (): Error => new Error("the connection is gone");

/** One end of one stream: as much of `Http2Stream` as attachments use. */
export class SimStream extends EventEmitter {
  readonly id: number;
  readonly #end: ConnectionEnd;
  destroyed = false;
  rstCode = 0;
  #endedHere = false;
  #endedThere = false;

  constructor(id: number, end: ConnectionEnd) {
    super();
    this.id = id;
    this.#end = end;
  }

  cork(): void {}
  uncork(): void {}
  resume(): void {}

  write(bytes: Buffer, done: (error?: Error | null) => void): void {
    if (this.destroyed) process.nextTick(done, gone());
    else this.#end.write(this.id, bytes, done);
  }

  end(): void {
    if (this.destroyed || this.#endedHere) return;
    this.#endedHere = true;
    this.#end.send({ kind: "end", sizeBytes: 9, streamId: this.id });
    if (this.#endedThere) this.#close();
  }

  close(code: number): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.rstCode = code;
    this.#end.send({ kind: "stop", sizeBytes: 13, streamId: this.id });
    process.nextTick(() => this.#close());
  }

  arrived(chunk: Chunk): void {
    if (this.destroyed) return;
    if (chunk.bytes !== undefined) this.#data(chunk.bytes);
    else if (chunk.kind === "end") {
      this.#endedThere = true;
      this.emit("end");
      if (this.#endedHere) this.#close();
    } else this.fail("error");
  }

  /** In one piece, or in two: messages do not know where they are split. */
  #data(bytes: Buffer): void {
    const at = bytes.length % 5 === 0 ? bytes.length >> 1 : 0;
    if (at > 0) this.emit("data", bytes.subarray(0, at));
    if (!this.destroyed) this.emit("data", bytes.subarray(at));
  }

  /** The stream is over because something below it is. */
  fail(shows: "error" | "end" | "close"): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.rstCode = 8;
    if (shows === "error" && this.listenerCount("error") > 0) this.emit("error", gone());
    else if (shows === "end") this.emit("end");
    this.#close();
  }

  #close(): void {
    this.destroyed = true;
    this.#end.streamOver(this.id);
    this.emit("close");
  }
}

/** One end of a connection: as much of `PathConnection` as trunks use. */
export class ConnectionEnd {
  readonly id: number;
  readonly path: EndPath;
  readonly exporter: Buffer;
  /** Acceptor: gets streams that the far end opened. */
  onStream: ((stream: SimStream) => void) | undefined;
  readonly #process: SimProcess;
  readonly #streams = new Map<number, SimStream>();
  readonly #onClosed: (() => void)[] = [];
  readonly #writes: PendingWrite[] = [];
  readonly #kernelBytes: number;
  readonly #shows: "error" | "end" | "close";
  out: Way | undefined;
  /** Told when this end gives the connection up. */
  givesUp: ((end: ConnectionEnd) => void) | undefined;
  closed = false;
  gone = false;
  #grace: Timer | undefined;
  #lastStreamId = 0;
  #ending = false;

  constructor(id: number, exporter: Buffer, path: EndPath, process: SimProcess, random: () => number) {
    this.id = id;
    this.exporter = exporter;
    this.path = path;
    this.#process = process;
    this.#kernelBytes = 30_000 + random() * 400_000;
    this.#shows = (["error", "end", "close"] as const)[Math.floor(random() * 3)] ?? "error";
    path.raw.resetAndDestroy = () => this.destroy();
  }

  openStream(): SimStream {
    this.#lastStreamId += 1;
    const stream = new SimStream(this.#lastStreamId, this);
    this.#streams.set(stream.id, stream);
    this.send({ kind: "open", sizeBytes: 60, streamId: stream.id });
    return stream;
  }

  onClosed(listener: () => void): void {
    if (this.gone) listener();
    else this.#onClosed.push(listener);
  }

  destroy(): void {
    if (this.closed) return;
    this.givesUp?.(this);
    this.closed = true;
    this.send({ kind: "reset", sizeBytes: 0, streamId: 0 });
    this.#process.soon(() => this.#released());
  }

  close(): void {
    if (this.closed || this.#ending) return;
    this.#ending = true;
    this.send({ kind: "goaway", sizeBytes: 17, streamId: 0 });
    if (this.#streams.size === 0) this.#finish();
    else this.#closeSoon();
  }

  #closeSoon(): void {
    this.#grace ??= this.#process.clock.after(limits.trunkCloseGraceMs, () => this.destroy());
  }

  #finish(): void {
    if (this.closed) return;
    this.closed = true;
    this.send({ kind: "fin", sizeBytes: 0, streamId: 0 });
    this.#process.soon(() => this.#released());
  }

  streamOver(id: number): void {
    this.#streams.delete(id);
    if (this.#ending && this.#streams.size === 0) this.#finish();
  }

  send(chunk: Chunk): void {
    if (this.gone) return;
    this.path.raw.bytesWritten += chunk.sizeBytes;
    this.out?.send(chunk);
  }

  /** The callback comes when the kernel has room for what was written. */
  write(streamId: number, bytes: Buffer, done: (error?: Error | null) => void): void {
    const { out } = this;
    this.send({ kind: "data", sizeBytes: bytes.length + 9, streamId, bytes });
    if (out === undefined || out.pendingBytes <= this.#kernelBytes) this.#process.soon(done);
    else this.#writes.push({ sizeBytes: bytes.length, done });
  }

  /** The far end took something: who waits for room may go on. */
  drained(): void {
    const { out } = this;
    while (this.#writes.length > 0 && out !== undefined && out.pendingBytes <= this.#kernelBytes) {
      const { done } = this.#writes.shift() as PendingWrite;
      this.#process.soon(done);
    }
  }

  arrived(chunk: Chunk): void {
    if (this.gone || this.closed) return;
    this.path.raw.bytesRead += chunk.sizeBytes;
    if (chunk.kind === "reset" || chunk.kind === "fin") {
      this.closed = true;
      this.#released();
    } else if (chunk.kind === "goaway") this.#closeSoon();
    else if (chunk.kind === "open") {
      const stream = new SimStream(chunk.streamId, this);
      this.#streams.set(stream.id, stream);
      this.onStream?.(stream);
    } else this.#streams.get(chunk.streamId)?.arrived(chunk);
  }

  #released(): void {
    if (this.gone) return;
    this.gone = true;
    this.closed = true;
    this.#grace?.cancel();
    this.path.raw.destroyed = true;
    for (const { done } of this.#writes.splice(0)) done(gone());
    for (const stream of [...this.#streams.values()]) stream.fail(this.#shows);
    this.path.close();
    for (const listener of this.#onClosed.splice(0)) listener();
  }
}

export interface PathNews {
  readonly kind: "draining" | "revoked" | "closing";
  readonly nodeId?: string;
}

/** What an edge is given for a path, in the shape of `EdgePath`. */
export class EndPath {
  readonly hops: readonly string[];
  readonly raw = { bytesRead: 0, bytesWritten: 0, destroyed: false, resetAndDestroy: (): void => {} };
  readonly tls = {};
  readonly trunkId: Buffer;
  readonly peerKey = "e";
  readonly organizationId = "org-1";
  readonly context = "";
  expiresAtMs: number | undefined;
  end: ConnectionEnd | undefined;
  closedCount = 0;
  readonly #listeners = new Set<(news: PathNews) => void>();
  #news: PathNews | undefined;

  constructor(hops: readonly string[], trunkId: Buffer, expiresAtMs: number | undefined) {
    this.hops = hops;
    this.trunkId = trunkId;
    this.expiresAtMs = expiresAtMs;
  }

  close(): void {
    this.closedCount += 1;
  }

  onEvent(listener: (news: PathNews) => void): () => void {
    this.#listeners.add(listener);
    if (this.#news !== undefined) listener(this.#news);
    return () => this.#listeners.delete(listener);
  }

  tell(news: PathNews): void {
    this.#news = news;
    for (const listener of [...this.#listeners]) listener(news);
  }
}

/** A connection between two edges over a list of nodes. */
export class SimConnection {
  readonly hops: readonly string[];
  readonly near: ConnectionEnd;
  readonly far: ConnectionEnd;

  constructor(net: Net, ids: readonly [number, number], paths: readonly [EndPath, EndPath], processes: EdgeProcesses) {
    const [nearPath, farPath] = paths;
    this.hops = nearPath.hops;
    const exporter = Buffer.alloc(32, ids[0] % 251);
    exporter.writeUInt32BE(ids[0]);
    const chance = (): number => net.random.float();
    const near = new ConnectionEnd(ids[0], exporter, nearPath, processes.near, chance);
    const far = new ConnectionEnd(ids[1], exporter, farPath, processes.far, chance);
    this.near = near;
    this.far = far;
    nearPath.end = near;
    farPath.end = far;
    near.out = this.#way(net, this.hops, near, far, processes.far);
    far.out = this.#way(net, [...this.hops].reverse(), far, near, processes.near);
  }

  #way(net: Net, hops: readonly string[], from: ConnectionEnd, to: ConnectionEnd, process: SimProcess): Way {
    const heard = new Set<number>();
    return new Way(net, hops, (chunk) => {
      // The first message of a stream is an Attach, or answers one: somebody may wait for it with a promise.
      if (chunk.kind !== "data" || !heard.has(chunk.streamId)) net.loop.settles();
      if (chunk.kind === "data") heard.add(chunk.streamId);
      process.arrives(() => {
        to.arrived(chunk);
        from.drained();
        // Bytes for an end that is gone are answered by its kernel.
        if (to.gone && chunk.kind !== "reset" && chunk.kind !== "fin") to.out?.send(resetChunk);
      });
      if (chunk.kind === "reset" || chunk.kind === "fin") from.out?.close();
    });
  }

  get over(): boolean {
    return this.near.gone && this.far.gone;
  }
}

const resetChunk: Chunk = { kind: "reset", sizeBytes: 0, streamId: 0 };

export interface EdgeProcesses {
  readonly near: SimProcess;
  readonly far: SimProcess;
}
