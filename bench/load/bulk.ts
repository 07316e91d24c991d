/** One end of a bulk transfer or of echoes, as a process of its own: pours, swallows, sends echoes and times them. */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { crc32 } from "node:zlib";
import { sharedMs } from "./message.ts";
import { serveWorker } from "./worker.ts";

export interface Swallowed {
  readonly bytes: number;
  readonly crc32: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

const blockBytes = 65_536;
const pingBytes = 256;

let swallowed: Swallowed = { bytes: 0, crc32: 0, firstMs: 0, lastMs: 0 };
let pinging: { readonly socket: Socket; readonly timer: NodeJS.Timeout; readonly roundTripsMs: number[] } | undefined;

async function listening(handler: (socket: Socket) => void): Promise<number> {
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    handler(socket);
  });
  server.listen({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** A block that differs from its neighbours, so that a lost or doubled one shows in the checksum. */
function blockOf(number: number): Buffer {
  const block = Buffer.alloc(blockBytes, number % 251);
  block.writeUInt32LE(number, 0);
  return block;
}

/** Times echoes: one is sent every `everyMs`, whether the last one is back or not. */
function startPinging(port: number, everyMs: number): void {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  const sentMs: number[] = [];
  const roundTripsMs: number[] = [];
  let pending = 0;
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    pending += chunk.length;
    for (; pending >= pingBytes; pending -= pingBytes) roundTripsMs.push(sharedMs() - (sentMs.shift() ?? 0));
  });
  const message = Buffer.alloc(pingBytes, 1);
  const timer = setInterval(() => {
    sentMs.push(sharedMs());
    socket.write(message);
  }, everyMs);
  pinging = { socket, timer, roundTripsMs };
}

export type Bulk = typeof handlers;

const handlers = serveWorker({
  /** A port that swallows and counts. */
  sink: (): Promise<number> =>
    listening((socket) => {
      swallowed = { bytes: 0, crc32: 0, firstMs: sharedMs(), lastMs: 0 };
      socket.on("data", (chunk: Buffer) => {
        const nowMs = sharedMs();
        swallowed = {
          bytes: swallowed.bytes + chunk.length,
          crc32: crc32(chunk, swallowed.crc32),
          firstMs: swallowed.bytes === 0 ? nowMs : swallowed.firstMs,
          lastMs: nowMs,
        };
      });
      socket.on("end", () => socket.end());
    }),
  echo: (): Promise<number> => listening((socket) => socket.pipe(socket)),
  swallowed: (): Swallowed => swallowed,
  /** Sends at least `bytes` as fast as they are taken; resolves, once the far side closed, with what was sent. */
  async pour({
    port,
    bytes,
  }: {
    readonly port: number;
    readonly bytes: number;
  }): Promise<Omit<Swallowed, "firstMs" | "lastMs">> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    const closed = once(socket, "close");
    socket.resume();
    let sent = 0;
    let sum = 0;
    for (let number = 0; sent < bytes; number += 1) {
      const block = blockOf(number);
      sum = crc32(block, sum);
      sent += block.length;
      if (!socket.write(block)) await once(socket, "drain");
    }
    socket.end();
    await closed;
    return { bytes: sent, crc32: sum };
  },
  ping({ port, everyMs }: { readonly port: number; readonly everyMs: number }): void {
    startPinging(port, everyMs);
  },
  /** Forgets the round trips seen so far. */
  clearPings(): void {
    if (pinging !== undefined) pinging.roundTripsMs.length = 0;
  },
  pings: (): readonly number[] => pinging?.roundTripsMs ?? [],
  stopPinging(): readonly number[] {
    if (pinging === undefined) return [];
    clearInterval(pinging.timer);
    pinging.socket.destroy();
    return pinging.roundTripsMs;
  },
});
