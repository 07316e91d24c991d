/** The calling side of OpenPath: asks the next hop, waits for `ready` in time, follows the events that come after. */

import type { Client } from "@connectrpc/connect";
import { type OpenPathRequest, type OpenPathResponse, RelayService } from "../gen/weft/relay/v1/relay_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { failureName, type Tracer } from "../lib/tracer.ts";
import { calledSpan } from "../rpc/trace-calls.ts";
import { closingReason, type PathEvent } from "./hop-path.ts";

export interface AskOptions {
  readonly clock: Clock;
  /** Ends the call, before or after `ready`. */
  readonly signal: AbortSignal;
  /** Position of the asked hop on the path, for `metadata.hop` of a failure. */
  readonly hop: number;
  readonly onEvent: (event: PathEvent) => void;
  readonly tracer?: Tracer | undefined;
}

/** The leg token of the next hop. Rejects with a PATH_* error; events keep coming to `onEvent` after it resolved. */
export async function askHop(
  client: Client<typeof RelayService>,
  request: OpenPathRequest,
  options: AskOptions,
): Promise<Uint8Array> {
  const { span, headers } = calledSpan(options.tracer, RelayService.method.openPath);
  span?.set({ "weft.hop": options.hop });
  try {
    const token = await ask(client, request, { ...options, headers });
    span?.end();
    return token;
  } catch (error) {
    span?.end(failureName(error));
    throw error;
  }
}

async function ask(
  client: Client<typeof RelayService>,
  request: OpenPathRequest,
  options: AskOptions & { readonly headers: Headers | undefined },
): Promise<Uint8Array> {
  const { clock, signal } = options;
  const call = new AbortController();
  const onAbort = (): void => call.abort();
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) call.abort();
  let late = false;
  // Each later hop is given less time, so that whoever waits for the one that hangs is the first to say so.
  const deadlineMs = limits.openPathDeadlineMs - (options.hop - 1) * limits.openPathHopMarginMs;
  const timer = clock.after(deadlineMs, () => {
    late = true;
    call.abort();
  });
  try {
    const { headers } = options;
    const calling = { signal: call.signal, timeoutMs: 0, ...(headers === undefined ? {} : { headers }) };
    const answers = client.openPath(request, calling)[Symbol.asyncIterator]();
    const first = await answers.next();
    const token = first.done === true ? undefined : readyToken(first.value);
    if (token === undefined) throw pathError("unavailable", "PATH_REFUSED", options.hop);
    void follow(answers, options.onEvent);
    return token;
  } catch (error) {
    call.abort();
    if (signal.aborted) throw pathError("canceled", "PATH_CANCELED", options.hop, error);
    if (late) throw pathError("deadline_exceeded", "PATH_DEADLINE", options.hop, error);
    throw passOn(error, options.hop);
  } finally {
    timer.cancel();
  }
}

/** An error of path set-up. The message names nobody; `hop` is the position on the path that failed. */
export function pathError(
  reason:
    | "unavailable"
    | "canceled"
    | "deadline_exceeded"
    | "permission_denied"
    | "resource_exhausted"
    | "failed_precondition",
  detail: string,
  hop: number,
  cause?: unknown,
): WeftError {
  const retry = reason === "permission_denied" ? "never" : "later";
  return new WeftError(reason, "the path could not be set up", {
    detail,
    retry,
    cause,
    metadata: { hop: String(hop) },
  });
}

/** A later hop's failure keeps its class and its position; anything else is blamed on the hop that was asked. */
function passOn(error: unknown, hop: number): WeftError {
  if (!(error instanceof WeftError)) return pathError("unavailable", "PATH_NEXT_HOP_UNREACHABLE", hop, error);
  const known = /^(PATH|OFFER|FEED)_[A-Z_]+$/.test(error.detail);
  // A call that broke with its link: nobody has decided anything, and another path may do.
  if (error.detail === "INTERNAL") return pathError("unavailable", "PATH_NEXT_HOP_UNREACHABLE", hop, error);
  const named = error.metadata["hop"];
  const at = named !== undefined && /^[0-5]$/.test(named) ? named : String(hop);
  const detail = known ? error.detail : "PATH_REFUSED";
  const shared = error.metadata["shared"] ?? "";
  return new WeftError(error.reason, "the path could not be set up", {
    detail,
    retry: error.retry,
    cause: error,
    metadata: { hop: at, ...(/^[1-4](,[1-4]){0,3}$/.test(shared) ? { shared } : {}) },
  });
}

/**
 * The far edge's refusal of a standby: positions on this path that another path of the trunk uses too. Every hop of the
 * path knows these nodes already, so it tells nobody anything about the other path.
 */
export function sharesError(hop: number, positions: readonly number[]): WeftError {
  return new WeftError("failed_precondition", "the path could not be set up", {
    detail: "PATH_SHARES_RELAY",
    retry: "later",
    metadata: { hop: String(hop), shared: positions.join() },
  });
}

/** The hops of a path that a failure says are shared; none when it failed for another reason. */
export function sharedHops(error: Error, hops: readonly string[]): string[] {
  if (!(error instanceof WeftError) || error.detail !== "PATH_SHARES_RELAY") return [];
  const positions = (error.metadata["shared"] ?? "").split(",").map(Number);
  return hops.slice(1, -1).filter((_hop, at) => positions.includes(at + 1));
}

function readyToken(answer: OpenPathResponse): Uint8Array | undefined {
  return answer.event.case === "ready" ? answer.event.value.legToken : undefined;
}

/** Passes events on until the stream ends, for whatever reason: its end says nothing about the path. */
async function follow(answers: AsyncIterator<OpenPathResponse>, onEvent: (event: PathEvent) => void): Promise<void> {
  try {
    for (;;) {
      const next = await answers.next();
      if (next.done === true) return;
      const event = eventOf(next.value);
      if (event !== undefined) onEvent(event);
    }
  } catch {
    // The link is gone; the bytes may well flow on.
  }
}

function eventOf({ event }: OpenPathResponse): PathEvent | undefined {
  switch (event.case) {
    case "draining":
      return { kind: "draining", nodeId: event.value.nodeId };
    case "revoked":
      return { kind: "revoked", nodeId: event.value.nodeId };
    case "closing":
      return { kind: "closing", reason: closingReason(event.value.reason) };
    default:
      return undefined;
  }
}
