/** The part of NodeService that is about workloads: what is supervised, and the ends of logs. For operators. */

import type { ServiceImpl } from "@connectrpc/connect";
import type { NodeService, WatchWorkloadLogRequest } from "../gen/weft/node/v1/node_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { LogLine, LogTail } from "./workloads/log-tail.ts";
import type { Supervisor } from "./workloads/supervisor.ts";

export type WorkloadView = Pick<Supervisor, "status" | "tail">;

interface Batch {
  readonly lines: { readonly atMs: bigint; readonly stream: string; readonly text: string }[];
  readonly missed: bigint;
}

/** Lines as messages of bounded size. */
function* batches(lines: readonly LogLine[], missed: number): Generator<Batch> {
  let batch: Batch = { lines: [], missed: BigInt(missed) };
  let sizeBytes = 0;
  for (const { atMs, stream, text } of lines) {
    const bytes = Buffer.byteLength(text) + 32;
    if (sizeBytes > 0 && sizeBytes + bytes > limits.workloadLogBatchMaxBytes) {
      yield batch;
      batch = { lines: [], missed: 0n };
      sizeBytes = 0;
    }
    batch.lines.push({ atMs: BigInt(atMs), stream, text });
    sizeBytes += bytes;
  }
  if (batch.lines.length > 0) yield batch;
}

async function* follow(tail: LogTail, request: WatchWorkloadLogRequest, signal: AbortSignal): AsyncGenerator<Batch> {
  let wake: () => void = () => {};
  const onNews = (): void => wake();
  const unsubscribe = tail.onLine(onNews);
  signal.addEventListener("abort", onNews);
  try {
    let seq = tail.lastSeq;
    yield* batches(tail.newest(request.lines), 0);
    while (request.follow && !signal.aborted) {
      const { lines, missed } = tail.after(seq);
      seq = lines.at(-1)?.seq ?? seq;
      yield* batches(lines, missed);
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (signal.aborted || tail.lastSeq > seq) resolve();
      });
    }
  } finally {
    unsubscribe();
    signal.removeEventListener("abort", onNews);
  }
}

export function workloadMethods(
  view: WorkloadView,
): Pick<ServiceImpl<typeof NodeService>, "listWorkloads" | "watchWorkloadLog"> {
  return {
    listWorkloads: () => ({
      workloads: view.status().map(({ sinceMs, restarts, ...row }) => ({
        ...row,
        sinceMs: BigInt(sinceMs),
        restarts: BigInt(restarts),
      })),
    }),
    watchWorkloadLog(request, context) {
      const tail = view.tail(request.name);
      if (tail === undefined) {
        throw new WeftError("not_found", "this node has no such workload", { detail: "WORKLOAD_NOT_FOUND" });
      }
      return follow(tail, request, context.signal);
    },
  };
}
