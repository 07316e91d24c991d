/**
 * The sending process of a load: plain TCP connections, messages at fixed times whatever happens (open loop), every byte
 * hashed. A message that could not be sent when it was meant to keeps the time it was meant for.
 */

import { createHash, type Hash } from "node:crypto";
import { connect, type Socket } from "node:net";
import type { SentTotals } from "./ledger.ts";
import { sharedMs, writeMessage } from "./message.ts";
import { serveWorker } from "./worker.ts";

/** One kind of traffic: messages of one size over channels of its own. */
export interface Stream {
  readonly port: number;
  readonly host?: string;
  readonly channels: number;
  readonly messageBytes: number;
  readonly messagesPerSecond: number;
  /** Messages meant for consecutive times that go to the same channel before it is the next one's turn. */
  readonly inARow?: number;
  /** Added to the number of the measuring window: tells streams apart in what is measured. */
  readonly windowOffset?: number;
}

interface Channel {
  readonly id: number;
  readonly socket: Socket;
  readonly hash: Hash;
  seq: number;
  bytes: number;
}

interface Flow {
  readonly stream: Stream;
  readonly channels: Channel[];
  sent: number;
  startMs: number;
}

/** How often due messages are looked for. */
const tickMs = 1;
/** Connections that are made at the same time. */
const connectingMaxCount = 64;

let flows: Flow[] = [];
let failures: string[] = [];
let window = 0;
let nextChannel = 0;
let timer: NodeJS.Timeout | undefined;

function openOne(stream: Stream): Promise<Channel> {
  const id = nextChannel++;
  const socket = connect({ host: stream.host ?? "127.0.0.1", port: stream.port, noDelay: true });
  const channel = { id, socket, hash: createHash("sha256"), seq: 0, bytes: 0 };
  return new Promise((resolve, reject) => {
    socket.once("connect", () => resolve(channel));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      failures.push(`channel ${id}: ${error.code ?? error.message}`);
      reject(error);
    });
    socket.on("end", () => failures.push(`channel ${id}: ended by the far side`));
    socket.resume();
  });
}

async function openFlow(stream: Stream): Promise<Flow> {
  const channels: Channel[] = [];
  let left = stream.channels;
  const connectSome = async (): Promise<void> => {
    while (left-- > 0) channels.push(await openOne(stream));
  };
  await Promise.all(Array.from({ length: Math.min(connectingMaxCount, stream.channels) }, connectSome));
  channels.sort((a, b) => a.id - b.id);
  return { stream, channels, sent: 0, startMs: 0 };
}

/** Sends the messages from `from` up to `to` of one channel as one write. */
function send(channel: Channel, flow: Flow, from: number, to: number): void {
  const { messageBytes, messagesPerSecond, windowOffset = 0 } = flow.stream;
  const bytes = Buffer.allocUnsafeSlow((to - from) * messageBytes);
  for (let number = from; number < to; number += 1) {
    writeMessage(bytes, (number - from) * messageBytes, {
      channel: channel.id,
      seq: channel.seq++,
      sizeBytes: messageBytes,
      intendedMs: flow.startMs + (number * 1_000) / messagesPerSecond,
      window: window + windowOffset,
    });
  }
  channel.hash.update(bytes);
  channel.bytes += bytes.length;
  channel.socket.write(bytes);
}

function sendDue(flow: Flow, nowMs: number): void {
  const inARow = flow.stream.inARow ?? 1;
  const due = Math.floor(((nowMs - flow.startMs) * flow.stream.messagesPerSecond) / 1_000) + 1;
  while (flow.sent < due) {
    const turn = Math.floor(flow.sent / inARow);
    const to = Math.min(due, (turn + 1) * inARow);
    const channel = flow.channels[turn % flow.channels.length];
    if (channel !== undefined) send(channel, flow, flow.sent, to);
    flow.sent = to;
  }
}

function tick(): void {
  const nowMs = sharedMs();
  for (const flow of flows) sendDue(flow, nowMs);
  timer = setTimeout(tick, tickMs);
}

export type Sender = typeof handlers;

const handlers = serveWorker({
  /** Replaces all connections; resolves once they are made. */
  async open(streams: readonly Stream[]): Promise<void> {
    for (const { channels } of flows) for (const { socket } of channels) socket.destroy();
    nextChannel = 0;
    failures = [];
    flows = await Promise.all(streams.map(openFlow));
  },
  start(): void {
    if (timer !== undefined) return;
    const startMs = sharedMs() + 1;
    for (const flow of flows) {
      flow.sent = 0;
      flow.startMs = startMs;
    }
    tick();
  },
  /** What is sent from now on belongs to this window. */
  window(number: number): void {
    window = number;
  },
  stop(): void {
    clearTimeout(timer);
    timer = undefined;
  },
  sentBytes: (): number =>
    flows.reduce((sum, { channels }) => sum + channels.reduce((part, { bytes }) => part + bytes, 0), 0),
  /** Exact only while stopped. */
  totals: (): SentTotals[] =>
    flows.flatMap(({ channels }) =>
      channels.map(({ id, bytes, hash }) => ({ channel: id, bytes, sha256: hash.copy().digest("hex") })),
    ),
  /** How many channels ended or failed, with the first of them in words. */
  failures: (): { readonly count: number; readonly first: readonly string[] } => ({
    count: failures.length,
    first: failures.slice(0, 3),
  }),
});
