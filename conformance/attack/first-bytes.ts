/** What strangers do before TLS: first bytes that are nothing, too slow, too many, or guesses; and connections as such. */

import { encodeLegPreamble, encodeReversePreamble } from "../../fabric/preamble.ts";
import { limits, MiB } from "../../lib/limits.ts";
import { resetSocket } from "../../lib/reset-socket.ts";
import type { AttackClass } from "./attack-class.ts";
import { clientHello } from "./client-hello.ts";
import type { Range, Wire } from "./range.ts";

/** Connections one after the other, several beside each other: `use` sends, the target closes. */
async function visits(range: Range, beside: number, use: (wire: Wire, nth: number) => Promise<void>): Promise<void> {
  let nth = 0;
  await range.beside(beside, async () => {
    while (!range.isOver) {
      const wire = await range.dial();
      if (wire === undefined) continue;
      nth += 1;
      await use(wire, nth);
    }
  });
}

/** Visits that say one thing each and wait for their end. */
function knocks(range: Range, beside: number, first: (nth: number) => Uint8Array): Promise<void> {
  return visits(range, beside, async (wire, nth) => {
    await wire.write(first(nth));
    await wire.untilCut();
  });
}

/** Names as the endpoint asks for them. */
export function ownName(range: Range): { readonly serverName?: Uint8Array } {
  const { serverName } = range.endpoint;
  return serverName === undefined ? {} : { serverName: Buffer.from(serverName) };
}

/** After the look, the wait for a turn and the handshake have had their time, on a machine that has little of it. */
export const deadlineMs = limits.peekDeadlineMs + limits.handshakeDeadlineMs * 3;

const garbage: AttackClass = {
  id: "first-bytes-garbage",
  title: "first bytes that are neither TLS nor ours",
  seen: "LAW-R3",
  layer: "bytes",
  cutAfterUnits: 1,
  run: (range) => {
    const firsts = [
      "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
      "SSH-2.0-x\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "WEFU",
      "\x16\x02\x00",
      "\0",
    ];
    return knocks(range, 8, (nth) => {
      const first = firsts[nth % (firsts.length + 1)];
      return first === undefined ? range.random.bytes(512) : Buffer.from(first, "latin1");
    });
  },
};

const slow: AttackClass = {
  id: "first-bytes-slow",
  title: "first bytes one at a time, or none at all",
  seen: "LAW-R3, slowloris",
  layer: "bytes",
  cutAfterUnits: 1,
  settleMs: deadlineMs,
  run: (range) =>
    visits(range, range.bounds.connectionsMaxCount, async (wire, nth) => {
      const bytes =
        nth % 2 === 0 ? clientHello(range.random, ownName(range)) : encodeLegPreamble(range.random.bytes(32));
      for (let at = 0; wire.isOpen && !range.isOver && at < bytes.length - 1; at += 1) {
        await wire.write(bytes.subarray(at, at + 1));
        await range.rest(250);
      }
      await wire.untilCut();
    }),
};

const large: AttackClass = {
  id: "first-bytes-large",
  title: "a megabyte of a hello that never ends",
  seen: "LAW-R3",
  layer: "bytes",
  cutAfterUnits: 1,
  run: (range) =>
    knocks(range, 4, () => {
      const first = Buffer.alloc(1 * MiB);
      Buffer.from("160301400001003ffc0303", "hex").copy(first);
      return first;
    }),
};

const legTokens: AttackClass = {
  id: "leg-tokens",
  title: "guesses at leg tokens, each twice",
  seen: "LAW-R1",
  layer: "bytes",
  cutAfterUnits: 1,
  run: (range) => {
    let guess: Uint8Array = encodeLegPreamble(range.random.bytes(32));
    return knocks(range, 8, (nth) => {
      if (nth % 2 === 0) guess = encodeLegPreamble(range.random.bytes(32));
      return guess;
    });
  },
};

const reverseLinks: AttackClass = {
  id: "reverse-links",
  title: "the five bytes of a reverse link, and names of links behind them",
  seen: "LAW-R3",
  layer: "bytes",
  cutAfterUnits: 1,
  run: (range) =>
    knocks(range, 8, () => {
      const label = Buffer.from(range.random.bytes(16))
        .toString("hex")
        .replace(/[^a-f2-7]/g, "a")
        .slice(0, 26);
      const serverName = Buffer.from(`link-${label}.default.weft.internal`);
      return Buffer.concat([encodeReversePreamble(), clientHello(range.random, { serverName })]);
    }),
};

const churn: AttackClass = {
  id: "connection-churn",
  title: "connections that come and go, with a FIN or a reset",
  seen: "CVE-2026-21714",
  layer: "bytes",
  run: (range) =>
    visits(range, 16, async (wire, nth) => {
      if (nth % 3 === 0) await wire.write(Buffer.from("WEFT"));
      if (nth % 2 === 0) resetSocket(wire.raw);
      wire.drop();
    }),
};

const halfOpen: AttackClass = {
  id: "half-open",
  title: "a hello by the right name, and a FIN behind it",
  seen: "REVIEW-g2",
  layer: "bytes",
  cutAfterUnits: 1,
  settleMs: deadlineMs,
  run: (range) =>
    visits(range, 16, async (wire) => {
      await wire.write(
        clientHello(range.random, { ...ownName(range), groups: [0x11ec, 0x001d], protocols: [Buffer.from("h2")] }),
      );
      wire.raw.end();
      await wire.untilCut();
    }),
};

export const firstBytes: readonly AttackClass[] = [garbage, slow, large, legTokens, reverseLinks, churn, halfOpen];
