import { createContextValues, type HandlerContext } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import type { WatchEventsResponse } from "../../../gen/weft/node/v1/node_pb.ts";
import { type NodeServiceDeps, nodeService } from "../../../node/node-service.ts";
import { OfflineDesk } from "../../../node/offline-desk.ts";
import { until } from "../../../node/tasks.ts";
import { detailOf } from "../fabric/snapshot/stage.ts";
import { selfId, snapshotWith, testPorts } from "./stage.ts";

function stage(over: Partial<NodeServiceDeps> = {}) {
  const ports = testPorts(snapshotWith({ version: 3n, self: { roles: [{ role: 2 }] } }));
  const service = nodeService({
    ...ports,
    bootId: "boot",
    pid: 7,
    version: "1",
    startedAtMs: 1,
    addresses: () => ({ public: "127.0.0.1:1", operator: "127.0.0.1:2" }),
    controlHeardMsAgo: () => undefined,
    offline: new OfflineDesk(ports),
    links: () => [],
    listeners: () => [],
    trunks: () => [],
    explainChannel: () => undefined,
    workloads: { status: () => [], tail: () => undefined },
    rssPeakBytes: () => 9,
    ...over,
  });
  return { ports, service };
}

function contextOf(signal: AbortSignal): HandlerContext {
  return { signal, values: createContextValues() } as unknown as HandlerContext;
}

type Events = AsyncIterator<WatchEventsResponse>;

function watch(service: ReturnType<typeof stage>["service"], signal: AbortSignal): Events {
  return (service.watchEvents as (request: object, context: HandlerContext) => AsyncIterable<WatchEventsResponse>)(
    {},
    contextOf(signal),
  )[Symbol.asyncIterator]();
}

describe("watching events", () => {
  it("hears what happens from now on, in order", async () => {
    const { ports, service } = stage();
    const leaving = new AbortController();
    const events = watch(service, leaving.signal);
    ports.events.emit("link_up", { peer: "before" });
    const first = events.next();
    ports.events.emit("link_up", { peer: "nd-1" });
    ports.events.emit("link_down", { peer: "nd-1" });
    expect((await first).value).toMatchObject({ kind: "link_up", facts: { peer: "nd-1" } });
    expect((await events.next()).value).toMatchObject({ kind: "link_down" });
    leaving.abort();
    expect((await events.next()).done).toBe(true);
  });

  it("costs a slow reader the oldest events, never the node its memory", async () => {
    const { ports, service } = stage();
    const leaving = new AbortController();
    const events = watch(service, leaving.signal);
    const first = events.next();
    for (let at = 0; at < 1_000; at++) ports.events.emit("path_opened", { at: String(at) });
    const ats = [Number((await first).value.facts["at"])];
    for (let at = 0; at < 255; at++) ats.push(Number((await events.next()).value.facts["at"]));
    expect(ats.slice(0, 1)).toEqual([744]);
    expect(ats.at(-1)).toBe(999);
    expect(ats.every((at, index) => index === 0 || at === (ats[index - 1] ?? 0) + 1)).toBe(true);
    const next = events.next();
    leaving.abort();
    expect((await next).done).toBe(true);
  });

  it("numbers every event of the process, so that whoever was away or slow knows how many it missed", async () => {
    const { ports, service } = stage();
    ports.events.emit("link_up");
    const leaving = new AbortController();
    const events = watch(service, leaving.signal);
    const first = events.next();
    ports.events.emit("link_down");
    expect((await first).value).toMatchObject({ seq: 2n, bootId: "boot" });
    const second = events.next();
    for (let at = 0; at < 300; at++) ports.events.emit("path_opened");
    expect((await second).value).toMatchObject({ seq: 47n, bootId: "boot" });
    leaving.abort();
  });

  it("ends when the caller leaves while nothing happens, and keeps no subscription", async () => {
    const { ports, service } = stage();
    const leaving = new AbortController();
    const events = watch(service, leaving.signal);
    const next = events.next();
    leaving.abort();
    expect((await next).done).toBe(true);
    ports.events.emit("draining");
    expect((await events.next()).done).toBe(true);
  });
});

describe("the status of a node", () => {
  it("is what its holders say, without control", () => {
    const { ports, service } = stage();
    ports.counters.pathsLive = 2;
    ports.counters.bytesSpliced = 2 ** 40;
    const status = (service.getStatus as (request: object) => object)({});
    expect(status).toMatchObject({
      nodeId: selfId,
      snapshotVersion: 3n,
      feedSeq: 7n,
      draining: false,
      counters: { pathsLive: 2n, bytesSpliced: 2n ** 40n },
      publicAddress: "127.0.0.1:1",
    });
    expect(status).not.toHaveProperty("controlHeardMsAgo", expect.anything());
  });

  it("says how long ago control was heard, once it was", () => {
    const { service } = stage({ controlHeardMsAgo: () => 12.6 });
    expect((service.getStatus as (request: object) => object)({})).toMatchObject({ controlHeardMsAgo: 13n });
  });

  it("names no channel that is not there", () => {
    const { service } = stage();
    expect(
      detailOf(() => (service.explainChannel as (request: object) => object)({ trunkId: "x", channelId: 1 })),
    ).toBe("CHANNEL_UNKNOWN");
  });

  it("drains and undrains, saying so once each", () => {
    const { ports, service } = stage();
    const call = (name: "drain" | "undrain") => (service[name] as (request: object) => object)({});
    call("drain");
    call("drain");
    expect(ports.drain.draining()).toBe(true);
    call("undrain");
    expect(ports.kinds()).toEqual(["draining", "undrained"]);
  });
});

describe("waiting for a drain", () => {
  it("ends when nothing is left, or at the deadline", async () => {
    const { ports } = stage();
    const { clock, counters } = ports;
    let done = 0;
    const wait = async (deadlineMs: number) => {
      await until(clock, () => counters.channelsLive === 0, deadlineMs);
      done += 1;
    };
    await wait(1_000);
    expect(done).toBe(1);
    counters.channelsLive = 1;
    const first = wait(1_000);
    clock.advance(900);
    await Promise.resolve();
    expect(done).toBe(1);
    clock.advance(150);
    await first;
    const second = wait(10_000);
    counters.channelsLive = 0;
    clock.advance(50);
    await second;
    expect(done).toBe(3);
    expect(clock.nextDueInMs()).toBeUndefined();
  });
});
