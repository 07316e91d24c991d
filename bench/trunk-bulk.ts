/**
 * What a trunk costs by itself: two processes, one end-to-end TLS connection per lane over loopback, no relay, no fabric.
 * Prints one JSON line.
 *
 *   npm run bench -- trunk-bulk [MiB each way]
 *
 * bulk: that many MiB in both directions at the same time over an echo; CPU per GB is of both processes, per byte carried.
 * small: 64-byte messages one way over 16 channels. pingPong: 1 KiB there and back on the interactive lane, idle trunk.
 */

import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { leafOfKind, rootsOfKind } from "../certs/material.ts";
import type { EdgeChannel } from "../edge/channel.ts";
import { TrunkAcceptor } from "../edge/trunk-acceptor.ts";
import { TrunkPool } from "../edge/trunk-pool.ts";
import { ChannelClass } from "../gen/weft/fabric/v1/role_pb.ts";
import { systemClock } from "../lib/clock.ts";
import { MiB } from "../lib/limits.ts";
import { silentLog } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { Identities } from "../tests/harness/edge-paths.ts";
import { dialPath, listenForPaths, makeIdentities } from "../tests/harness/edge-paths.ts";
import { placedNumbers, readCommandLine } from "./load/options.ts";
import { round } from "./load/statistics.ts";

/** Identities as they cross to the other process. */
interface Packed {
  readonly roots: string[];
  readonly entry: { keyPem: string; der: string };
  readonly egress: { keyPem: string; der: string };
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function pack({ roots, entry, egress }: Identities): Packed {
  return {
    roots: roots.roots.map((root) => hex(root.der)),
    entry: { keyPem: entry.keyPem, der: hex(entry.certificateDer) },
    egress: { keyPem: egress.keyPem, der: hex(egress.certificateDer) },
  };
}

function unpack({ roots, entry, egress }: Packed): Identities {
  return {
    roots: rootsOfKind(
      "node",
      roots.map((der) => Buffer.from(der, "hex")),
    ),
    entry: leafOfKind("node", entry.keyPem, Buffer.from(entry.der, "hex")),
    egress: leafOfKind("node", egress.keyPem, Buffer.from(egress.der, "hex")),
  };
}

function serve(channel: EdgeChannel): void {
  channel.on("error", () => {});
  channel.accept();
  channel.copiesWrites = false;
  if (channel.request.resource === "sink") channel.resume().once("end", () => channel.end());
  else channel.pipe(channel);
}

/** The far edge: echoes, swallows, and says how much CPU it used. */
async function farEdge(packed: Packed): Promise<void> {
  const acceptor = new TrunkAcceptor<string>({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    accept: () => true,
    onChannel: serve,
  });
  const listener = await listenForPaths(unpack(packed), (path) => acceptor.add(path));
  process.on("message", () => process.send?.({ cpu: process.cpuUsage() }));
  process.send?.({ port: listener.port });
}

const seconds = (usage: { user: number; system: number }): number => (usage.user + usage.system) / 1e6;

async function nearEdge(bytesEachWay: number): Promise<void> {
  const identities = await makeIdentities();
  const child = fork(fileURLToPath(import.meta.url), ["--far-edge"]);
  child.send(pack(identities));
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  const farCpu = async (): Promise<number> => {
    child.send("cpu");
    const [{ cpu }] = (await once(child, "message")) as [{ cpu: { user: number; system: number } }];
    return seconds(cpu);
  };
  const pool = new TrunkPool({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    openPath: () => dialPath(identities, port),
  });
  const open = async (resource: string, channelClass: ChannelClass): Promise<EdgeChannel> => {
    const channel = await pool.open(
      { farEdge: "far", organizationId: "org" },
      { resource, class: channelClass, origin: undefined, correlationId: "bench" },
    );
    channel.copiesWrites = false;
    await channel.opened;
    return channel;
  };
  await bulk(await open("echo", ChannelClass.BULK), 32 * MiB);
  const nearBefore = seconds(process.cpuUsage());
  const farBefore = await farCpu();
  const bulkMs = await bulk(await open("echo", ChannelClass.BULK), bytesEachWay);
  const gigabytes = (2 * bytesEachWay) / 1e9;
  const nearCpu = seconds(process.cpuUsage()) - nearBefore;
  const farUsed = (await farCpu()) - farBefore;
  const windowBytes = pool.trunks()[0]?.stats().windowBytes;
  const small = await smallMessages(
    await Promise.all(Array.from({ length: 16 }, () => open("sink", ChannelClass.BULK))),
  );
  const pingPong = await pingPongUs(await open("echo", ChannelClass.INTERACTIVE), 2_000);
  process.stdout.write(
    `${JSON.stringify({
      bench: "trunk-bulk",
      node: process.version,
      mibEachWay: bytesEachWay / MiB,
      bulk: {
        megabytesPerSecondBothWays: round((2 * bytesEachWay) / 1e3 / bulkMs, 0),
        cpuSecondsPerGigabyte: { near: round(nearCpu / gigabytes, 2), far: round(farUsed / gigabytes, 2) },
        windowBytes,
      },
      small: { messageBytes: 64, channels: 16, messagesPerSecond: round(small, 0) },
      pingPong,
      rssMiB: round(process.memoryUsage.rss() / MiB, 0),
    })}\n`,
  );
  await pool.close();
  child.kill();
}

/** Sends and receives `bytes` over an echo; milliseconds until the last one is back. */
async function bulk(channel: EdgeChannel, bytes: number): Promise<number> {
  const block = Buffer.alloc(64 * 1_024, 7);
  let written = 0;
  let got = 0;
  channel.on("data", (chunk: Buffer) => {
    got += chunk.length;
  });
  const write = (): void => {
    while (written < bytes) {
      written += block.length;
      if (!channel.write(block)) return;
    }
    channel.off("drain", write);
    channel.end();
  };
  const startMs = systemClock.monoMs();
  channel.on("drain", write);
  write();
  await once(channel, "end");
  if (got !== bytes) throw new Error(`echo gave back ${got} of ${bytes} bytes`);
  return systemClock.monoMs() - startMs;
}

/** Messages per second over several channels, one way, until the far edge half-closed all of them. */
async function smallMessages(channels: readonly EdgeChannel[]): Promise<number> {
  const perChannel = 60_000;
  const message = Buffer.alloc(64, 9);
  const startMs = systemClock.monoMs();
  await Promise.all(
    channels.map(async (channel) => {
      channel.copiesWrites = true;
      channel.resume();
      let left = perChannel;
      const write = (): void => {
        while (left > 0) {
          left -= 1;
          if (!channel.write(message)) return;
        }
        channel.off("drain", write);
        channel.end();
      };
      channel.on("drain", write);
      write();
      await once(channel, "end");
    }),
  );
  return (channels.length * perChannel * 1_000) / (systemClock.monoMs() - startMs);
}

async function pingPongUs(channel: EdgeChannel, count: number): Promise<{ p50Us: number; p99Us: number }> {
  const message = Buffer.alloc(1_024, 1);
  const times: number[] = [];
  let got = 0;
  let wake = (): void => {};
  channel.on("data", (chunk: Buffer) => {
    got += chunk.length;
    if (got >= message.length) wake();
  });
  for (let i = 0; i < count; i += 1) {
    got = 0;
    const startMs = systemClock.monoMs();
    await new Promise<void>((resolve) => {
      wake = resolve;
      channel.write(message);
    });
    times.push(systemClock.monoMs() - startMs);
  }
  channel.end();
  times.sort((a, b) => a - b);
  const at = (share: number): number => round((times[Math.floor(share * times.length)] as number) * 1e3, 0);
  return { p50Us: at(0.5), p99Us: at(0.99) };
}

if (process.argv[2] === "--far-edge") {
  const [packed] = (await once(process, "message")) as [Packed];
  await farEdge(packed);
} else {
  const [mebibytes] =
    readCommandLine("usage: npm run bench -- trunk-bulk [MEBIBYTES=256]", (args) => {
      if (args.includes("--help")) return undefined;
      return placedNumbers(args, [{ name: "MEBIBYTES", start: 256, min: 1 }]) as readonly [number];
    }) ?? process.exit();
  await nearEdge(mebibytes * MiB);
}
