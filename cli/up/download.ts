/**
 * `/download?bytes=N&rate=N` of the demo's web target: bytes that are the same every time, at a steady pace, so that whoever
 * hurts the fabric meanwhile can see that none is missing. The length is announced: a shorter answer is an error to curl.
 */

import type { ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

/** 10 GB: more than anybody waits for. */
const bytesMaxCount = 10_000_000_000;
const bytesDefaultCount = 10_000_000;
const rateMaxBytesPerSecond = 50_000_000;
const rateDefaultBytesPerSecond = 1_000_000;
/** How often a piece is sent. */
const pieceEveryMs = 50;
const lineBytes = 16;

/** The bytes from `from` up to `to` of an endless text of numbered lines, 15 digits each. */
export function numberedBytes(from: number, to: number): Buffer {
  const firstLine = Math.floor(from / lineBytes);
  const lines = Array.from({ length: Math.ceil(to / lineBytes) - firstLine }, (_, at) =>
    `${firstLine + at}\n`.padStart(lineBytes, "0"),
  );
  const start = from - firstLine * lineBytes;
  return Buffer.from(lines.join("")).subarray(start, start + to - from);
}

/** A whole number of a query from 1 to `max`, or undefined when it is none. */
function countOf(text: string | null, absent: number, max: number): number | undefined {
  if (text === null) return absent;
  const value = Number(text);
  return /^\d{1,11}$/.test(text) && value >= 1 && value <= max ? value : undefined;
}

/** Streams what was asked for; resolves when all of it is written or the caller left. */
export async function download(query: URLSearchParams, response: ServerResponse): Promise<void> {
  const bytes = countOf(query.get("bytes"), bytesDefaultCount, bytesMaxCount);
  const rate = countOf(query.get("rate"), rateDefaultBytesPerSecond, rateMaxBytesPerSecond);
  response.setHeader("content-type", "text/plain; charset=utf-8");
  if (bytes === undefined || rate === undefined) {
    response.statusCode = 400;
    response.end(`bytes is 1 to ${bytesMaxCount}, rate is 1 to ${rateMaxBytesPerSecond} bytes a second\n`);
    return;
  }
  response.setHeader("content-length", bytes);
  const startedMs = performance.now();
  let sent = 0;
  while (sent < bytes && !response.destroyed) {
    const due = Math.min(bytes, Math.ceil((rate * (performance.now() - startedMs + pieceEveryMs)) / 1_000));
    // A reader that falls behind must not get it all in one piece afterwards.
    const upTo = Math.min(due, sent + Math.ceil(rate / 10));
    if (upTo > sent && response.writableLength === 0) {
      response.write(numberedBytes(sent, upTo));
      sent = upTo;
    }
    await delay(pieceEveryMs);
  }
  response.end();
}
