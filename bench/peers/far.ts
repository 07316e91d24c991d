/**
 * The far edge of the benches as a process: an egress of a running fabric that takes trunks over its relays, directly, and
 * from relays of other makes. Channels are swallowed and counted, echoed, or carried to a TCP target.
 */

import { connect as connectTcp, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { createServer } from "node:tls";
import { tlsOptions } from "../../certs/tls-options.ts";
import type { EdgeChannel } from "../../edge/channel.ts";
import { MessageChannel } from "../../edge/message-channel.ts";
import { pipeToTarget } from "../../edge/pipe-target.ts";
import { TrunkAcceptor } from "../../edge/trunk-acceptor.ts";
import { systemClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { answerCalls } from "./child.ts";
import { type EdgeHost, openEdgeHost, peerGroups, withoutExporter } from "./edge-host.ts";
import { memoryOf } from "./memory.ts";

interface Sunk {
  readonly channel: EdgeChannel;
  bytes: number;
  messages: number;
}

/** Channels to `sink`, in the order they came. */
let sinks: Sunk[] = [];
let host: EdgeHost;
let targetPort = 0;

function serve(channel: EdgeChannel): void {
  channel.on("error", () => {});
  channel.copiesWrites = false;
  const { resource } = channel.request;
  if (resource === "target") return void serveTarget(channel);
  channel.accept();
  if (resource === "echo") return void echoMessages(channel);
  if (resource === "hold") return void new MessageChannel(channel, countHeld);
  if (resource === "messages") return void countMessages(channel);
  if (resource !== "sink") return;
  const sunk: Sunk = { channel, bytes: 0, messages: 0 };
  sinks.push(sunk);
  channel.on("data", (chunk: Buffer) => {
    sunk.bytes += chunk.length;
  });
  channel.once("end", () => channel.end());
}

function echoMessages(channel: EdgeChannel): void {
  const messages = new MessageChannel(channel, (message) => void messages.send(message));
  channel.on("end", endBack);
}

let heldMessages = 0;

/** One function for all idle channels: what is held is the channel's, not this bench's. */
function countHeld(): void {
  heldMessages += 1;
}

/** What was echoed has been written by the time the end is heard. */
function endBack(this: EdgeChannel): void {
  this.end();
}

/** Counts messages and their bytes; one of another length than the first is an error. */
function countMessages(channel: EdgeChannel): void {
  const sunk: Sunk = { channel, bytes: 0, messages: 0 };
  sinks.push(sunk);
  let length = -1;
  const messages = new MessageChannel(channel, (message) => {
    if (length === -1) length = message.length;
    else if (message.length !== length) throw new Error("a message came with another length than it was sent with");
    sunk.messages += 1;
    sunk.bytes += message.length;
  });
  channel.once("end", () => messages.end());
}

function serveTarget(channel: EdgeChannel): void {
  const options = { host: "127.0.0.1", port: targetPort, allowHalfOpen: true, noDelay: true, autoSelectFamily: false };
  const target = connectTcp(options, () => {
    channel.accept();
    pipeToTarget(channel, target);
  });
}

const acceptor = new TrunkAcceptor<string>({
  clock: systemClock,
  random: systemRandom,
  log: silentLog,
  accept: () => true,
  onChannel: serve,
});

/** A TLS port of this edge beside the fabric's. `terminated`: the other end of the TLS is a relay. */
async function listen(terminated: boolean): Promise<number> {
  const { identity } = host.ports;
  const options = tlsOptions("path-end-node", {
    identity: identity.current().leaf,
    trust: host.judge.expect("node").roots,
  });
  const server = createServer({
    ...options,
    ...(terminated ? peerGroups : {}),
    highWaterMark: limits.spliceHighWaterBytes,
  });
  const byPeerPort = new Map<number, Socket>();
  server.on("connection", (raw: Socket) => {
    raw.setNoDelay(true);
    byPeerPort.set(raw.remotePort ?? 0, raw);
    raw.once("close", () => byPeerPort.delete(raw.remotePort ?? 0));
  });
  server.on("tlsClientError", (error) => process.stderr.write(`bench: far edge refused a handshake: ${error}\n`));
  server.on("secureConnection", (secured: TLSSocket) => {
    const raw = byPeerPort.get(secured.remotePort ?? 0);
    if (raw === undefined) return;
    secured.on("error", () => {});
    const tls = terminated ? withoutExporter(secured) : secured;
    acceptor.add({ tls, raw, hops: ["near", "far"], peerKey: "near", organizationId: "bench", context: "bench" });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

answerCalls({
  async start(args: { stateDir: string; port: number; targetPort: number; nearId: string }) {
    targetPort = args.targetPort;
    host = await openEdgeHost({
      stateDir: args.stateDir,
      bind: { host: "127.0.0.1", port: args.port },
      onPathEnd: ({ tls, raw, hops, offer }) => {
        // This is no egress: whoever looks for one is sent to the one that is left.
        if (offer.initiatorId !== args.nearId) return void raw.resetAndDestroy();
        const { organizationId, trunkId } = offer;
        acceptor.add({ tls, raw, hops, peerKey: "near", organizationId, trunkId, context: "bench" });
      },
    });
    const organizationId = host.ports.snapshot.current()?.pools[0]?.organizationId ?? "";
    return { nodeId: host.nodeId, organizationId, directPort: await listen(false), terminatedPort: await listen(true) };
  },
  /** Forgets the channels swallowed so far. */
  forget() {
    sinks = [];
  },
  /** Bytes swallowed since `forget`, by channel, and when that was true. */
  swallowed: () => ({
    atMs: systemClock.monoMs(),
    bytes: sinks.map(({ bytes }) => bytes),
    messages: sinks.reduce((sum, sunk) => sum + sunk.messages, 0),
  }),
  /** Messages that came over channels held idle. */
  held: () => heldMessages,
  /** The first channel is not read, or read again. */
  stall({ stalled }: { stalled: boolean }) {
    if (stalled) sinks[0]?.channel.pause();
    else sinks[0]?.channel.resume();
  },
  memory: memoryOf,
});
