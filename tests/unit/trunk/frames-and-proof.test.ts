/** gRPC framing, the Attach proof, the channel table, credit and the window loop. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Side } from "../../../fabric/trunk/attach-proof.ts";
import { attachProof, provesAttach } from "../../../fabric/trunk/attach-proof.ts";
import { channelTable } from "../../../fabric/trunk/channel-state.ts";
import { CreditPool, ReceiveCredit } from "../../../fabric/trunk/credit.ts";
import { GrpcDeframer } from "../../../fabric/trunk/grpc-frames.ts";
import type { Attach } from "../../../fabric/trunk/messages.ts";
import { SendQueue } from "../../../fabric/trunk/send-queue.ts";
import { SendWindow } from "../../../fabric/trunk/window.ts";
import { KiB, limits, MiB } from "../../../lib/limits.ts";
import { runs } from "../../harness/counts.ts";

const framed = (payload: Buffer): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
};

describe("the deframer", () => {
  it("finds the same messages however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 20 }),
        (payloads, cuts) => {
          const wire = Buffer.concat(payloads.map((payload) => framed(Buffer.from(payload))));
          const got: Buffer[] = [];
          const deframer = new GrpcDeframer(1_000, (message) => got.push(Buffer.from(message)));
          for (let at = 0, i = 0; at < wire.length; i += 1) {
            const size = cuts[i % cuts.length] as number;
            expect(deframer.push(wire.subarray(at, at + size))).toBe("");
            at += size;
          }
          expect(got).toEqual(payloads.map((payload) => Buffer.from(payload)));
          expect(deframer.partial).toBe(false);
        },
      ),
      { numRuns: runs(200, 5_000) },
    );
  });

  it("refuses a compressed message and one that is too long, before it allocates", () => {
    const deframer = new GrpcDeframer(100, () => {});
    expect(deframer.push(Buffer.from([1, 0, 0, 0, 1, 0]))).toBe("a message is compressed");
    const long = new GrpcDeframer(100, () => {});
    const before = process.memoryUsage().arrayBuffers;
    expect(long.push(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]))).toBe("a message is too long");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 * MiB);
    expect(long.push(Buffer.from([0, 0, 0, 0, 0]))).toBe("a message is too long");
  });
});

describe("the attach proof", () => {
  const secret = Buffer.alloc(32, 1);
  const exporter = Buffer.alloc(32, 2);
  const bare = {
    trunkId: Buffer.alloc(16, 3),
    lane: 1 as const,
    generation: 4,
    nextExpectedSeq: 5,
    ask: Buffer.from("ask"),
    askSignature: Buffer.from("signature"),
  };
  const attach: Attach = { ...bare, proof: attachProof(secret, "initiator", exporter, bare) };
  const flipped = (bytes: Uint8Array): Buffer => {
    const copy = Buffer.from(bytes);
    copy[0] = (copy[0] as number) ^ 1;
    return copy;
  };
  const proves = (
    changed: Partial<Attach>,
    side: Side = "initiator",
    s: Uint8Array = secret,
    e: Uint8Array = exporter,
  ): boolean => provesAttach(s, side, e, { ...attach, ...changed });

  it("LAW-T5 holds for what was signed and for nothing else", () => {
    expect(proves({})).toBe(true);
    expect(proves({ trunkId: flipped(attach.trunkId) })).toBe(false);
    expect(proves({ lane: 2 })).toBe(false);
    expect(proves({ generation: 5 })).toBe(false);
    expect(proves({ nextExpectedSeq: 6 })).toBe(false);
    expect(proves({ ask: flipped(attach.ask) })).toBe(false);
    expect(proves({ askSignature: flipped(attach.askSignature) })).toBe(false);
    expect(proves({ proof: flipped(attach.proof) })).toBe(false);
    // Bytes moved from one field to its neighbour.
    expect(proves({ ask: Buffer.from("asks"), askSignature: Buffer.from("ignature") })).toBe(false);
  });

  it("LAW-T5 refuses a reflected side, another connection, another trunk's secret and any wrong length", () => {
    expect(proves({}, "acceptor")).toBe(false);
    expect(proves({}, "initiator", secret, flipped(exporter))).toBe(false);
    expect(proves({}, "initiator", flipped(secret))).toBe(false);
    for (const length of [0, 31, 33]) expect(proves({ proof: Buffer.alloc(length) })).toBe(false);
    expect(proves({ trunkId: Buffer.alloc(15, 3) })).toBe(false);
  });
});

describe("the channel table", () => {
  const states = Object.keys(channelTable) as (keyof typeof channelTable)[];

  it("answers every event in every state, and never leaves the end", () => {
    for (const state of states) {
      for (const [event, outcome] of Object.entries(channelTable[state])) {
        const known = outcome === "ignore" || outcome === "violation" || outcome === "bug" || outcome in channelTable;
        expect(known, `${state} x ${event}`).toBe(true);
        if (state === "closed" || state === "reset") expect(outcome).toBe("ignore");
      }
    }
  });

  it("lets either end reset at any time, and closes only when both half-closed", () => {
    for (const state of states) {
      if (state === "closed" || state === "reset") continue;
      expect(channelTable[state].send_reset).toBe("reset");
      expect(channelTable[state].recv_reset).toBe("reset");
      const closes = Object.entries(channelTable[state]).filter(([, outcome]) => outcome === "closed");
      const expected = state === "half_local" ? ["recv_half"] : state === "half_remote" ? ["send_half"] : [];
      expect(closes.map(([event]) => event)).toEqual(expected);
    }
  });

  it("takes no data before the far edge accepted, and none after its half-close", () => {
    for (const state of ["opening", "opening_half_local", "half_remote", "offered_half_remote"] as const) {
      expect(channelTable[state].recv_data).toBe("violation");
    }
  });
});

describe("LAW-T3 credit", () => {
  it("grows by consumption, stays within its pools, and is given back", () => {
    const process = new CreditPool(1 * MiB);
    const trunk = new CreditPool(512 * KiB, process);
    const channels = Array.from({ length: 50 }, () => new ReceiveCredit(trunk, 0));
    for (let round = 1; round < 400; round += 1) {
      for (const credit of channels) {
        expect(credit.received(credit.limitBytes - credit.receivedBytes)).toBe(true);
        credit.consumed(credit.receivedBytes, round);
      }
      expect(trunk.usedBytes).toBeLessThanOrEqual(512 * KiB);
      expect(process.usedBytes).toBe(trunk.usedBytes);
    }
    expect(trunk.usedBytes).toBeGreaterThan(400 * KiB);
    for (const credit of channels) expect(credit.windowBytes).toBeGreaterThanOrEqual(limits.channelCreditStartBytes);
    for (const credit of channels) credit.release();
    expect(process.usedBytes).toBe(0);
  });

  it("does not grow for a slow reader, and notices an overrun by one byte", () => {
    const credit = new ReceiveCredit(new CreditPool(64 * MiB), 0);
    for (let second = 1; second < 100; second += 1) {
      credit.received(8 * KiB);
      credit.consumed(credit.receivedBytes, second * 1_000);
    }
    expect(credit.windowBytes).toBe(limits.channelCreditStartBytes);
    expect(credit.received(credit.limitBytes - credit.receivedBytes)).toBe(true);
    expect(credit.received(1)).toBe(false);
  });

  it("keeps its share until the reader has taken what arrived", () => {
    const pool = new CreditPool(64 * MiB);
    const credit = new ReceiveCredit(pool, 0);
    for (let round = 1; round < 5; round += 1) {
      credit.received(credit.limitBytes - credit.receivedBytes);
      credit.consumed(credit.receivedBytes, round);
    }
    credit.received(1_000);
    credit.finish();
    expect(pool.usedBytes).toBeGreaterThan(0);
    credit.consumed(credit.receivedBytes, 10);
    expect(pool.usedBytes).toBe(0);
  });
});

describe("the send queue", () => {
  it("LAW-T1 gives back the bytes in order, whatever callers do to theirs afterwards", () => {
    const step = fc.oneof(
      fc.record({ put: fc.integer({ min: 1, max: 40_000 }), given: fc.boolean() }),
      fc.record({ take: fc.integer({ min: 1, max: 70_000 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const queue = new SendQueue();
        const expected: Buffer[] = [];
        const got: Buffer[] = [];
        let value = 0;
        for (const s of steps) {
          if ("take" in s) {
            const piece = queue.take(s.take);
            if (piece !== undefined) got.push(Buffer.from(piece));
            continue;
          }
          const chunk = Buffer.alloc(s.put).map(() => value++ & 0xff) as Buffer;
          expected.push(Buffer.from(chunk));
          if (s.given) queue.give(chunk);
          else {
            queue.copy(chunk);
            chunk.fill(0xee);
          }
        }
        for (let piece = queue.take(1 * MiB); piece !== undefined; piece = queue.take(1 * MiB))
          got.push(Buffer.from(piece));
        expect(queue.bytes).toBe(0);
        expect(Buffer.concat(got).equals(Buffer.concat(expected))).toBe(true);
      }),
      { numRuns: runs(40, 2_000) },
    );
  });
});

describe("the window loop", () => {
  /** A link that carries `bytesPerMs` after `rttMs`; the sender keeps it as full as the window allows. */
  function drive(bytesPerMs: number, rttMs: number, seconds: number): { sizes: number[]; leastDelayMs: number } {
    const window = new SendWindow(limits.bulkWindowStartBytes, limits.bulkWindowMaxBytes);
    const batch = 64 * KiB;
    const flying: { seq: number; sentMs: number; doneMs: number }[] = [];
    let linkFreeMs = 0;
    let seq = 1;
    let lastDelay = 0;
    const sizes: number[] = [];
    for (let now = 0; now < seconds * 1_000; now += 1) {
      while (flying[0] !== undefined && flying[0].doneMs <= now) {
        const done = flying.shift() as (typeof flying)[number];
        lastDelay = now - done.sentMs;
        window.acked(now, batch, lastDelay, done.seq, seq);
      }
      while ((flying.length + 1) * batch <= window.sizeBytes) {
        linkFreeMs = Math.max(now, linkFreeMs) + batch / bytesPerMs;
        flying.push({ seq: seq++, sentMs: now, doneMs: linkFreeMs + rttMs });
      }
      window.heldBack();
      sizes.push(window.sizeBytes);
    }
    return { sizes, leastDelayMs: lastDelay };
  }

  it("opens up to what a fast long path needs", () => {
    const { sizes } = drive(100_000, 50, 4);
    expect(sizes.at(-1)).toBeGreaterThanOrEqual(4 * MiB);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(limits.bulkWindowMaxBytes);
  });

  it("does not fill the queues of a narrow one", () => {
    const { sizes, leastDelayMs } = drive(12_500, 50, 10);
    expect(sizes.at(-1)).toBeLessThanOrEqual(1.5 * MiB);
    expect(leastDelayMs).toBeLessThanOrEqual(50 + 50);
  });
});
