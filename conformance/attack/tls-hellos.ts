/** Hellos and handshakes made to break a TLS server, to hold it up, or to get in as somebody else. */

import { type Random, randomInt } from "../../lib/random.ts";
import type { AttackClass } from "./attack-class.ts";
import { clientHello, extension, type HelloParts } from "./client-hello.ts";
import { deadlineMs, ownName } from "./first-bytes.ts";
import { foreignChain } from "./foreign-chain.ts";
import { FLAG, grpcCall, headers, hello, ping, reset } from "./frames.ts";
import type { Range } from "./range.ts";
import { servedPath } from "./target.ts";

/** Hello after hello, each on a connection of its own that the target must close. */
async function hellos(range: Range, beside: number, make: (nth: number) => Uint8Array): Promise<void> {
  let nth = 0;
  await range.beside(beside, async () => {
    while (await range.pace(1)) {
      const wire = await range.dial();
      if (wire === undefined) continue;
      nth += 1;
      await wire.write(make(nth));
      await wire.untilCut(answerMs);
      // A hello that was good enough waits for the next step of the handshake: a FIN is that step.
      wire.raw.end();
      await wire.untilCut(deadlineMs);
    }
  });
}

const answerMs = 50;

const h2 = Buffer.from("h2");

function oddParts(random: Random): readonly HelloParts[] {
  const long = (bytes: number): Buffer => Buffer.alloc(bytes, 0x61);
  return [
    { serverName: Buffer.alloc(0) },
    { serverName: Buffer.from("a\0b.weft.internal", "latin1") },
    { serverName: long(253) },
    { serverName: long(254) },
    { serverName: long(60_000), recordBytes: 16_000 },
    { serverName: Buffer.from("xn--\xff\xfe", "latin1") },
    { serverName: Buffer.from("127.0.0.1.") },
    { serverName: Buffer.from("[::1]") },
    { serverName: long(9), nameType: 7 },
    { serverName: long(9), nameTimes: 2 },
    { protocols: [] },
    { protocols: [Buffer.alloc(0)] },
    { protocols: Array.from({ length: 255 }, () => long(50)) },
    { protocols: [Buffer.from("http/1.1")] },
    { protocols: [h2, h2, Buffer.from("h2\0")] },
    { protocols: [h2], sessionIdBytes: 0 },
    { protocols: [h2], sessionIdBytes: 33 },
    { protocols: [h2], suites: [] },
    { protocols: [h2], suites: Array.from({ length: 4_000 }, (_, at) => at) },
    { protocols: [h2], groups: [] },
    { protocols: [h2], groups: [0x0017, 0x001d], hasKeyShare: false },
    { protocols: [h2], groups: Array.from({ length: 2_000 }, (_, at) => at) },
    { protocols: [h2], pskBinderBytes: 32 },
    { protocols: [h2], pskBinderBytes: 0 },
    { protocols: [h2], pskBinderBytes: 255 },
    { protocols: [h2], more: [extension(42, Buffer.alloc(0))], pskBinderBytes: 48 },
    { protocols: [h2], more: [extension(0xfe0d, random.bytes(200))] },
    { protocols: [h2], more: Array.from({ length: 500 }, (_, at) => extension(0x4000 + at, Buffer.alloc(4))) },
    { protocols: [h2], recordBytes: 1 },
    { protocols: [h2], recordBytes: 40 },
  ];
}

const oddHellos: AttackClass = {
  id: "hello-odd",
  title: "server names, protocol lists, keys and extensions nobody sends",
  seen: "CVE-2026-21637, CVE-2026-126051",
  layer: "tls",
  cutAfterUnits: 1,
  settleMs: deadlineMs,
  run: (range) => {
    const parts = oddParts(range.random);
    return hellos(range, 16, (nth) => clientHello(range.random, { ...ownName(range), ...parts[nth % parts.length] }));
  },
};

/** Bytes changed, cut out, doubled or added. */
function mutated(random: Random, bytes: Buffer): Buffer {
  const out = Buffer.from(bytes);
  const at = 5 + randomInt(random, out.length - 5);
  switch (randomInt(random, 4)) {
    case 0:
      for (let times = 1 + randomInt(random, 8); times > 0; times -= 1)
        out[5 + randomInt(random, out.length - 5)] = randomInt(random, 256);
      return out;
    case 1:
      return Buffer.concat([out.subarray(0, at), out.subarray(Math.min(out.length, at + randomInt(random, 64)))]);
    case 2:
      return Buffer.concat([out.subarray(0, at), random.bytes(1 + randomInt(random, 64)), out.subarray(at)]);
    default:
      return Buffer.concat([out.subarray(0, at), out.subarray(Math.max(5, at - 40))]);
  }
}

const fuzzedHellos: AttackClass = {
  id: "hello-fuzzed",
  title: "good hellos with a few bytes changed, cut out or added",
  seen: "CVE-2026-21637",
  layer: "tls",
  cutAfterUnits: 1,
  settleMs: deadlineMs,
  run: (range) => {
    const parts: readonly HelloParts[] = [
      { protocols: [h2] },
      { protocols: [h2], groups: [0x11ec, 0x001d] },
      { protocols: [h2], pskBinderBytes: 32 },
    ];
    return hellos(range, 16, (nth) =>
      mutated(range.random, clientHello(range.random, { ...ownName(range), ...parts[nth % parts.length] })),
    );
  },
};

const stalledHandshakes: AttackClass = {
  id: "handshake-stall",
  title: "handshakes that stop after the hello, as many as may stand",
  seen: "CVE-2026-7776, THR-C18",
  layer: "tls",
  cutAfterUnits: 1,
  settleMs: deadlineMs,
  run: (range) =>
    range.beside(range.bounds.connectionsMaxCount, async () => {
      while (!range.isOver) {
        const wire = await range.dial();
        if (wire === undefined) continue;
        await wire.write(clientHello(range.random, { ...ownName(range), groups: [0x11ec, 0x001d], protocols: [h2] }));
        await wire.untilCut();
      }
    }),
};

const chains: AttackClass = {
  id: "foreign-chain",
  title: "certificates nobody asked for: a long chain that is dear to verify",
  seen: "REVIEW-q",
  layer: "tls",
  cutAfterUnitsUnserved: 1,
  settleMs: deadlineMs,
  run: async (range) => {
    const { keyPem, chainPem } = foreignChain(range.random);
    await range.beside(2, async () => {
      // Eight a second in all: what it costs, not how many there are, is the attack.
      for (; !range.isOver; await range.rest(250)) {
        const wire = await range.dialTls({ key: keyPem, cert: chainPem });
        if (wire === undefined) continue;
        await wire.write(hello(), 1);
        await wire.untilCut();
      }
    });
  },
};

const sessionIdentity: AttackClass = {
  id: "session-identity",
  title: "names in other letters; sessions resumed, under the same name and another",
  seen: "CVE-2026-48928, CVE-2026-48934, CVE-2026-58040, CVE-2026-123872, THR-C1",
  layer: "tls",
  run: (range) =>
    range.beside(2, async () => {
      const name = range.endpoint.serverName;
      const names = name === undefined ? [undefined] : [name, name.toUpperCase(), name.replace(/^[^.]+/, "client")];
      for (let nth = 0; await range.pace(1); nth += 1) {
        const asked = names[nth % names.length];
        const named = asked === undefined ? {} : { servername: asked };
        const first = await range.dialTls(named);
        if (first?.tls === undefined) continue;
        const session = await ticketOf(range, first.tls);
        first.drop();
        range.answered(session === undefined ? "no ticket" : "ticket");
        if (session === undefined) continue;
        for (const other of names) {
          const again = await range.dialTls({ ...(other === undefined ? {} : { servername: other }), session });
          if (again?.tls?.isSessionReused() === true)
            range.violated(`a session was resumed under ${other ?? "no name"}`);
          range.answered(again === undefined ? "refused" : "full handshake");
          again?.drop();
        }
      }
    }),
};

/** The session the server hands out within a moment, if any. */
async function ticketOf(
  range: Range,
  tls: { on(event: "session", hear: (session: Buffer) => void): unknown },
): Promise<Buffer | undefined> {
  let session: Buffer | undefined;
  tls.on("session", (given) => {
    session = given;
  });
  for (let waitedMs = 0; session === undefined && waitedMs < 200 && !range.isOver; waitedMs += 10) await range.rest(10);
  return session;
}

const unidentified: AttackClass = {
  id: "unidentified-frames",
  title: "HTTP/2 right behind a handshake without a certificate",
  seen: "LAW-R3, LAW-C1",
  layer: "tls",
  cutAfterUnitsUnserved: 1,
  run: (range) =>
    range.beside(4, async () => {
      const call = grpcCall(servedPath(range.endpoint));
      while (await range.pace(1)) {
        const wire = await range.dialTls();
        if (wire === undefined) continue;
        const calls = [1, 3, 5].map((stream) => headers(stream, call, FLAG.endHeaders | FLAG.endStream));
        await wire.write(Buffer.concat([hello(), ...calls, reset(1), ping()]));
        await wire.untilCut(1_000);
      }
    }),
};

export const tlsHellos: readonly AttackClass[] = [
  oddHellos,
  fuzzedHellos,
  stalledHandshakes,
  chains,
  sessionIdentity,
  unidentified,
];
