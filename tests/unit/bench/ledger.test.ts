/** The instruments of the benches must be able to see what they look for: loss, duplication, corruption, gaps. */

import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ChannelLedger, type SentTotals, verdictOf } from "../../../bench/load/ledger.ts";
import { writeMessage } from "../../../bench/load/message.ts";
import { DelayWindow, quantileOfSorted, reportOf, spreadOf } from "../../../bench/load/statistics.ts";

const sizeBytes = 100;

function messages(count: number, channel = 3): Buffer[] {
  return Array.from({ length: count }, (_, seq) => {
    const bytes = Buffer.alloc(sizeBytes);
    writeMessage(bytes, 0, { channel, seq, sizeBytes, intendedMs: seq * 2.5, window: 1 });
    return bytes;
  });
}

function sent(bytes: Buffer): SentTotals {
  return { channel: 3, bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
}

/** Takes the bytes in pieces of any size; the verdict on them. */
function judge(arrived: Buffer, of: Buffer, pieceBytes = 37) {
  const ledger = new ChannelLedger();
  const seen: number[] = [];
  for (let at = 0; at < arrived.length; at += pieceBytes)
    ledger.take(arrived.subarray(at, at + pieceBytes), (message) => seen.push(message.intendedMs));
  return { seen, verdict: verdictOf([sent(of)], new Map([[3, ledger.totals()]])) };
}

describe("a channel's ledger", () => {
  const all = messages(10);
  const whole = Buffer.concat(all);

  it.each([1, 31, 32, 100, 101, 5_000])("verifies what arrived whole, in pieces of %i bytes", (pieceBytes) => {
    const { seen, verdict } = judge(whole, whole, pieceBytes);
    expect(verdict).toEqual({ bytesVerified: 1_000, bytesLost: 0, bytesDuplicated: 0, badChannels: [] });
    expect(seen).toEqual(all.map((_, seq) => seq * 2.5));
  });

  it("counts what is missing at the end or in the middle as lost", () => {
    expect(judge(whole.subarray(0, 750), whole).verdict).toMatchObject({ bytesLost: 300, bytesVerified: 0 });
    const hole = Buffer.concat([...all.slice(0, 4), ...all.slice(6)]);
    expect(judge(hole, whole).verdict).toMatchObject({ bytesLost: 200, bytesDuplicated: 0, badChannels: [3] });
  });

  it("counts what came twice as duplicated", () => {
    const twice = Buffer.concat([...all.slice(0, 6), ...all.slice(4)]);
    expect(judge(twice, whole).verdict).toMatchObject({ bytesLost: 0, bytesDuplicated: 200, badChannels: [3] });
  });

  it("does not believe a payload with another hash, nor what follows garbage", () => {
    const flipped = Buffer.from(whole);
    flipped[450] = (flipped[450] ?? 0) ^ 1;
    expect(judge(flipped, whole).verdict).toMatchObject({ bytesLost: 1_000, bytesVerified: 0, badChannels: [3] });
    const shifted = Buffer.concat([whole.subarray(0, 200), whole.subarray(201)]);
    expect(judge(shifted, whole).verdict).toMatchObject({ bytesLost: 800, badChannels: [3] });
  });

  it("counts a channel nothing arrived on as lost", () => {
    expect(verdictOf([sent(whole)], new Map())).toMatchObject({ bytesLost: 1_000, badChannels: [3] });
  });
});

describe("statistics", () => {
  it("takes nearest ranks", () => {
    expect(quantileOfSorted([1, 2, 3, 4], 0.5)).toBe(2);
    expect(quantileOfSorted([], 0.5)).toBe(0);
    expect(spreadOf([5, 1, 3, 2, 4])).toEqual({ p50: 3, p95: 5, max: 5 });
  });

  it("names the channel of the worst delay", () => {
    const window = new DelayWindow();
    for (let channel = 0; channel < 5; channel += 1) window.add(channel, channel === 2 ? 90 : channel);
    expect(reportOf(window)).toMatchObject({ messages: 5, p50Ms: 3, maxMs: 90, worstChannel: 2 });
  });
});
