/**
 * RouteProbeService: an entry opens a path of its own to an egress, echoes over it, and says what came of each echo. What is
 * measured is the way a channel would go: the offer, every hop's own decision, the splices, the handshake with the egress.
 *
 * RP1. The path carries no organization's bytes: its offer says that it measures, and the far end serves nothing but the echo.
 * RP2. Echoes are sent on time, whatever became of those before: one that is late counts as lost, and delays none.
 * RP3. At most `limits.routeProbesMaxCount` at a time; a caller that goes away takes its path with it.
 */

import type { ServiceImpl } from "@connectrpc/connect";
import { isId } from "../../fabric/signed-bytes.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import {
  ProbedRoute,
  type ProbeRouteRequest,
  type ProbeRouteResponse,
  ProbeService,
  type RouteProbeService,
} from "../../gen/weft/probe/v1/probe_pb.ts";
import { PathPurpose } from "../../gen/weft/relay/v1/relay_pb.ts";
import { sleep } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { rpcClient } from "../../rpc/client.ts";
import { linkHttp2, openClientSession } from "../../rpc/http2-profile.ts";
import { http2Transport } from "../../rpc/http2-transport.ts";
import type { OpenedPath, PathOpener } from "../paths.ts";
import type { DataPlanePorts } from "../plane-ports.ts";
import type { Routes } from "./routes.ts";

export interface RouteProbeDeps {
  readonly ports: Pick<DataPlanePorts, "clock" | "random" | "identity" | "snapshot">;
  readonly paths: () => Pick<PathOpener, "open">;
  readonly routes: Pick<Routes, "paths">;
}

type Event = { readonly event: Exclude<ProbeRouteResponse["event"], { readonly case: undefined }> };
type Sample = { readonly seq: bigint; readonly rttMs?: number };

/** What was asked, within bounds. */
interface Order {
  readonly count: number;
  readonly intervalMs: number;
  readonly payloadBytes: number;
}

const countDefault = 20;
const intervalDefaultMs = 50;

export function routeProbeService(deps: RouteProbeDeps): ServiceImpl<typeof RouteProbeService> {
  let running = 0;
  return {
    async *probeRoute(request, { signal }) {
      const order = orderOf(request);
      requireSwitchedOn(deps, request.organizationId);
      const { hops, avoided } = routeOf(deps, request);
      if (running >= limits.routeProbesMaxCount)
        throw new WeftError("resource_exhausted", "this entry probes as many routes as it may", {
          detail: "PROBES_BUSY",
        });
      running += 1;
      try {
        yield* probed(deps, { hops, avoided, order, organizationId: request.organizationId, signal });
      } finally {
        running -= 1;
      }
    },
  };
}

/** Operators may want no synthetic traffic here, or for an organization. What the far end has switched off, it refuses itself. */
function requireSwitchedOn({ ports }: RouteProbeDeps, organizationId: string): void {
  const snapshot = ports.snapshot.current();
  const isOff =
    snapshot?.testTelemetryOff !== false || snapshot.testTelemetryOffOrganizationIds.includes(organizationId);
  if (!isOff) return;
  const message = "test telemetry is switched off here (weft telemetry list)";
  throw new WeftError("failed_precondition", message, { detail: "TEST_TELEMETRY_OFF" });
}

function orderOf({ count, intervalMs, payloadBytes, toNodeId }: ProbeRouteRequest): Order {
  const order = { count: count || countDefault, intervalMs: intervalMs || intervalDefaultMs, payloadBytes };
  const refuse = (message: string, detail: string): WeftError => new WeftError("invalid_argument", message, { detail });
  if (!isId(toNodeId)) throw refuse("name an egress", "PROBE_TARGET");
  if (order.count > limits.routeProbeEchoesMaxCount) throw refuse("too many echoes", "PROBE_COUNT");
  if (order.intervalMs < limits.routeProbeIntervalMinMs || order.intervalMs > limits.routeProbeIntervalMaxMs)
    throw refuse("the interval is out of bounds", "PROBE_INTERVAL");
  if (payloadBytes > limits.probePayloadMaxBytes) throw refuse("the payload is too large", "PROBE_SIZE");
  return order;
}

interface Chosen {
  readonly hops: readonly string[];
  readonly avoided: readonly string[];
}

/** The hops of the route asked for, as this entry would choose them now. */
function routeOf({ ports, routes }: RouteProbeDeps, request: ProbeRouteRequest): Chosen {
  const { toNodeId, organizationId, route } = request;
  const ways = (shun: readonly string[]): (readonly string[])[] =>
    routes.paths(toNodeId, organizationId, ChannelClass.INTERACTIVE, { shun }).map(({ hops }) => hops);
  switch (route) {
    case ProbedRoute.DIRECT:
      return { hops: [ports.identity.current().nodeId, toNodeId], avoided: [] };
    case ProbedRoute.SINGLE_RELAY:
      return { hops: ways([]).find((hops) => hops.length === 3) ?? noRoute("over one relay"), avoided: [] };
    case ProbedRoute.FORCED_FALLBACK: {
      const [used] = ways([]);
      const avoided = used?.slice(1, -1) ?? [];
      const hops = ways(avoided).find((each) => each.join() !== used?.join());
      return { hops: hops ?? noRoute("beside the one in use"), avoided };
    }
    default:
      throw new WeftError("invalid_argument", "name a route", { detail: "PROBE_ROUTE" });
  }
}

/** Microseconds are what a clock can tell; more digits would only look like it. */
function thousandths(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}

function noRoute(which: string): never {
  throw new WeftError("failed_precondition", `there is no route ${which}`, { detail: "PROBE_NO_ROUTE" });
}

interface Probe extends Chosen {
  readonly order: Order;
  readonly organizationId: string;
  readonly signal: AbortSignal;
}

async function* probed({ ports, paths }: RouteProbeDeps, probe: Probe): AsyncGenerator<Event> {
  const { hops, avoided, organizationId, signal } = probe;
  const path = await paths().open({
    ...{ hops, organizationId, signal, purpose: PathPurpose.PROBE, class: ChannelClass.INTERACTIVE },
    trunkId: ports.random.bytes(16),
  });
  const session = openClientSession(path.tls, linkHttp2);
  session.on("error", () => {});
  try {
    const value = { nodeIds: [...hops], openMs: thousandths(path.openMs), avoidedNodeIds: [...avoided] };
    yield { event: { case: "path", value: { $typeName: "weft.probe.v1.ProbedPath", ...value } } };
    for await (const sample of echoes(ports, path, session, probe))
      yield { event: { case: "sample", value: { $typeName: "weft.probe.v1.ProbeSample", ...sample } } };
  } finally {
    session.destroy();
    path.close();
  }
}

/** Sends every echo on time (RP2), and tells of each when it is back, lost, or late. */
async function* echoes(
  { clock, random }: RouteProbeDeps["ports"],
  path: Pick<OpenedPath, "tls">,
  session: ReturnType<typeof openClientSession>,
  { order, signal }: Probe,
): AsyncGenerator<Sample> {
  const client = rpcClient(ProbeService, http2Transport(session));
  const done: Sample[] = [];
  let wake = (): void => {};
  const over = new AbortController();
  const ended = AbortSignal.any([signal, over.signal]);
  const echo = async (seq: bigint): Promise<void> => {
    const payload = random.bytes(order.payloadBytes);
    const sentMs = clock.monoMs();
    const answer = await client
      .probe({ seq, payload }, { timeoutMs: limits.probeDeadlineMs, signal: ended })
      .catch(() => undefined);
    const isSame = answer?.seq === seq && Buffer.compare(answer.payload, payload) === 0;
    done.push(isSame ? { seq, rttMs: thousandths(clock.monoMs() - sentMs) } : { seq });
    wake();
  };
  const send = async (): Promise<void> => {
    for (let seq = 1; seq <= order.count && !ended.aborted; seq += 1) {
      void echo(BigInt(seq));
      if (seq < order.count && !path.tls.destroyed) await sleep(clock, order.intervalMs, ended);
    }
  };
  void send();
  try {
    for (let told = 0; told < order.count && !signal.aborted; ) {
      const sample = done.shift();
      if (sample === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (done.length > 0) resolve();
        });
        continue;
      }
      told += 1;
      yield sample;
    }
  } finally {
    over.abort();
  }
}
