/**
 * The receiving process of a load: an independent target that hashes every byte, checks every sequence and notes when each
 * message was there.
 */

import { type AddressInfo, createServer, type Socket } from "node:net";
import { ChannelLedger, type LedgerTotals, type SentTotals, type Verdict, verdictOf } from "./ledger.ts";
import { type Message, sharedMs } from "./message.ts";
import { DelayWindow, quantileOfSorted, reportOf, type WindowReport } from "./statistics.ts";
import { serveWorker } from "./worker.ts";

const ledgers = new Map<Socket, ChannelLedger>();
const windows = new Map<number, DelayWindow>();
let bytes = 0;

function note(message: Message, atMs: number): void {
  let window = windows.get(message.window);
  if (window === undefined) {
    window = new DelayWindow();
    windows.set(message.window, window);
  }
  window.add(message.channel, atMs - message.intendedMs);
}

const server = createServer({ noDelay: true }, (socket) => {
  const ledger = new ChannelLedger();
  ledgers.set(socket, ledger);
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    const atMs = sharedMs();
    bytes += chunk.length;
    ledger.take(chunk, (message) => note(message, atMs));
  });
});

export type Receiver = typeof handlers;

const handlers = serveWorker({
  listen: (): Promise<number> =>
    new Promise((resolve) => {
      server.listen({ host: "127.0.0.1", port: 0, backlog: 4_096 }, () =>
        resolve((server.address() as AddressInfo).port),
      );
    }),
  /** Forgets everything, connections too. */
  reset(): void {
    for (const socket of ledgers.keys()) socket.destroy();
    ledgers.clear();
    windows.clear();
    bytes = 0;
  },
  /** Forgets what was measured, not what arrived. */
  clearWindows(): void {
    windows.clear();
  },
  arrivedBytes: (): number => bytes,
  /** Channels a first message has come from. */
  channels: (): number => [...ledgers.values()].filter(({ channel }) => channel !== undefined).length,
  verify(sent: readonly SentTotals[]): Verdict {
    const arrived = new Map<number, LedgerTotals>();
    for (const ledger of ledgers.values()) {
      if (ledger.channel !== undefined) arrived.set(ledger.channel, ledger.totals());
    }
    return verdictOf(sent, arrived);
  },
  /** Delays of these windows, and the median of all of them together. */
  report(numbers: readonly number[]): { readonly medianMs: number; readonly windows: readonly WindowReport[] } {
    const all = numbers.flatMap((number) => [...(windows.get(number)?.delaysMs ?? [])]);
    return {
      medianMs: quantileOfSorted(Float64Array.from(all).sort(), 0.5),
      windows: numbers.map((number) => reportOf(windows.get(number))),
    };
  },
  /** Messages of a window that have arrived so far. */
  messages: (number: number): number => windows.get(number)?.delaysMs.length ?? 0,
});
