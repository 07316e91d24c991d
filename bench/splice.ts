/**
 * What a relay costs: bytes pushed through one splice in a process of its own while source and sink run in this one.
 * Prints one JSON line: MB/s, CPU-seconds of the relay per GB, and the peak of its resident memory.
 * Usage: node bench/splice.ts [gigabytes=1] [rateBytesPerSecond=0]
 */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { rateShape } from "../fabric/qos.ts";
import { systemClock } from "../lib/clock.ts";
import { GiB, KiB, limits, MiB } from "../lib/limits.ts";
import { Splices } from "../relay/splice.ts";
import { placedNumbers, readCommandLine } from "./load/options.ts";

interface RelayReport {
  readonly cpuSeconds: number;
  readonly rssPeakBytes: number;
}

/** The relay process: splices every accepted connection to the port it is given. */
async function runRelay(sinkPort: number, rateBytesPerSecond: number): Promise<void> {
  const splices = new Splices({ clock: systemClock });
  const highWaterMark = limits.spliceHighWaterBytes;
  const server = createServer({ allowHalfOpen: true, noDelay: true, highWaterMark }, (incoming) => {
    const options = { port: sinkPort, host: "127.0.0.1", allowHalfOpen: true, noDelay: true, highWaterMark };
    const rate = rateShape(BigInt(rateBytesPerSecond), 0n);
    const outgoing = connect(options, () => splices.join(incoming, outgoing, { rate }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  let before = process.cpuUsage();
  process.on("message", (message) => {
    if (message === "reset") before = process.cpuUsage();
    if (message === "report") {
      const used = process.cpuUsage(before);
      const report: RelayReport = {
        cpuSeconds: (used.user + used.system) / 1e6,
        rssPeakBytes: process.resourceUsage().maxRSS * KiB,
      };
      process.send?.(report);
    }
  });
  process.send?.((server.address() as AddressInfo).port);
}

async function pour(socket: Socket, totalBytes: number): Promise<void> {
  const chunk = Buffer.alloc(64 * KiB, 0x5a);
  for (let sent = 0; sent < totalBytes; sent += chunk.length) {
    if (!socket.write(chunk)) await once(socket, "drain");
  }
  socket.end();
}

/** Bytes that reached the sink, once it saw the end. */
function drain(socket: Socket): Promise<number> {
  return new Promise((resolve, reject) => {
    let bytes = 0;
    socket.on("data", (data: Buffer) => {
      bytes += data.length;
    });
    socket.once("end", () => {
      socket.end();
      resolve(bytes);
    });
    socket.once("error", reject);
  });
}

async function ask<T>(relay: ChildProcess): Promise<T> {
  const [answer] = (await once(relay, "message")) as [T];
  return answer;
}

async function measure(totalBytes: number, rateBytesPerSecond: number): Promise<void> {
  const sink = createServer();
  sink.listen(0, "127.0.0.1");
  await once(sink, "listening");
  const sinkPort = (sink.address() as AddressInfo).port;
  const relay = fork(new URL(import.meta.url), ["--relay", String(sinkPort), String(rateBytesPerSecond)]);
  const port = await ask<number>(relay);
  const run = async (bytes: number): Promise<number> => {
    const accepted = once(sink, "connection") as Promise<[Socket]>;
    const source = connect(port, "127.0.0.1");
    const [received] = await Promise.all([accepted.then(([socket]) => drain(socket)), pour(source, bytes)]);
    if (received !== bytes) throw new Error(`sent ${bytes}, received ${received}`);
    return received;
  };
  await run(Math.min(totalBytes, 64 * MiB));
  relay.send("reset");
  const startedMs = systemClock.monoMs();
  const bytes = await run(totalBytes);
  const seconds = (systemClock.monoMs() - startedMs) / 1_000;
  relay.send("report");
  const { cpuSeconds, rssPeakBytes } = await ask<RelayReport>(relay);
  const result = {
    bench: "splice",
    bytes,
    megabytesPerSecond: Math.round(bytes / seconds / 1e6),
    cpuSecondsPerGigabyte: Number((cpuSeconds / (bytes / 1e9)).toFixed(3)),
    relayRssPeakBytes: rssPeakBytes,
    rateBytesPerSecond,
    highWaterBytes: limits.spliceHighWaterBytes,
    node: process.version,
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
  relay.kill();
  sink.close();
}

const [first, second = "0", third = "0"] = process.argv.slice(2);
if (first === "--relay") await runRelay(Number(second), Number(third));
else {
  const [gibibytes, rate] =
    readCommandLine("usage: npm run bench -- splice [GIBIBYTES=1] [BYTES_PER_SECOND=0]", (args) => {
      if (args.includes("--help")) return undefined;
      const wanted = [
        { name: "GIBIBYTES", start: 1, min: 0.001 },
        { name: "BYTES_PER_SECOND", start: 0, min: 0 },
      ];
      return placedNumbers(args, wanted) as readonly [number, number];
    }) ?? process.exit();
  await measure(Math.round((gibibytes * GiB) / (64 * KiB)) * 64 * KiB, rate);
}
