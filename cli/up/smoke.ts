/**
 * The smoke run: random bytes both ways through an entry listener to the TCP echo, hashed on the way out and on the way
 * back, then what every process says about itself.
 */

import { createHash, randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import type { GetStatusResponse } from "../../gen/weft/node/v1/node_pb.ts";
import { MiB } from "../../lib/limits.ts";
import type { Fabric } from "./fabric.ts";
import { askFabricNode } from "./failovers.ts";

export interface ProcessReport {
  readonly name: string;
  readonly role: string;
  readonly pid: number;
  /** Peak resident set (VmHWM), in units of 2^20 bytes. */
  readonly rss_mb: number;
  readonly bytes_spliced: number;
}

export interface SmokeReport {
  readonly ok: boolean;
  readonly up_ms: number;
  readonly first_byte_ms: number;
  /** Both ways together. */
  readonly bytes: number;
  readonly sha256_equal: boolean;
  readonly path: readonly string[];
  /** Bytes both ways over wall time, in units of 10^6 bytes per second. */
  readonly mb_per_s: number;
  readonly processes: readonly ProcessReport[];
}

export interface Transfer {
  readonly firstByteMs: number;
  readonly wallMs: number;
  readonly sent: number;
  readonly received: number;
  readonly equal: boolean;
}

const chunkBytes = MiB / 4;
/** How long the transfer may stand still before it counts as failed. */
const silenceMaxMs = 20_000;

/** Fresh random bytes in a ring of buffers: one is refilled only after the kernel has taken what it held. */
function sendAll(socket: Socket, bytes: number, hash: ReturnType<typeof createHash>): void {
  const free = Array.from({ length: 4 }, () => Buffer.allocUnsafeSlow(chunkBytes));
  let left = bytes;
  const more = (): void => {
    for (let buffer = free.pop(); buffer !== undefined && left > 0; buffer = free.pop()) {
      const used = buffer;
      const chunk = randomFillSync(used).subarray(0, Math.min(left, chunkBytes));
      left -= chunk.length;
      hash.update(chunk);
      socket.write(chunk, () => {
        free.push(used);
        if (left > 0) more();
      });
    }
    if (left === 0 && !socket.writableEnded) socket.end();
  };
  more();
}

/** Sends `bytes` random bytes to an echo behind `port` and reads them back, hashing both. Rejects when it breaks or stalls. */
export function echoTransfer(port: number, bytes: number, onProgress?: (received: number) => void): Promise<Transfer> {
  return new Promise((resolve, reject) => {
    const out = createHash("sha256");
    const back = createHash("sha256");
    const startedMs = performance.now();
    let firstByteMs = 0;
    let received = 0;
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
    socket.setTimeout(silenceMaxMs, () =>
      socket.destroy(new Error(`no byte for ${silenceMaxMs / 1000} s after ${received} bytes`)),
    );
    socket.once("connect", () => sendAll(socket, bytes, out));
    socket.on("data", (chunk: Buffer) => {
      if (received === 0) firstByteMs = performance.now() - startedMs;
      received += chunk.length;
      back.update(chunk);
      onProgress?.(received);
    });
    socket.once("error", reject);
    socket.once("end", () => {
      const wallMs = performance.now() - startedMs;
      resolve({
        firstByteMs,
        wallMs,
        sent: bytes,
        received,
        equal: received === bytes && out.digest("hex") === back.digest("hex"),
      });
    });
    socket.once("close", () => reject(new Error(`the connection closed after ${received} of ${bytes} bytes`)));
  });
}

/** Peak resident set of a process, from the kernel. */
function peakRssMb(pid: number): number {
  const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Math.round((Number(match?.[1] ?? 0) / 1024) * 10) / 10;
}

/** The hops, by name, of the bulk lane of an entry's busiest trunk. */
export async function pathInUse(fabric: Fabric, entry: string): Promise<string[]> {
  return await fabric.withSession(async (session) => {
    const clusterId = await session.clusterId();
    const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId });
    const { trunks } = await askFabricNode(fabric, session, entry, (client) => client.listTrunks({}));
    const busiest = trunks.toSorted((a, b) => Number(b.bytesSent - a.bytesSent))[0];
    const lanes = busiest?.attachments.filter(({ active }) => active) ?? [];
    const hops = (lanes.find(({ lane }) => lane === "bulk") ?? lanes[0])?.hops ?? [];
    return hops.map((hop) => nodes.find((node) => node.id === hop)?.name ?? hop);
  });
}

/** What every process says about itself. Must be asked while they run. */
export async function processReports(fabric: Fabric): Promise<ProcessReport[]> {
  return await fabric.withSession(async (session) => {
    return await Promise.all(
      fabric.processes.map(async (child) => {
        const status: GetStatusResponse | undefined =
          child.role === "control"
            ? undefined
            : await askFabricNode(fabric, session, child.name, (client) => client.getStatus({}));
        return {
          name: child.name,
          role: child.role,
          pid: child.pid,
          rss_mb: peakRssMb(child.pid),
          bytes_spliced: Number(status?.counters?.bytesSpliced ?? 0n),
        };
      }),
    );
  });
}

/** Runs the whole smoke test against a standing fabric. */
export async function runSmoke(
  fabric: Fabric,
  bytesEachWay: number,
  onProgress: (line: string) => void,
): Promise<SmokeReport> {
  const entry = "entry-1";
  let told = 0;
  const transfer = await echoTransfer(fabric.listenerPort(`echo-${entry}`), bytesEachWay, (received) => {
    const quarter = Math.floor((received / bytesEachWay) * 4);
    if (quarter > told) onProgress(`${quarter * 25} % came back`);
    told = Math.max(told, quarter);
  });
  const path = await pathInUse(fabric, entry);
  const processes = await processReports(fabric);
  const bytes = transfer.sent + transfer.received;
  return {
    ok: transfer.equal && path.length >= 3,
    up_ms: Math.round(fabric.upMs),
    first_byte_ms: Math.round(transfer.firstByteMs * 10) / 10,
    bytes,
    sha256_equal: transfer.equal,
    path,
    mb_per_s: Math.round((bytes / 1e6 / (transfer.wallMs / 1000)) * 10) / 10,
    processes,
  };
}
