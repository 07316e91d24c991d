import { once } from "node:events";
import type net from "node:net";
import tls from "node:tls";
import { create, toBinary } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { LeafOf } from "../../../certs/material.ts";
import { tlsOptions } from "../../../certs/tls-options.ts";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { GetRequestSchema, LeaseService } from "../../../gen/weft/lease/v1/lease_pb.ts";
import { ProbeService } from "../../../gen/weft/probe/v1/probe_pb.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { WeftError } from "../../../lib/errors.ts";
import { limits } from "../../../lib/limits.ts";
import { kCaller } from "../../../rpc/caller.ts";
import { rpcClient } from "../../../rpc/client.ts";
import { respondError } from "../../../rpc/errors.ts";
import { HealthState } from "../../../rpc/health.ts";
import { openClientSession, rpcHttp2 } from "../../../rpc/http2-profile.ts";
import { http2Transport } from "../../../rpc/http2-transport.ts";
import { operatorTransport } from "../../../rpc/operator-transport.ts";
import { inspectPolicy, type PolicyTable, rowsOf } from "../../../rpc/policy.ts";
import { eventually } from "../../harness/eventually.ts";
import { dialHttp2, grpcMessage, rawRequest, type ServedSurface, serveSurface } from "../../harness/served-surface.ts";
import { TestTrust } from "../../harness/trust.ts";

const row = { callers: ["node", "operator"], arrivedBy: ["operator-port", "control"], limit: "operator" } as const;
const policy: PolicyTable = {
  ...inspectPolicy,
  ...rowsOf(LeaseService, {
    acquire: { ...row, subject: { kind: "caller" } },
    renew: { ...row, subject: { kind: "caller" } },
    release: { ...row, subject: { kind: "caller" } },
    get: { ...row, subject: { kind: "none" } },
  }),
  ...rowsOf(ProbeService, { probe: { ...row, subject: { kind: "none" } } }),
};

const routes = (router: ConnectRouter): void => {
  router.service(LeaseService, {
    get(request, context) {
      if (request.name === "weft") throw new WeftError("not_found", "no such lease", { metadata: { name: "weft" } });
      if (request.name === "bug") throw new Error("select * from lease where key = 'hunter2' at /srv/x.ts");
      return { lease: { name: request.name, holderNodeId: context.values.get(kCaller).spiffe } };
    },
  });
  router.service(ProbeService, { probe: (request) => ({ seq: request.seq, payload: request.payload }) });
};

let trust: TestTrust;
let operator: LeafOf<"operator">;
let served: ServedSurface;
const health = new HealthState();

beforeAll(async () => {
  trust = await TestTrust.create();
  operator = await trust.leaf("operator", "op-1");
  served = await serveSurface(trust, { arrivedBy: "operator-port", routes, policy, health, reflection: true });
});
afterAll(async () => {
  await served[Symbol.asyncDispose]();
});

const leaseGet = "/weft.lease.v1.LeaseService/Get";
const getRequest = (name: string): Buffer =>
  grpcMessage(toBinary(GetRequestSchema, create(GetRequestSchema, { name })));

function dialTls() {
  return tlsOptions("dial-operator-port", { identity: operator, expect: trust.expect("control") });
}

describe("every protocol on one port", () => {
  test("gRPC", async () => {
    const transport = operatorTransport({ address: `127.0.0.1:${served.port}`, tls: dialTls() });
    const { lease } = await rpcClient(LeaseService, transport).get({ name: "db" });
    expect(lease).toMatchObject({
      name: "db",
      holderNodeId: "spiffe://weft-test.internal/cluster/installation/operator/op-1",
    });
    transport.close();
  });

  test("gRPC-Web and Connect JSON", async () => {
    const options = { baseUrl: `https://127.0.0.1:${served.port}`, httpVersion: "2", nodeOptions: dialTls() } as const;
    for (const transport of [
      createGrpcWebTransport(options),
      createConnectTransport({ ...options, useBinaryFormat: false }),
    ]) {
      const { lease } = await rpcClient(LeaseService, transport).get({ name: "db" });
      expect(lease?.name).toBe("db");
      await expect(rpcClient(LeaseService, transport).get({ name: "weft" })).rejects.toMatchObject({
        reason: "not_found",
        detail: "NOT_FOUND",
      });
    }
  });

  test("client errors keep reason, detail and metadata and carry a request id", async () => {
    const transport = operatorTransport({ address: `127.0.0.1:${served.port}`, tls: dialTls() });
    const failed = rpcClient(LeaseService, transport).get({ name: "weft" });
    await expect(failed).rejects.toMatchObject({
      name: "WeftError",
      reason: "not_found",
      message: "no such lease",
      metadata: { name: "weft", requestId: expect.stringMatching(/^[a-z2-7]{16}$/) },
    });
    transport.close();
  });
});

describe("THR-A4 paths are matched byte for byte", () => {
  let own: ServedSurface;
  let judged: number;
  beforeAll(async () => {
    // Its clock stands: nobody is judged but for a call.
    own = await serveSurface(trust, { arrivedBy: "operator-port", routes, policy, clock: new ManualClock() });
    own.judge = (_socket, caller) => {
      judged += 1;
      return caller;
    };
  });
  beforeEach(() => {
    judged = 0;
  });
  afterAll(async () => await own[Symbol.asyncDispose]());

  test.each([
    "//weft.lease.v1.LeaseService/Get",
    "/weft.lease.v1.LeaseService%2FGet",
    "/weft.lease.v1.LeaseService/get",
    "/Weft.lease.v1.LeaseService/Get",
    "/weft.lease.v1.LeaseService/Get/",
    "/weft.lease.v1.LeaseService/Get?x",
    "/weft.lease.v1.LeaseService//Get",
    "/x/../weft.lease.v1.LeaseService/Get",
    "/__proto__",
  ])("%s is UNIMPLEMENTED", async (path) => {
    const session = await dialHttp2(trust, own.port, operator);
    const answer = await rawRequest(session, path, getRequest("db"));
    expect(answer.status).toBe("12");
    expect(answer.headers[":status"]).toBe(200);
    expect(judged).toBe(0);
    session.destroy();
  });

  test("a path without a leading slash never becomes a call", async () => {
    const session = await dialHttp2(trust, own.port, operator);
    const answer = await rawRequest(session, "weft.lease.v1.LeaseService/Get", getRequest("db"));
    expect(answer).toMatchObject({ status: undefined, reset: 1 });
    expect(judged).toBe(0);
    session.destroy();
  });

  test("the exact path is served", async () => {
    const session = await dialHttp2(trust, own.port, operator);
    const answer = await rawRequest(session, leaseGet, getRequest("db"));
    expect(answer).toMatchObject({ status: "0", reset: 0 });
    expect(judged).toBe(1);
    session.destroy();
  });
});

describe("THR-A8 errors tell nothing", () => {
  test("an unexpected exception leaves as internal with a request id only", async () => {
    const session = await dialHttp2(trust, served.port, operator);
    const answer = await rawRequest(session, leaseGet, getRequest("bug"));
    expect(answer.status).toBe("13");
    const everything = JSON.stringify([answer.headers, answer.trailers, answer.body.toString("latin1")]);
    const details = String(answer.trailers["grpc-status-details-bin"]);
    for (const text of [everything, Buffer.from(details, "base64").toString("latin1")]) {
      expect(text).not.toMatch(/hunter2|select|srv|\.ts|stack/i);
    }
    session.destroy();
  });

  test("a message above the limit is RESOURCE_EXHAUSTED from its length alone, before its bytes come", async () => {
    const session = await dialHttp2(trust, served.port, operator);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(0xffff_fff0, 1);
    const answer = await rawRequest(session, leaseGet, head);
    expect(answer.status).toBe("8");
    session.destroy();
  });
});

describe("sessions", () => {
  test("LAW-I4 a verdict that turns refuses the next call and ends open streams with a status", async () => {
    await using own = await serveSurface(trust, { arrivedBy: "operator-port", routes, policy, health });
    const session = await dialHttp2(trust, own.port, operator);
    const watching = rawRequest(session, "/grpc.health.v1.Health/Watch");
    await eventually(() => own.surface.sessionCount() === 1);
    expect((await rawRequest(session, leaseGet, getRequest("db"))).status).toBe("0");
    own.judge = () => ({ refused: "PEER_REVOKED" });
    expect((await rawRequest(session, leaseGet, getRequest("db"))).status).toBe("16");
    await own.surface.rejudge();
    expect((await watching).status).toBe("16");
    await eventually(() => own.surface.sessionCount() === 0);
    expect(session.closed || session.destroyed).toBe(true);
  });

  test("LAW-I4 whoever asks for a new verdict gets one, however close to the end of a round", async () => {
    await using own = await serveSurface(trust, { arrivedBy: "operator-port", routes, policy, health });
    const session = await dialHttp2(trust, own.port, operator);
    await eventually(() => own.surface.sessionCount() === 1);
    let verdict = Promise.withResolvers<void>();
    let judged = 0;
    own.judge = async (_socket, caller) => {
      judged += 1;
      await verdict.promise;
      return caller;
    };
    for (let turns = 0; turns < 12; turns += 1) {
      verdict = Promise.withResolvers();
      const round = own.surface.rejudge();
      verdict.resolve();
      for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
      const before = judged;
      await own.surface.rejudge();
      expect(judged, `asked ${turns} turns after the last verdict`).toBeGreaterThan(before);
      await round;
    }
    session.destroy();
  });

  test("the timer asks again by itself", async () => {
    const clock = new ManualClock();
    await using own = await serveSurface(trust, { arrivedBy: "operator-port", routes, policy, health, clock });
    const session = await dialHttp2(trust, own.port, operator);
    const watching = rawRequest(session, "/grpc.health.v1.Health/Watch");
    expect((await rawRequest(session, leaseGet, getRequest("db"))).status).toBe("0");
    own.judge = () => ({ refused: "CERT_EXPIRED" });
    clock.advance(limits.rejudgeEveryMs);
    expect((await watching).status).toBe("16");
  });

  test("a session is over soon after its end here, also for a peer that leaves the connection half open", async () => {
    const clock = new ManualClock();
    await using own = await serveSurface(trust, { arrivedBy: "operator-port", routes, policy, health, clock });
    const half = { ...dialTls(), host: "127.0.0.1", port: own.port, allowHalfOpen: true };
    const socket = tls.connect(half);
    socket.on("error", () => {});
    // The preface and empty SETTINGS.
    socket.write(Buffer.from("505249202a20485454502f322e300d0a0d0a534d0d0a0d0a000000040000000000", "hex"));
    await once(socket, "secureConnect");
    await eventually(() => own.surface.sessionCount() === 1);
    const ended = once(socket.resume(), "end");
    clock.advance(limits.rpcIdleSessionMaxMs);
    await ended;
    expect([own.surface.sessionCount(), socket.writable]).toEqual([1, true]);
    await eventually(() => {
      clock.advance(limits.rpcHangUpAfterMs);
      return own.surface.sessionCount() === 0;
    });
  });

  test("drain ends watches at once, lets calls finish and closes", async () => {
    const own = await serveSurface(trust, { arrivedBy: "operator-port", routes, policy, health });
    const session = await dialHttp2(trust, own.port, operator);
    const watching = rawRequest(session, "/grpc.health.v1.Health/Watch");
    await eventually(() => own.surface.sessionCount() === 1);
    const goaway = once(session, "goaway");
    await Promise.all([own.surface.drain(5_000), goaway]);
    expect((await watching).status).toBe("14");
    expect(own.surface.sessionCount()).toBe(0);
  });

  test("cut ends the sessions of one caller only", async () => {
    const other = await trust.leaf("operator", "op-2");
    const [mine, theirs] = [await dialHttp2(trust, served.port, operator), await dialHttp2(trust, served.port, other)];
    await eventually(() => [...served.surface.sessions()].some((held) => held.caller.id?.id === "op-2"));
    expect(served.surface.cut((caller) => caller.id?.id === "op-2")).toBe(1);
    await once(theirs, "close");
    expect((await rawRequest(mine, leaseGet, getRequest("db"))).status).toBe("0");
    mine.destroy();
  });

  test("stream count of the profile is enforced", async () => {
    const session = await dialHttp2(trust, served.port, operator);
    await eventually(() => session.remoteSettings.initialWindowSize === rpcHttp2.streamWindowBytes);
    expect(session.remoteSettings.maxConcurrentStreams).toBe(rpcHttp2.streamsMaxCount);
    session.destroy();
  });
});

describe("raw handlers", () => {
  test("pass the same chain and answer for themselves", async () => {
    const seen: string[] = [];
    await using own = await serveSurface(trust, {
      arrivedBy: "operator-port",
      routes,
      policy,
      raw: [
        {
          method: ProbeService.method.probe,
          handle(stream, _headers, caller, requestId) {
            seen.push(caller.spiffe);
            respondError(stream, new WeftError("aborted", "raw says no"), requestId);
          },
        },
      ],
    });
    const session = await dialHttp2(trust, own.port, operator);
    expect((await rawRequest(session, "/weft.probe.v1.ProbeService/Probe")).status).toBe("10");
    own.judge = () => ({ refused: "PEER_REVOKED" });
    expect((await rawRequest(session, "/weft.probe.v1.ProbeService/Probe")).status).toBe("16");
    expect(seen).toHaveLength(1);
    session.destroy();
  });
});

test("a surface without a policy row for an RPC does not start", async () => {
  const { "weft.lease.v1.LeaseService/Renew": _gone, ...partial } = policy;
  await expect(serveSurface(trust, { arrivedBy: "operator-port", routes, policy: partial })).rejects.toThrow(
    "LeaseService/Renew has no policy row",
  );
  await expect(serveSurface(trust, { arrivedBy: "link", routes, policy })).rejects.toThrow(/served by "link"/);
});

test("RPCs run over a reverse link: the dialler of the socket is the HTTP/2 server", async () => {
  // The node-link TLS server is the *client* of HTTP/2 here.
  const server = tls.createServer(
    tlsOptions("node-link", { identity: await trust.leaf("node", "nd-a"), trust: trust.roots("node") }),
  );
  const accepted = once(server, "secureConnection");
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { createSurface } = await import("../../../rpc/surface.ts");
  const { silentLog } = await import("../../../lib/log.ts");
  const { systemClock } = await import("../../../lib/clock.ts");
  const { systemRandom } = await import("../../../lib/random.ts");
  const surface = createSurface({
    arrivedBy: "link",
    routes: (router) =>
      void router.service(ProbeService, { probe: (request) => ({ seq: request.seq, payload: request.payload }) }),
    policy: rowsOf(ProbeService, {
      probe: { callers: ["node"], arrivedBy: ["link"], subject: { kind: "none" }, limit: "link" },
    }),
    judge: (_socket, caller) => caller,
    log: silentLog,
    clock: systemClock,
    random: systemRandom,
    http2: rpcHttp2,
  });
  const dialed = tls.connect({
    port: (server.address() as net.AddressInfo).port,
    host: "127.0.0.1",
    ...tlsOptions("dial-node-link", { identity: await trust.leaf("node", "nd-b"), expect: trust.expect("node") }),
  });
  await once(dialed, "secureConnect");
  surface.accept(dialed, { kind: "node", spiffe: "x", sourceAddress: "127.0.0.1", arrivedBy: "link" });
  const [socket] = (await accepted) as [tls.TLSSocket];
  const session = openClientSession(socket, rpcHttp2);
  const client = rpcClient(ProbeService, http2Transport(session));
  expect(await client.probe({ seq: 7n, payload: new Uint8Array(16_384) })).toMatchObject({ seq: 7n });
  session.destroy();
  await expect(client.probe({ seq: 8n })).rejects.toMatchObject({ reason: "unavailable" });
  await surface.drain(0);
  server.close();
});

test("health knows its own services and no others", async () => {
  const transport = operatorTransport({ address: `127.0.0.1:${served.port}`, tls: dialTls() });
  const client = rpcClient(Health, transport);
  expect(await client.check({ service: "weft.lease.v1.LeaseService" })).toMatchObject({ status: 1 });
  await expect(client.check({ service: "weft.admin.v1.NodeAdminService" })).rejects.toMatchObject({
    reason: "not_found",
  });
  const { statuses } = await client.list({});
  expect(Object.keys(statuses)).toContain("weft.probe.v1.ProbeService");
  transport.close();
});
