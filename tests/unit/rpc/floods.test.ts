/** What one session may do to a server that serves it: floods cost their sender the connection, and nobody else anything. */

import { once } from "node:events";
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
  MAX_31,
  number32,
  ping,
  reset,
  settings,
  windowUpdate,
} from "../../../conformance/attack/frames.ts";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { rpcClient } from "../../../rpc/client.ts";
import { FailedHandshakes } from "../../../rpc/failed-handshakes.ts";
import { HealthState } from "../../../rpc/health.ts";
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
let judged = 0;

beforeAll(async () => {
  trust = await TestTrust.create();
  operator = await trust.leaf("operator", "op-1");
  served = await serveSurface(trust, {
    arrivedBy: "operator-port",
    routes: () => {},
    policy: inspectPolicy,
    health: new HealthState(),
  });
  served.judge = (_socket, caller) => {
    judged += 1;
    return caller;
  };
});
afterAll(async () => await served[Symbol.asyncDispose]());

function dialTls(identity = operator): ReturnType<typeof tlsOptions> {
  return tlsOptions("dial-operator-port", { identity, expect: trust.expect("control") });
}

interface Attacker {
  readonly socket: tls.TLSSocket;
  readonly answered: Set<number>;
}

async function attack(identity = operator): Promise<Attacker> {
  const socket = tls.connect({ host: "127.0.0.1", port: served.port, ...dialTls(identity) });
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
  await eventually(() => socket.destroyed, { what, withinMs: 3_000 });
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
  const { socket, answered } = await attack();
  const before = judged;
  const count = 100;
  const last = stream(count);
  const pairs = Array.from({ length: count }, (_, nth) => [headers(stream(nth), call), reset(stream(nth))]).flat();
  socket.write(Buffer.concat([...pairs, headers(last, call, FLAG.endHeaders | FLAG.endStream)]));
  await eventually(() => answered.has(last), { what: "an answer to the call that was not reset" });
  expect(judged - before).toBe(1);
  socket.destroy();
});

it("who flooded gets no session for a while, nor who makes one protocol error after the other", async () => {
  const flooder = await trust.leaf("operator", "op-flooder");
  const first = await attack(flooder);
  first.socket.write(Buffer.concat(Array.from({ length: limits.rpcPingsBurstCount * 2 }, ping)));
  await ended(first.socket, "the end of a flood");
  await eventually(() => served.surface.sessionCount() === 0);
  const second = await attack(flooder);
  second.socket.write(headers(1, call, FLAG.endHeaders | FLAG.endStream));
  await ended(second.socket, "the end of the next session");
  expect(second.answered.size).toBe(0);

  const faulty = await trust.leaf("operator", "op-faulty");
  let answered = 0;
  for (let at = 0; at < limits.rpcFaultsMaxCount * 2; at += 1) {
    const { socket, answered: ids } = await attack(faulty);
    // A call that is served if there is a session, and a window that overflows.
    socket.write(headers(1, call, FLAG.endHeaders | FLAG.endStream));
    await eventually(() => ids.has(1) || socket.destroyed);
    answered += ids.size;
    socket.write(windowUpdate(0, MAX_31));
    await ended(socket);
  }
  expect(answered).toBeGreaterThanOrEqual(limits.rpcFaultsMaxCount);
  expect(answered).toBeLessThan(limits.rpcFaultsMaxCount * 2);
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
