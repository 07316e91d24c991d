/**
 * PathService/OpenClientPath: a leg for a client that is an edge itself. The client names a resource; this entry chooses
 * pool member and path. The resume handle is random and names nothing: it leads back to the same egress through any
 * restart of the client, at this entry, while the entry runs.
 */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { askHash, verifyAsk } from "../../fabric/path/ask.ts";
import {
  type OpenClientPathResponse,
  OpenClientPathResponseSchema,
  type PathService,
} from "../../gen/weft/access/v1/access_pb.ts";
import { PathPurpose } from "../../gen/weft/relay/v1/relay_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { clientOf, kCaller } from "../../rpc/caller.ts";
import type { ClientLeg, PathEvent, PathOpener } from "../paths.ts";
import type { DataPlanePorts } from "../plane-ports.ts";
import type { Routes } from "./routes.ts";

export interface PathServiceDeps {
  readonly ports: DataPlanePorts;
  readonly routes: Routes;
  readonly paths: () => PathOpener;
  /** What the offline mode says about new legs right now. */
  readonly newChannels: () => boolean;
}

/** How many ways to one egress are tried before the next egress of the pool. */
const pathAttemptsMaxCount = 3;

interface Handle {
  readonly clientId: string;
  readonly poolId: string;
  readonly farEdge: string;
}

type Event = MessageInitShape<typeof OpenClientPathResponseSchema>["event"];

function eventOf(event: PathEvent): Event {
  // Clients learn what happened, never where (LAW-C3).
  if (event.kind === "draining") return { case: "draining", value: { reason: "draining" } };
  if (event.kind === "revoked") return { case: "revoked", value: { reason: "revoked" } };
  return { case: "closing", value: { reason: event.reason } };
}

/** The leg's events until it closes or the caller leaves; leaving ends nothing but the signalling. */
async function* follow(leg: ClientLeg, first: Event, signal: AbortSignal): AsyncGenerator<OpenClientPathResponse> {
  yield create(OpenClientPathResponseSchema, { event: first ?? { case: undefined } });
  const queue: Event[] = [];
  let wake: () => void = () => {};
  const unsubscribe = leg.onEvent((event) => {
    queue.push(eventOf(event));
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort);
  try {
    while (!signal.aborted) {
      const event = queue.shift();
      if (event === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (signal.aborted || queue.length > 0) resolve();
        });
        continue;
      }
      yield create(OpenClientPathResponseSchema, { event });
      if (event.case === "closing") return;
    }
  } finally {
    unsubscribe();
    signal.removeEventListener("abort", onAbort);
  }
}

export function pathService(deps: PathServiceDeps): ServiceImpl<typeof PathService> {
  const { ports, routes } = deps;
  const handles = new Map<string, Handle>();

  function remember(handle: Handle): Uint8Array {
    const id = ports.random.bytes(16);
    handles.set(Buffer.from(id).toString("hex"), handle);
    // The oldest goes: a client without a handle gets another pool member, not an error.
    if (handles.size > limits.pathsMaxCount) handles.delete(handles.keys().next().value ?? "");
    return id;
  }

  return {
    async *openClientPath(request, context) {
      if (ports.drain.draining()) throw new WeftError("unavailable", "the node is draining", { detail: "DRAINING" });
      if (!deps.newChannels())
        throw new WeftError("unavailable", "the offline policy stops new channels", { detail: "OFFLINE" });
      const caller = context.values.get(kCaller);
      const { clientId, clusterId } = clientOf(caller);
      const clientSpki = caller.spkiDer;
      if (clientSpki === undefined)
        throw new WeftError("unauthenticated", "the client's key is not known", { detail: "CLIENT_KEY" });
      const signed = { ask: request.ask, signature: request.askSignature };
      const ask = verifyAsk(signed, { clientSpki, clusterId, clientId, nowMs: ports.clock.nowMs() });
      const organizationId = caller.organizationId ?? "";
      const resource = routes.resource(ask.resource, organizationId);
      if (resource === undefined)
        throw new WeftError("not_found", "there is no such resource", { detail: "UNKNOWN_RESOURCE" });
      const held = handles.get(Buffer.from(request.resumeHandle).toString("hex"));
      const resumed =
        held !== undefined && held.clientId === clientId && held.poolId === resource.poolId ? held.farEdge : undefined;
      const farEdges =
        resumed === undefined ? routes.egresses(resource.poolId, organizationId, resource.defaultClass) : [resumed];
      const purpose =
        resumed !== undefined ? PathPurpose.RESUME : request.standby ? PathPurpose.STANDBY : PathPurpose.NEW;
      let last: unknown;
      const ways = farEdges.flatMap((far) =>
        routes.paths(far, organizationId, resource.defaultClass).slice(0, pathAttemptsMaxCount),
      );
      for (const { hops, farEdge } of ways) {
        try {
          const leg = await deps.paths().openForClient({
            hops,
            purpose,
            trunkId: ask.trunkId,
            class: resource.defaultClass,
            organizationId,
            poolId: resource.poolId,
            askHash: askHash(signed),
            clientId,
            signal: context.signal,
          });
          const resumeHandle = remember({ clientId, poolId: resource.poolId, farEdge });
          yield* follow(
            leg,
            { case: "ready", value: { legToken: leg.legToken, resumeHandle, poolId: resource.poolId } },
            context.signal,
          );
          return;
        } catch (thrown) {
          if (context.signal.aborted) throw thrown;
          last = thrown;
          routes.failed(hops);
        }
      }
      // Which hop failed, and how, is for operators: the cause stays here (LAW-C3).
      throw new WeftError("unavailable", "no path to the resource could be opened", { detail: "NO_PATH", cause: last });
    },
  };
}
