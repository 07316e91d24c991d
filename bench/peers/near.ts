/**
 * The near edge of the benches as a process: an entry of a running fabric. Over one trunk per route it pours bytes, sends
 * messages, plays ping-pong, opens channels, or holds them idle. What arrives is counted at the far edge, not here.
 */

import { once } from "node:events";
import { connect as connectTcp, createServer } from "node:net";
import { tlsOptions } from "../../certs/tls-options.ts";
import type { EdgeChannel } from "../../edge/channel.ts";
import { dialTcp, startTls } from "../../edge/dial.ts";
import type { EdgePath } from "../../edge/edge-path.ts";
import { MessageChannel } from "../../edge/message-channel.ts";
import { pipeToSource } from "../../edge/pipe-source.ts";
import { TrunkPool } from "../../edge/trunk-pool.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { PathPurpose } from "../../gen/weft/relay/v1/relay_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { KiB, limits } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { answerCalls } from "./child.ts";
import { type EdgeHost, openEdgeHost, peerGroups, withoutExporter } from "./edge-host.ts";
import { memoryOf } from "./memory.ts";
import type { Route } from "./route.ts";

let host: EdgeHost;
const pools = new Map<string, TrunkPool>();
let pouring: { readonly channels: EdgeChannel[]; stop: boolean } | undefined;
let idle: MessageChannel[] = [];

/** A path of the fabric, or a TLS connection to something that stands in for one. */
async function openPath(route: Route, trunkId: Uint8Array, lane: ChannelClass): Promise<EdgePath> {
  if (route.kind === "path") {
    const { hops } = route;
    const request = { hops, purpose: PathPurpose.NEW, trunkId, class: lane, organizationId: route.organizationId };
    return await host.plane.paths.open(request);
  }
  const dial = { clock: systemClock, deadlineMs: limits.legDialDeadlineMs };
  const raw = await dialTcp([{ host: "127.0.0.1", port: route.port }], dial);
  const options = tlsOptions("dial-path-end-node", {
    identity: host.ports.identity.current().leaf,
    expect: host.judge.expect("node", { ids: [route.peerId] }),
    serverName: route.serverName,
  });
  const tls = await startTls(raw, route.terminated ? { ...options, ...peerGroups } : options, dial);
  return { tls: route.terminated ? withoutExporter(tls) : tls, raw, hops: ["near", "far"] };
}

function poolOf(route: Route): TrunkPool {
  const key = JSON.stringify(route);
  const known = pools.get(key);
  if (known !== undefined) return known;
  const pool = new TrunkPool({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    openPath: async (wish) => {
      // One path is what is measured; a standby beside it would be another.
      if (wish.purpose === "standby") throw new WeftError("unavailable", "no standby", { detail: "NO_PATH" });
      return await openPath(route, wish.trunkId, wish.lane === "bulk" ? ChannelClass.BULK : ChannelClass.INTERACTIVE);
    },
  });
  pools.set(key, pool);
  return pool;
}

async function open(route: Route, resource: string, channelClass: ChannelClass): Promise<EdgeChannel> {
  const organizationId = route.kind === "path" ? route.organizationId : "bench";
  return await poolOf(route).open(
    { farEdge: "far", organizationId },
    { resource, class: channelClass, origin: undefined, correlationId: "bench" },
  );
}

/** Writes `block` again and again until told to stop. */
function pour(channel: EdgeChannel, block: Buffer, isOver: () => boolean): void {
  const write = (): void => {
    while (!isOver()) if (!channel.write(block)) return;
    channel.off("drain", write);
    channel.end();
  };
  channel.on("drain", write);
  channel.resume();
  write();
}

/** Sends `message` again and again until told to stop. */
function sendOn(messages: MessageChannel, message: Buffer, isOver: () => boolean): void {
  const { channel } = messages;
  const send = (): void => {
    while (!isOver()) if (!messages.send(message)) return;
    channel.off("drain", send);
    messages.end();
  };
  channel.on("drain", send);
  send();
}

async function pingPong(channel: EdgeChannel, bytes: number, count: number): Promise<number[]> {
  const message = Buffer.alloc(bytes, 1);
  const timesMs: number[] = [];
  let wake = (): void => {};
  const messages = new MessageChannel(channel, () => wake());
  for (let round = 0; round < count; round += 1) {
    const startMs = systemClock.monoMs();
    await new Promise<void>((resolve) => {
      wake = resolve;
      messages.send(message);
    });
    timesMs.push(systemClock.monoMs() - startMs);
  }
  messages.end();
  await once(channel, "close");
  return timesMs;
}

async function openEchoClose(route: Route): Promise<void> {
  const channel = await open(route, "echo", ChannelClass.INTERACTIVE);
  const messages = new MessageChannel(channel, () => messages.end());
  messages.send(openMessage);
  await new Promise<void>((resolve) => channel.once("close", resolve));
}
function ignore(): void {}

const openMessage = Buffer.alloc(64, 3);

function tcpEchoClose(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host: "127.0.0.1", port, noDelay: true, autoSelectFamily: false });
    socket.on("error", reject);
    socket.once("data", () => socket.end());
    socket.once("close", () => resolve());
    socket.write(openMessage);
  });
}

/** How often per second `once` comes to its end when `parallel` run at a time. */
async function perSecond(once: () => Promise<void>, parallel: number, forMs: number): Promise<number> {
  let done = 0;
  let startMs = systemClock.monoMs();
  const warmUntilMs = startMs + forMs / 4;
  const untilMs = warmUntilMs + forMs;
  let warm = true;
  const worker = async (): Promise<void> => {
    while (systemClock.monoMs() < untilMs) {
      await once();
      if (warm && systemClock.monoMs() >= warmUntilMs) {
        warm = false;
        done = 0;
        startMs = systemClock.monoMs();
      }
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return (done * 1_000) / (systemClock.monoMs() - startMs);
}

/** A listener whose connections become channels to the far edge's target, as an entry's do. */
async function listenTcp(route: Route): Promise<number> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    void open(route, "target", ChannelClass.BULK).then((channel) => pipeToSource(channel, socket));
  });
  await new Promise<void>((resolve) => server.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 }, resolve));
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

answerCalls({
  async start(args: { stateDir: string }) {
    host = await openEdgeHost(args);
    return { nodeId: host.nodeId };
  },
  async pour(args: { route: Route; channels: number; bytes: number }) {
    const block = Buffer.alloc(args.bytes, 0x5a);
    const channels = await Promise.all(
      Array.from({ length: args.channels }, () => open(args.route, "sink", ChannelClass.BULK)),
    );
    const mine = { channels, stop: false };
    pouring = mine;
    for (const channel of channels) {
      // The block is never written to, so large ones go out as they are; small ones are gathered, as a caller's would be.
      channel.copiesWrites = args.bytes < 4 * KiB;
      pour(channel, block, () => mine.stop);
    }
  },
  async sendMessages(args: { route: Route; channels: number; bytes: number }) {
    const message = Buffer.alloc(args.bytes, 9);
    const channels = await Promise.all(
      Array.from({ length: args.channels }, () => open(args.route, "messages", ChannelClass.BULK)),
    );
    const mine = { channels, stop: false };
    pouring = mine;
    for (const channel of channels) sendOn(new MessageChannel(channel, () => {}), message, () => mine.stop);
  },
  async stopPouring() {
    if (pouring === undefined) return;
    pouring.stop = true;
    await Promise.all(pouring.channels.map((channel) => channel.closed || once(channel, "close")));
    pouring = undefined;
  },
  async pingPong(args: { route: Route; bytes: number; count: number }) {
    return await pingPong(await open(args.route, "echo", ChannelClass.INTERACTIVE), args.bytes, args.count);
  },
  opens: (args: { route: Route; parallel: number; forMs: number }) =>
    perSecond(() => openEchoClose(args.route), args.parallel, args.forMs),
  tcpOpens: (args: { port: number; parallel: number; forMs: number }) =>
    perSecond(() => tcpEchoClose(args.port), args.parallel, args.forMs),
  /** Opens idle channels, each of which has carried one message; the far edge counts those. */
  async hold(args: { route: Route; count: number }) {
    for (let from = 0; from < args.count; from += 100) {
      const some = await Promise.all(
        Array.from({ length: 100 }, () => open(args.route, "hold", ChannelClass.INTERACTIVE)),
      );
      for (const channel of some) {
        // One function for all of them: what is held is the channel's, not this bench's.
        const messages = new MessageChannel(channel, ignore);
        messages.send(openMessage);
        idle.push(messages);
      }
    }
  },
  async release() {
    const closing = idle.map(({ channel }) => once(channel, "close"));
    for (const { channel } of idle) channel.destroy();
    await Promise.all(closing);
    idle = [];
  },
  listenTcp: (args: { route: Route }) => listenTcp(args.route),
  memory: memoryOf,
});
