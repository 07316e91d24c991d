/** A path's events as the answers of its OpenPath stream, until the path is over or the stream is. */

import { create } from "@bufbuild/protobuf";
import { type OpenPathResponse, OpenPathResponseSchema } from "../gen/weft/relay/v1/relay_pb.ts";
import type { HopPath, PathEvent } from "./hop-path.ts";

/** Events a slow reader may fall behind: they are few, and the last one says what matters. */
const BACKLOG_MAX = 16;

/** Ends after `closing`, or when `signal` aborts. */
export async function* pathEvents(path: HopPath, signal: AbortSignal): AsyncGenerator<OpenPathResponse> {
  const backlog: PathEvent[] = [];
  let wake: () => void = () => {};
  const unsubscribe = path.onEvent((event) => {
    if (backlog.length >= BACKLOG_MAX) backlog.shift();
    backlog.push(event);
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort);
  try {
    while (!signal.aborted) {
      const event = backlog.shift();
      if (event === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (signal.aborted || backlog.length > 0) resolve();
        });
        continue;
      }
      yield toWire(event);
      if (event.kind === "closing") return;
    }
  } finally {
    unsubscribe();
    signal.removeEventListener("abort", onAbort);
  }
}

function toWire(event: PathEvent): OpenPathResponse {
  switch (event.kind) {
    case "draining":
      return create(OpenPathResponseSchema, { event: { case: "draining", value: { nodeId: event.nodeId } } });
    case "revoked":
      return create(OpenPathResponseSchema, { event: { case: "revoked", value: { nodeId: event.nodeId } } });
    case "closing":
      return create(OpenPathResponseSchema, { event: { case: "closing", value: { reason: event.reason } } });
  }
}
