import type { ClientHttp2Session, OutgoingHttpHeaders } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { tlsOptions } from "../../../certs/tls-options.ts";
import { ProbeRequestSchema, ProbeService } from "../../../gen/weft/probe/v1/probe_pb.ts";
import { systemClock } from "../../../lib/clock.ts";
import { WeftError } from "../../../lib/errors.ts";
import { systemRandom } from "../../../lib/random.ts";
import { createTracer, type EndedSpan, type Tracer } from "../../../lib/tracer.ts";
import type { CallerKind } from "../../../rpc/caller.ts";
import { rpcClient } from "../../../rpc/client.ts";
import { operatorTransport } from "../../../rpc/operator-transport.ts";
import { type PolicyTable, rowsOf } from "../../../rpc/policy.ts";
import { tracedTransport } from "../../../rpc/trace-calls.ts";
import { eventually } from "../../harness/eventually.ts";
import { dialHttp2, grpcMessage, rawRequest, type ServedSurface, serveSurface } from "../../harness/served-surface.ts";
import { TestTrust } from "../../harness/trust.ts";

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const spanId = "00f067aa0ba902b7";
const row = {
  callers: ["node", "operator", "client", "anonymous"],
  arrivedBy: ["operator-port", "control", "client-name", "join"],
  limit: "operator",
  subject: { kind: "none" },
} as const;
const policy: PolicyTable = rowsOf(ProbeService, { probe: row });
const path = "/weft.probe.v1.ProbeService/Probe";

/** Where each kind of caller may come from. */
const doors = { node: "control", operator: "operator-port", client: "client-name", anonymous: "join" } as const;

let trust: TestTrust;
let ended: EndedSpan[] = [];
let toInner: ReturnType<typeof operatorTransport> | undefined;
const tracers: Record<"whole" | "none", Tracer> = { whole: tracer(1), none: tracer(0) };
const opened: AsyncDisposable[] = [];

function tracer(ratio: number): Tracer {
  const onEnd = (span: EndedSpan): void => void ended.push(span);
  return createTracer({ clock: systemClock, random: systemRandom, ratio, onEnd });
}

/** A surface that fails as its payload says, or asks the other one. */
function routes(router: ConnectRouter): void {
  router.service(ProbeService, {
    async probe({ seq, payload }) {
      const word = Buffer.from(payload).toString();
      if (word === "refuse") throw new WeftError("not_found", "hunter2 is no such thing");
      if (word === "break") throw new Error("hunter2 broke");
      if (word === "ask" && toInner !== undefined) {
        await rpcClient(ProbeService, tracedTransport(toInner, tracers.whole)).probe({ seq });
      }
      return { seq };
    },
  });
}

async function serve(tracer: Tracer, joinsOnly: boolean): Promise<ServedSurface> {
  const served = await serveSurface(trust, {
    ...{ arrivedBy: "operator-port", routes, policy },
    tracing: { tracer, joinsOnly },
  });
  opened.push(served);
  return served;
}

async function call(
  served: ServedSurface,
  kind: CallerKind,
  headers: OutgoingHttpHeaders = {},
  payload = "",
): Promise<OutgoingHttpHeaders> {
  served.judge = (_socket, caller) => ({ ...caller, kind, arrivedBy: doors[kind] });
  const session: ClientHttp2Session = await dialHttp2(trust, served.port, await trust.leaf("operator", "op-1"));
  const request = create(ProbeRequestSchema, { seq: 1n, payload: Buffer.from(payload) });
  const answer = await rawRequest(session, path, grpcMessage(toBinary(ProbeRequestSchema, request)), headers);
  session.destroy();
  return { ...answer.headers, ...answer.trailers };
}

const sampled = { traceparent: `00-${traceId}-${spanId}-01` };
const unsampled = { traceparent: `00-${traceId}-${spanId}-00` };

beforeAll(async () => {
  trust = await TestTrust.create();
});
beforeEach(() => {
  ended = [];
});
afterEach(async () => {
  toInner?.close();
  toInner = undefined;
  for (const each of opened.splice(0)) await each[Symbol.asyncDispose]();
});
afterAll(() => expect(opened).toEqual([]));

describe("a unary call that is served", () => {
  it("is a span: which, by what kind of caller, with which code, and not what was said", async () => {
    const served = await serve(tracers.whole, false);
    for (const payload of ["", "refuse", "break"]) await call(served, "operator", {}, payload);
    const about = { "rpc.system": "grpc", "rpc.service": "weft.probe.v1.ProbeService", "rpc.method": "Probe" };
    expect(ended.map(({ attributes, error }) => [attributes["rpc.grpc.status_code"], error])).toEqual([
      [0, undefined],
      // A refusal is no fault of who serves.
      [5, undefined],
      [13, "internal"],
    ]);
    for (const span of ended) {
      expect(span).toMatchObject({ name: path.slice(1), kind: "server", parentSpanId: "", attributes: about });
      expect(span.attributes).toMatchObject({ "weft.caller": "operator" });
      expect(Object.keys(span.attributes)).toHaveLength(6);
    }
    expect(JSON.stringify(ended)).not.toContain("hunter2");
  });

  it.each(["node", "operator"] as const)("TC1 goes on with the trace of one that is believed: a %s", async (kind) => {
    const served = await serve(tracers.none, false);
    await call(served, kind, sampled);
    await call(served, kind, unsampled);
    await call(served, kind);
    await call(served, kind, { traceparent: "00-nonsense" });
    expect(ended).toMatchObject([{ traceId, parentSpanId: spanId, links: [] }]);
  });

  it.each(["client", "anonymous"] as const)("TC1 TR2 cannot be made to record by anybody else: a %s", async (kind) => {
    const none = await serve(tracers.none, false);
    for (let at = 0; at < 20; at += 1) await call(none, kind, sampled);
    expect(ended).toEqual([]);
    const whole = await serve(tracers.whole, false);
    await call(whole, kind, sampled);
    await call(whole, kind, unsampled);
    expect(ended).toMatchObject([
      { parentSpanId: "", links: [{ traceId, spanId, sampled: true }] },
      { parentSpanId: "", links: [{ traceId, spanId, sampled: false }] },
    ]);
    for (const span of ended) expect(span.traceId).not.toBe(traceId);
  });

  it("on a link is a span only as part of a node's trace", async () => {
    const served = await serve(tracers.whole, true);
    for (const kind of ["node", "operator", "client"] as const) await call(served, kind);
    await call(served, "operator", sampled);
    await call(served, "client", sampled);
    expect(ended).toEqual([]);
    await call(served, "node", sampled);
    expect(ended).toMatchObject([{ traceId, parentSpanId: spanId }]);
  });

  it("TC2 is answered with nothing of a trace", async () => {
    const served = await serve(tracers.whole, false);
    for (const payload of ["", "refuse"]) {
      const answer = await call(served, "node", sampled, payload);
      expect(Object.keys(answer).filter((name) => /trace|baggage/.test(name))).toEqual([]);
      expect(JSON.stringify(answer)).not.toContain(traceId);
    }
  });
});

it("a call that is made for a span is a span, and the one that serves it is its child", async () => {
  const inner = await serve(tracers.none, true);
  inner.judge = (_socket, caller) => ({ ...caller, kind: "node", arrivedBy: doors.node });
  toInner = operatorTransport({
    address: `127.0.0.1:${inner.port}`,
    tls: tlsOptions("dial-operator-port", {
      identity: await trust.leaf("operator", "op-1"),
      expect: trust.expect("control"),
    }),
  });
  const outer = await serve(tracers.whole, false);
  await call(outer, "operator", {}, "ask");
  await eventually(() => ended.length === 3, { what: "three spans" });
  const [served, made, first] = ended;
  expect(first).toMatchObject({ kind: "server", parentSpanId: "" });
  expect(made).toMatchObject({ kind: "client", parentSpanId: first?.spanId, traceId: first?.traceId });
  expect(served).toMatchObject({ kind: "server", parentSpanId: made?.spanId, traceId: first?.traceId });
  // Outside of a span it is a call as any other.
  await rpcClient(ProbeService, tracedTransport(toInner, tracers.whole)).probe({ seq: 1n });
  expect(ended).toHaveLength(3);
});
