/** What one session may do to a server that serves it: floods cost their sender the connection, and nobody else anything. */

import { EventEmitter, once } from "node:events";
import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LeafOf } from "../../../certs/material.ts";
import { tlsOptions } from "../../../certs/tls-options.ts";
import {
  FLAG,
  FRAME,
  FrameReader,
  frame,
  grpcCall,
  headers,
  hello,
  indexed,
  indexing,
  number32,
  ping,
  reset,
  settings,
} from "../../../conformance/attack/frames.ts";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { anonymousCaller } from "../../../rpc/caller.ts";
import { rpcClient } from "../../../rpc/client.ts";
import { FailedHandshakes } from "../../../rpc/failed-handshakes.ts";
import { FloodGuard } from "../../../rpc/flood-guard.ts";
import { HealthState } from "../../../rpc/health.ts";
import { rpcHttp2 } from "../../../rpc/http2-profile.ts";
import { operatorTransport } from "../../../rpc/operator-transport.ts";
import { inspectPolicy } from "../../../rpc/policy.ts";
import { eventually } from "../../harness/eventually.ts";
import { type ServedSurface, serveSurface } from "../../harness/served-surface.ts";
import { TestTrust } from "../../harness/trust.ts";

const call = grpcCall("/grpc.health.v1.Health/Check");
const stream = (nth: number): number => nth * 2 + 1;

let trust: TestTrust;
let operator: LeafOf<"operator">;
let served: ServedSurface;
const options = {
  arrivedBy: "operator-port",
  routes: () => {},
  policy: inspectPolicy,
  health: new HealthState(),
} as const;

beforeAll(async () => {
  trust = await TestTrust.create();
  operator = await trust.leaf("operator", "op-1");
  served = await serveSurface(trust, options);
});
afterAll(async () => await served[Symbol.asyncDispose]());

function dialTls(identity = operator): ReturnType<typeof tlsOptions> {
  return tlsOptions("dial-operator-port", { identity, expect: trust.expect("control") });
}

interface Attacker {
  readonly socket: tls.TLSSocket;
  readonly answered: Set<number>;
}

async function attack(identity = operator, { port } = served): Promise<Attacker> {
  const socket = tls.connect({ host: "127.0.0.1", port, ...dialTls(identity) });
  await once(socket, "secureConnect");
  socket.on("error", () => {});
  const answered = new Set<number>();
  const reader = new FrameReader();
  socket.on("data", (chunk: Buffer) => {
    for (const { type, stream: id } of reader.read(chunk)) {
      if (type === FRAME.headers) answered.add(id);
    }
  });
  socket.write(hello());
  return { socket, answered };
}

async function ended(socket: tls.TLSSocket, what = "the end of the connection"): Promise<void> {
  await eventually(() => socket.destroyed, { what });
}

describe("a session is ended when it floods with", () => {
  it.each([
    ["pings", () => ping(), limits.rpcPingsBurstCount],
    ["settings", () => settings([4, 65_535]), limits.rpcSettingsBurstCount],
    [
      "calls",
      (nth: number) => headers(stream(nth), call, FLAG.endHeaders | FLAG.endStream),
      limits.rpcSessionCallsBurstCount,
    ],
  ] as const)("%s", async (what, make, burstCount) => {
    const { socket } = await attack(await trust.leaf("operator", `op-${what}`));
    const frames = Array.from({ length: burstCount * 2 }, (_, nth) => make(nth));
    socket.write(Buffer.concat(frames));
    await ended(socket);
    await eventually(() => served.surface.sessionCount() === 0);
  });
});

it("header blocks that are refused before anybody sees them end the session as well", async () => {
  const { socket } = await attack(await trust.leaf("operator", "op-bomber"));
  const big = indexing("x-big", "b".repeat(4_000));
  const bomb = grpcCall("/grpc.health.v1.Health/Check", big, ...Array.from({ length: 4_000 }, () => indexed(62)));
  let sent = 0;
  const timer = setInterval(() => {
    socket.write(headers(stream(sent), bomb, FLAG.endHeaders | FLAG.endStream));
    sent += 1;
  }, 1);
  await ended(socket);
  clearInterval(timer);
  expect(sent).toBeGreaterThan(limits.rpcStrayMaxBytes / bomb.length);
});

it("CVE-2023-44487 calls that are reset with the bytes that made them reach neither judge nor handler", async () => {
  // Its clock stands: nobody is judged but for a call.
  await using still = await serveSurface(trust, { ...options, clock: new ManualClock() });
  let judged = 0;
  still.judge = (_socket, caller) => {
    judged += 1;
    return caller;
  };
  const { socket, answered } = await attack(operator, still);
  const count = 100;
  const last = stream(count);
  const pairs = Array.from({ length: count }, (_, nth) => [headers(stream(nth), call), reset(stream(nth))]).flat();
  socket.write(Buffer.concat([...pairs, headers(last, call, FLAG.endHeaders | FLAG.endStream)]));
  await eventually(() => answered.has(last), { what: "an answer to the call that was not reset" });
  expect(judged).toBe(1);
  socket.destroy();
});

describe("a caller", () => {
  const flooder = anonymousCaller("192.0.2.1", "join", "c1");
  const other = anonymousCaller("198.51.100.1", "join", "c1");

  /** A guard on a clock of its own, and sessions that only say what happens to them. */
  function guarded(openCallsMaxCount: number = rpcHttp2.openCallsMaxCount) {
    const clock = new ManualClock();
    const guard = new FloodGuard({ ...rpcHttp2, openCallsMaxCount }, clock);
    const open = (socket = { bytesRead: 0 }): EventEmitter => {
      const session = Object.assign(new EventEmitter(), { destroyed: false, destroy: () => session.emit("destroyed") });
      guard.watch(session as unknown as ServerHttp2Session, socket as Socket, flooder);
      return session;
    };
    return { clock, guard, open };
  }

  it("who flooded gets no session for ten seconds", () => {
    const { clock, guard, open } = guarded();
    const session = open();
    for (let at = 0; at <= limits.rpcPingsBurstCount; at += 1) session.emit("ping");
    expect([guard.admits(flooder), guard.admits(other)]).toEqual([false, true]);
    clock.advance(9_000);
    expect(guard.admits(flooder)).toBe(false);
    clock.advance(2_000);
    expect(guard.admits(flooder)).toBe(true);
  });

  it("who ended a call that brought much has flooded nobody; whose bytes belong to no call has", () => {
    const { clock, guard, open } = guarded();
    const socket = { bytesRead: 0 };
    const session = open(socket);
    const made = new EventEmitter();
    session.emit("stream", made);
    clock.advance(limits.rpcBytesLookMs);
    socket.bytesRead += limits.rpcStrayMaxBytes * 4;
    made.emit("close");
    clock.advance(limits.rpcBytesLookMs);
    expect(guard.admits(flooder)).toBe(true);
    socket.bytesRead += limits.rpcStrayMaxBytes + 1;
    clock.advance(limits.rpcBytesLookMs);
    expect(guard.admits(flooder)).toBe(false);
  });

  it("who makes one protocol error after the other gets as many as are forgiven", () => {
    const { clock, guard, open } = guarded();
    const wrong = Object.assign(new Error("Protocol error"), { code: "ERR_HTTP2_ERROR" });
    for (let at = 0; at < limits.rpcFaultsMaxCount; at += 1) {
      expect(guard.admits(flooder)).toBe(true);
      open().emit("error", wrong);
    }
    expect(guard.admits(flooder)).toBe(false);
    clock.advance(1_100);
    expect(guard.admits(flooder)).toBe(true);
  });

  it("CVE-2026-56846 holds a bounded number of calls, however many sessions it has", () => {
    const { guard, open } = guarded(3);
    const calls = [open(), open()].flatMap((session) =>
      [1, 2].map(() => {
        const made = new EventEmitter();
        session.emit("stream", made);
        return made;
      }),
    );
    expect([guard.holdsTooMany(flooder), guard.holdsTooMany(other)]).toEqual([true, false]);
    calls[0]?.emit("close");
    expect(guard.holdsTooMany(flooder)).toBe(false);
  });

  it("CVE-2026-56846 loses the session whose calls pass even what is only refused, and gets no other for a while", () => {
    const { guard, open } = guarded(8);
    const [first, second] = [open(), open()];
    const ended: string[] = [];
    first.on("destroyed", () => ended.push("first"));
    second.on("destroyed", () => ended.push("second"));
    for (let at = 0; at < 8 * limits.rpcOpenCallsFloodShare; at += 1) first.emit("stream", new EventEmitter());
    expect([ended, guard.admits(flooder)]).toEqual([[], true]);
    second.emit("stream", new EventEmitter());
    expect([ended, guard.admits(flooder), guard.admits(other)]).toEqual([["second"], false, true]);
  });
});

it("who says goodbye with an error code, or hangs up, has done nothing wrong", async () => {
  const leaving = await trust.leaf("operator", "op-leaving");
  for (let at = 0; at < limits.rpcFaultsMaxCount * 2; at += 1) {
    const { socket, answered } = await attack(leaving);
    socket.write(headers(1, call, FLAG.endHeaders | FLAG.endStream));
    await eventually(() => answered.has(1), { what: `an answer in session ${at}` });
    if (at % 2 === 0) socket.write(frame(FRAME.goaway, 0, 0, Buffer.concat([number32(0), number32(8)])));
    socket.destroy();
  }
});

it("and everybody else is served as ever", async () => {
  const transport = operatorTransport({ address: `127.0.0.1:${served.port}`, tls: dialTls() });
  expect((await rpcClient(Health, transport).check({})).status).toBe(1);
  transport.close();
});

describe("LAW-R3 strangers whose handshakes come to nothing", () => {
  const chainBytes = 95_000;
  const helloBytes = 1_500;

  it("are turned away after one long chain, until time has paid for it", () => {
    const clock = new ManualClock();
    const failures = new FailedHandshakes(clock);
    expect(failures.mayTry("192.0.2.7")).toBe(true);
    failures.failed("192.0.2.7", chainBytes);
    expect(failures.mayTry("192.0.2.7")).toBe(false);
    // The same network; another one is not held up.
    expect(failures.mayTry("192.0.2.9")).toBe(false);
    expect(failures.mayTry("198.51.100.7")).toBe(true);
    clock.advance(20_000);
    expect(failures.mayTry("192.0.2.7")).toBe(false);
    clock.advance(20_000);
    expect(failures.mayTry("192.0.2.7")).toBe(true);
  });

  it("may fail as often as they like with what honest ones send", () => {
    const failures = new FailedHandshakes(new ManualClock());
    for (let at = 0; at < 10_000; at += 1) failures.failed("2001:db8::1", helloBytes);
    expect(failures.mayTry("2001:db8::1")).toBe(true);
  });

  it("may take a bounded part of the event loop with chains as short as hostile ones get", () => {
    const clock = new ManualClock();
    const failures = new FailedHandshakes(clock);
    let readBytes = 0;
    const shortBytes = limits.handshakeHonestMaxBytes + 4_300;
    for (let at = 0; at < 600_000; at += 10) {
      clock.advance(10);
      if (!failures.mayTry("2001:db8::1")) continue;
      readBytes += shortBytes;
      failures.failed("2001:db8::1", shortBytes);
    }
    expect(readBytes / 600).toBeLessThan(2 * limits.failedHandshakeBytesPerSecond + 200);
  });

  it("are remembered in bounded memory", () => {
    const failures = new FailedHandshakes(new ManualClock());
    failures.failed("10.0.0.1", chainBytes);
    for (let at = 0; at <= limits.rpcRateKeysMaxCount; at += 1)
      failures.failed(`11.${at >> 8}.${at & 255}.1`, chainBytes);
    expect(failures.mayTry("10.0.0.1")).toBe(true);
  });
});
