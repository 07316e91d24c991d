/**
 * Spans of setting a channel up, at both edges: `weft.channel.open` at the entry, `weft.path.open` where a path was needed for
 * it, `weft.channel.connect` and `weft.target.connect` at the egress; and `weft.trunk.move` when a lane went elsewhere. What a
 * trace carries on afterwards is nobody's: a byte that passes costs nothing here.
 */

import type { EdgeChannel } from "../../edge/channel.ts";
import { endName } from "../../edge/channel-error.ts";
import type { MoveReport } from "../../edge/move-reports.ts";
import type { PathWish } from "../../edge/trunk-pool.ts";
import type { ChannelOpen } from "../../fabric/trunk/messages.ts";
import type { ChannelEnd } from "../../gen/weft/channel/v1/channel_pb.ts";
import { formatTraceparent, parseTraceparent, type TraceContext } from "../../lib/trace-context.ts";
import { failureName, type SpanStart, type Tracer, traced } from "../../lib/tracer.ts";
import type { FarPeer } from "./admit-channel.ts";
import type { DialOutcome } from "./dial-target.ts";

/** Entry: from the wish to the target's answer, which comes after `open` has resolved. */
export async function tracedChannel(
  tracer: Tracer,
  wish: { readonly resource: string; readonly link?: TraceContext | undefined },
  open: () => Promise<EdgeChannel>,
): Promise<EdgeChannel> {
  const attributes = { "weft.resource": wish.resource };
  const span = tracer.begin("weft.channel.open", { kind: "server", attributes, link: wish.link });
  try {
    const channel = await tracer.run(span, open);
    if (span !== undefined) {
      channel.opened.then(
        () => span.end(),
        (thrown: unknown) => span.end(failureName(thrown)),
      );
    }
    return channel;
  } catch (thrown) {
    span?.end(failureName(thrown));
    throw thrown;
  }
}

/** What the open frame says of the channel's trace: nothing, where it is no part of one. */
export function carriedTrace(tracer: Tracer | undefined, correlationId: string): Pick<ChannelOpen, "traceparent"> {
  const span = tracer?.current();
  if (span === undefined) return {};
  span.set({ "weft.correlation_id": correlationId });
  span.event("weft.channel.authorized");
  return { traceparent: formatTraceparent(span.context) };
}

/** A path, over the best way that opens. The first of a trunk is part of the channel that needs it; others are for nobody. */
export function tracedPath<T>(
  tracer: Tracer,
  { purpose, lane, trunkId, ways }: Pick<PathWish, "purpose" | "lane" | "trunkId"> & { readonly ways: number },
  open: () => Promise<T>,
): Promise<T> {
  const trunk = Buffer.from(trunkId).toString("hex");
  const attributes = { "weft.purpose": purpose, "weft.lane": lane, "weft.trunk": trunk, "weft.ways": ways };
  const start: SpanStart = { attributes };
  const span = purpose === "first" ? tracer.inside("weft.path.open", start) : tracer.begin("weft.path.open", start);
  return traced(tracer, span, open);
}

/** Egress: from the open frame to the target. An entry's trace is gone on with; what a client says of traces is a link. */
export async function tracedConnect(
  tracer: Tracer | undefined,
  { open, peer }: { readonly open: ChannelOpen; readonly peer: FarPeer | undefined },
  connect: () => Promise<ChannelEnd | undefined>,
): Promise<void> {
  if (tracer === undefined) return void (await connect());
  const from = parseTraceparent(open.traceparent);
  const attributes = { "weft.resource": open.resource, "weft.correlation_id": open.correlationId };
  const start: SpanStart = { kind: "server", attributes };
  const span =
    peer?.kind === "entry"
      ? tracer.join("weft.channel.connect", from, start)
      : tracer.begin("weft.channel.connect", { ...start, link: from });
  try {
    const end = await tracer.run(span, connect);
    span?.end(end === undefined ? undefined : endName(end));
  } catch (thrown) {
    span?.end(failureName(thrown));
    throw thrown;
  }
}

export async function tracedDial(tracer: Tracer | undefined, dial: () => Promise<DialOutcome>): Promise<DialOutcome> {
  const span = tracer?.inside("weft.target.connect", { kind: "client" });
  const outcome = await dial();
  span?.end(outcome.ok ? undefined : endName(outcome.end));
  return outcome;
}

/** A move that is over: it lasted as long as its lane stood still. */
export function traceMove(tracer: Tracer | undefined, moved: MoveReport, trunkIdHex: string): void {
  const attributes = {
    "weft.trunk": trunkIdHex,
    "weft.lane": moved.lane,
    "weft.cause": moved.cause,
    "weft.gap_ms": moved.gapMs,
    "weft.replayed_bytes": moved.replayedBytes,
    "weft.moves": moved.moves,
  };
  tracer?.begin("weft.trunk.move", { attributes, startedMsAgo: moved.gapMs })?.end();
}
