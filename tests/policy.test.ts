/**
 * LAW-C1, LAW-C2: nothing is allowed by default, every RPC says who may call it. What may is written here a second time, by
 * hand, and compared with the table by calling everything as everybody: over real TLS doors where a caller can get there,
 * through the same pure decision where it cannot.
 */

import type { ClientHttp2Session } from "node:http2";
import { create, type DescMessage, type DescMethod, type DescService, type Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { controlPolicy } from "../control/rpc/policy-table.ts";
import { type ControlServices, createControlSurfaces } from "../control/rpc/surfaces.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection as ReflectionV1 } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ReflectionV1Alpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { AccessService, PathService } from "../gen/weft/access/v1/access_pb.ts";
import { ChannelService } from "../gen/weft/channel/v1/channel_pb.ts";
import { NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import { NodeService } from "../gen/weft/node/v1/node_pb.ts";
import { ProbeService, RouteProbeService } from "../gen/weft/probe/v1/probe_pb.ts";
import { RelayService } from "../gen/weft/relay/v1/relay_pb.ts";
import { ResolveRoutesRequestSchema } from "../gen/weft/routing/v1/routing_pb.ts";
import { systemClock } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import { silentLog } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { nodePolicy } from "../node/rpc-policy.ts";
import { type ArrivedBy, arrivals, type Caller, type CallerKind, callerKinds } from "../rpc/caller.ts";
import { HealthState } from "../rpc/health.ts";
import { decide, decideSubject, rpcName } from "../rpc/policy.ts";
import { RateLimits } from "../rpc/rate-limits.ts";
import { controlServices as services } from "./harness/control-services.ts";
import { eventually } from "./harness/eventually.ts";
import { dialHttp2, rawRequest, type ServedSurface, serveAt } from "./harness/served-surface.ts";
import { TestTrust } from "./harness/trust.ts";

const inspected: readonly DescService[] = [Health, ReflectionV1, ReflectionV1Alpha];
const every: readonly DescMethod[] = [...Object.values(services), ...inspected].flatMap((service) => service.methods);

/** Written by hand, not read from the table: "who@door". */
const joining = "anonymous@join";
const node = "node@control";
const operator = "operator@operator-port";
const expectedOf = (method: DescMethod): readonly string[] => {
  const name = rpcName(method).replace(/^weft\.(admin\.)?/, "");
  switch (name) {
    case "enrollment.v1.EnrollmentService/GetTrustBundle":
    case "enrollment.v1.EnrollmentService/Enroll":
    case "enrollment.v1.EnrollmentService/PollEnrollment":
    case "enrollment.v1.EnrollmentService/Recover":
      return [joining];
    case "enrollment.v1.EnrollmentService/Renew":
    case "enrollment.v1.EnrollmentService/RenewClient":
    case "control.v1.ControlService/WatchSnapshot":
    case "control.v1.ControlService/ReportWorkloads":
    case "control.v1.ControlService/ReturnFeeds":
    case "control.v1.ControlService/ReportSnapshotFork":
    case "heartbeat.v1.HeartbeatService/Beat":
    case "lease.v1.LeaseService/Acquire":
    case "lease.v1.LeaseService/Renew":
    case "lease.v1.LeaseService/Release":
    case "routing.v1.RoutingService/ReportLinks":
      return [node];
    case "lease.v1.LeaseService/Get":
    case "routing.v1.RoutingService/ResolveRoutes":
    case "v1.ServiceChannelService/IntrospectLease":
      return [node, operator];
    default:
      return inspected.includes(method.parent) ? [node, operator] : [operator];
  }
};

const ids: Record<Exclude<CallerKind, "anonymous">, string> = { node: "nd-1", client: "ct-1", operator: "op-1" };

function callerAs(kind: CallerKind, arrivedBy: ArrivedBy, over: Partial<Caller> = {}): Caller {
  const base = { sourceAddress: "127.0.0.1", arrivedBy } as const;
  if (kind === "anonymous") return { kind, spiffe: "anonymous", ...base, ...over };
  const clusterId = kind === "operator" ? "installation" : "cl-one";
  return {
    kind,
    id: { trustDomain: "weft-test.internal", clusterId, kind, id: ids[kind] },
    spiffe: `spiffe://weft-test.internal/cluster/${clusterId}/${kind}/${ids[kind]}`,
    ...(kind === "operator" ? {} : { clusterId }),
    ...base,
    ...over,
  };
}

describe("LAW-C1 THR-A3 THR-C7 REVIEW-12 the table, as everybody through every door", () => {
  test("has exactly one row per RPC and none besides", () => {
    expect(Object.keys(controlPolicy).sort()).toEqual(every.map(rpcName).sort());
  });

  test.each(every.map((method) => [rpcName(method), method] as const))("%s", (_name, method) => {
    const allowed: string[] = [];
    for (const kind of callerKinds) {
      for (const arrivedBy of arrivals) {
        const decision = decide(controlPolicy[rpcName(method)], callerAs(kind, arrivedBy));
        if (decision.allowed) allowed.push(`${kind}@${arrivedBy}`);
      }
    }
    // Doors that control does not have are the nodes' affair.
    const own = allowed.filter((who) => !inspected.includes(method.parent) || [node, operator].includes(who));
    expect(own.sort()).toEqual([...expectedOf(method)].sort());
  });

  test("a disabled member may renew and watch, and nothing else", () => {
    const suspended = callerAs("node", "control", { suspended: true });
    const open = every.filter((method) => decide(controlPolicy[rpcName(method)], suspended).allowed).map(rpcName);
    expect(open.sort()).toEqual([
      "weft.control.v1.ControlService/WatchSnapshot",
      "weft.enrollment.v1.EnrollmentService/Renew",
    ]);
  });

  test("while control learns what a restore lost, nodes may tell and hosts may ask to join, and nothing else", () => {
    const open = [callerAs("node", "control", { held: true }), callerAs("anonymous", "join", { held: true })].flatMap(
      (caller) => every.filter((method) => decide(controlPolicy[rpcName(method)], caller).allowed).map(rpcName),
    );
    expect(open.filter((name) => name.startsWith("weft.")).sort()).toEqual([
      "weft.control.v1.ControlService/ReportSnapshotFork",
      "weft.control.v1.ControlService/ReturnFeeds",
      "weft.control.v1.ControlService/WatchSnapshot",
      "weft.enrollment.v1.EnrollmentService/Enroll",
      "weft.enrollment.v1.EnrollmentService/GetTrustBundle",
      "weft.heartbeat.v1.HeartbeatService/Beat",
    ]);
  });

  test("a call without a row is refused as our own mistake", () => {
    expect(decide(undefined, callerAs("operator", "operator-port"))).toEqual({
      allowed: false,
      reason: "internal",
      detail: "POLICY_MISSING",
    });
  });
});

describe("LAW-C1 the table of nodes, as everybody through every door", () => {
  const own = [RelayService, ProbeService, RouteProbeService, ChannelService, AccessService, PathService, NodeService];
  const served: readonly DescService[] = [...own, ...inspected];
  const methods = served.flatMap((service) => service.methods);
  const neighbour = "node@link";
  const client = "client@client-name";
  const expectedAtNode = (method: DescMethod): readonly string[] => {
    switch (method.parent) {
      case RelayService:
        return [neighbour];
      case ProbeService:
        return [neighbour, "node@path", operator];
      case ChannelService:
        return method === ChannelService.method.open ? ["node@path", "client@path"] : [neighbour, operator];
      case AccessService:
      case PathService:
        return [client];
      case NodeService:
      case RouteProbeService:
        return [operator];
      case Health:
        return [neighbour, client, operator];
      default:
        return [client, operator];
    }
  };

  test("has exactly one row per RPC and none besides", () => {
    expect(Object.keys(nodePolicy).sort()).toEqual(methods.map(rpcName).sort());
  });

  test.each(methods.map((method) => [rpcName(method), method] as const))("%s", (_name, method) => {
    const allowed: string[] = [];
    for (const kind of callerKinds) {
      for (const arrivedBy of arrivals.filter((door) => door !== "control" && door !== "join")) {
        const caller = callerAs(kind, arrivedBy, { roles: [NodeRole.ENTRY] });
        if (decide(nodePolicy[rpcName(method)], caller).allowed) allowed.push(`${kind}@${arrivedBy}`);
      }
    }
    expect(allowed.sort()).toEqual([...expectedAtNode(method)].sort());
  });

  test("LAW-R1 only nodes that may be in front of a hop open paths through it", () => {
    const openPath = nodePolicy[rpcName(RelayService.method.openPath)];
    for (const roles of [[], [NodeRole.EGRESS], [NodeRole.STORAGE, NodeRole.EGRESS]]) {
      expect(decide(openPath, callerAs("node", "link", { roles }))).toMatchObject({ detail: "ROLE_REQUIRED" });
    }
    expect(decide(openPath, callerAs("node", "link", { roles: [NodeRole.RELAY] })).allowed).toBe(true);
  });

  test("no RPC between nodes takes the caller's identity from its request", () => {
    for (const method of methods.filter((each) => expectedAtNode(each).some((who) => !who.startsWith("operator")))) {
      const named = method.input.fields.map(({ name }) => name).filter((name) => SUBJECT_FIELDS.includes(name));
      expect(named, rpcName(method)).toEqual([]);
    }
  });
});

const SUBJECT_FIELDS = ["cluster_id", "node_id", "from_node_id", "organization_id", "client_id", "holder_node_id"];

describe("LAW-C2 REVIEW-20 subjects", () => {
  const nodeMethods = every.filter((method) => expectedOf(method).includes(node));

  test.each(nodeMethods.map((method) => [rpcName(method), method] as const))(
    "%s never takes a node's identity from its request",
    (_name, method) => {
      const row = controlPolicy[rpcName(method)];
      const bound = row?.subject.kind === "fields" ? row.subject.fields.map(({ field }) => field) : [];
      const named = method.input.fields.map(({ name }) => name).filter((name) => SUBJECT_FIELDS.includes(name));
      // An organization is not a node's: routes are resolved for any organization of the node's own cluster.
      expect(named.filter((name) => name !== "organization_id").sort()).toEqual([...bound].sort());
    },
  );

  test.each([
    ["a sibling node", { from_node_id: "nd-2", cluster_id: "cl-one" }],
    ["another cluster", { from_node_id: "nd-1", cluster_id: "cl-two" }],
    ["another cluster, own id implied", { from_node_id: "", cluster_id: "cl-two" }],
    ["a sibling in another cluster", { from_node_id: "nd-2", cluster_id: "cl-two" }],
    ["a look-alike", { from_node_id: "nd-1 ", cluster_id: "CL-ONE" }],
  ])("%s is NOT_FOUND, as if it did not exist", (_name, fields) => {
    const row = controlPolicy["weft.routing.v1.RoutingService/ResolveRoutes"];
    if (row === undefined) throw new Error("no row");
    const asked = filled(ResolveRoutesRequestSchema, fields);
    expect(decideSubject(row, callerAs("node", "control"), ResolveRoutesRequestSchema, asked)).toEqual({
      allowed: false,
      reason: "not_found",
      detail: "NOT_FOUND",
    });
  });

  test("the own ids, named or implied, pass", () => {
    const row = controlPolicy["weft.routing.v1.RoutingService/ResolveRoutes"];
    if (row === undefined) throw new Error("no row");
    for (const fields of [{}, { cluster_id: "cl-one" }, { cluster_id: "cl-one", from_node_id: "nd-1" }]) {
      const asked = filled(ResolveRoutesRequestSchema, fields);
      expect(decideSubject(row, callerAs("node", "control"), ResolveRoutesRequestSchema, asked).allowed).toBe(true);
    }
  });
});

function filled(schema: DescMessage, fields: Readonly<Record<string, string>>): Message {
  const message = create(schema);
  const reflected = reflect(schema, message);
  for (const [name, value] of Object.entries(fields)) {
    const field = schema.fields.find((candidate) => candidate.name === name);
    if (field === undefined) throw new Error(`no field ${name}`);
    reflected.set(field, value);
  }
  return message;
}

/** Every method of every service, answering with nothing. */
function emptyServices(): ControlServices {
  const implement = (service: DescService) =>
    Object.fromEntries(
      service.methods.map((method) => [
        method.localName,
        method.methodKind === "unary" ? () => ({}) : async function* () {},
      ]),
    );
  return Object.fromEntries(
    Object.entries(services).map(([name, service]) => [name, implement(service)]),
  ) as unknown as ControlServices;
}

const doors = { join: "join", control: "control", operator: "operator-port" } as const;

describe("over real TLS doors", () => {
  let trust: TestTrust;
  let foreign: TestTrust;
  const served = new Map<keyof typeof doors, ServedSurface>();

  beforeAll(async () => {
    trust = await TestTrust.create("cl-one");
    foreign = await TestTrust.create("cl-two");
    const unlimited = { join: 1e9, node: 1e9, client: 1e9, operator: 1e9, link: 1e9, inspect: 1e9 };
    const same = (_socket: unknown, caller: Caller): Caller => caller;
    const surfaces = createControlSurfaces(
      emptyServices(),
      { join: same, control: same, operator: same },
      {
        log: silentLog,
        clock: systemClock,
        random: systemRandom,
        health: new HealthState(),
        buckets: new RateLimits(systemClock, unlimited),
      },
    );
    for (const door of ["join", "control", "operator"] as const) {
      served.set(door, await serveAt(trust, doors[door], surfaces[door]));
    }
  });
  afterAll(async () => {
    for (const one of served.values()) await one[Symbol.asyncDispose]();
  });

  const portOf = (door: keyof typeof doors): number => served.get(door)?.port ?? 0;

  /** There are more RPCs than a joining host may call in one session. */
  const callsPerSession = limits.joiningCallsBurstCount / 2;

  async function callAll(dial: () => Promise<ClientHttp2Session>): Promise<Map<string, string | undefined>> {
    const answers = new Map<string, string | undefined>();
    const names = every.map(rpcName).filter((name) => name !== "grpc.health.v1.Health/Watch");
    while (names.length > 0) {
      const session = await dial();
      for (const name of names.splice(0, callsPerSession)) {
        answers.set(name, (await rawRequest(session, `/${name}`)).status);
      }
      session.destroy();
    }
    return answers;
  }

  test.each([
    ["join", undefined, joining],
    ["control", "node", node],
    ["operator", "operator", operator],
  ] as const)("%s: exactly the RPCs of its callers answer, the rest do not exist there", async (door, kind, who) => {
    const leaf = kind === undefined ? undefined : await trust.leaf(kind, ids[kind]);
    const answers = await callAll(() => dialHttp2(trust, portOf(door), leaf));
    const answered = [...answers].filter(([, status]) => status !== "12").map(([name]) => name);
    const expected = every
      .filter((method) => expectedOf(method).includes(who) && rpcName(method) !== "grpc.health.v1.Health/Watch")
      .map(rpcName);
    expect(answered.sort()).toEqual(expected.sort());
    for (const name of answered) expect(["0", "3"], name).toContain(answers.get(name));
  });

  test.each([
    ["a node at the operator door", "operator", "node", "own"],
    ["a client at the operator door", "operator", "client", "own"],
    ["a control certificate at the operator door", "operator", "control", "own"],
    ["an operator at the node door", "control", "operator", "own"],
    ["a client at the node door", "control", "client", "own"],
    ["a pool certificate at the node door", "control", "pool", "own"],
    ["a node of another cluster at the node door", "control", "node", "foreign"],
    ["an operator of another installation", "operator", "operator", "foreign"],
  ] as const)("%s gets no RPC at all", async (_name, door, kind, whose) => {
    const leaf = await (whose === "own" ? trust : foreign).leaf(kind, "x-1");
    const surface = served.get(door)?.surface;
    // Those of the tests before may still be on their way out.
    await eventually(() => surface?.sessionCount() === 0, { what: "nobody is there" });
    const session = await dialHttp2(trust, portOf(door), leaf).catch(() => undefined);
    if (session !== undefined) {
      const { status } = await rawRequest(session, "/grpc.health.v1.Health/Check");
      expect(status).toBeUndefined();
      session.destroy();
    }
    expect(surface?.sessionCount()).toBe(0);
  });

  test("THR-A7 nobody without a certificate gets past the doors that ask for one", async () => {
    for (const door of ["control", "operator"] as const) {
      const session = await dialHttp2(trust, portOf(door), undefined).catch(() => undefined);
      if (session === undefined) continue;
      expect((await rawRequest(session, "/grpc.health.v1.Health/Check")).status).toBeUndefined();
      session.destroy();
    }
  });
});
