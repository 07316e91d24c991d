/**
 * grpcurl, a stock Go client, against every process of a fabric: lists, describes and calls every service, by name and by
 * IP, with ordinary verification, on the port meant for the caller.
 */

import { beforeAll, describe, expect, it } from "vitest";
import { fabricWithinMs, type Ran, run, type StockFiles, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { requirePeer } from "../../harness/peers.ts";
import { knownAt } from "../../harness/stock-grpc.ts";

const grpcurl = requirePeer("grpcurl", "grpcurl lists, describes and calls every service of every process");

/** A port as one kind of caller sees it. */
interface Door {
  readonly files: StockFiles;
  readonly address: string;
  /** The name the certificate is verified by beside the address; `localhost` unless a name must choose the door. */
  readonly name?: string;
}

interface Call {
  readonly method: string;
  readonly body?: (facts: Facts) => object;
  /** gRPC codes besides OK that a served method may answer this call with. */
  readonly codes?: readonly string[];
}

interface Facts {
  readonly clusterId: string;
  readonly organizationId: string;
}

const inspection: Readonly<Record<string, Call>> = {
  "grpc.health.v1.Health": { method: "Check" },
  "grpc.reflection.v1.ServerReflection": { method: "ServerReflectionInfo", body: () => ({ list_services: "" }) },
  "grpc.reflection.v1alpha.ServerReflection": { method: "ServerReflectionInfo", body: () => ({ list_services: "" }) },
};

const inCluster = ({ clusterId }: Facts): object => ({ cluster_id: clusterId });

const controlOperatorCalls: Readonly<Record<string, Call>> = {
  ...inspection,
  "weft.admin.v1.AlertService": { method: "ListAlerts", body: inCluster },
  "weft.admin.v1.AuditService": { method: "ListAudit", body: inCluster },
  "weft.admin.v1.CaService": { method: "GetCaStatus", body: inCluster },
  "weft.admin.v1.CertificateService": { method: "ListCertificates", body: inCluster },
  "weft.admin.v1.ClusterService": { method: "ListClusters" },
  "weft.admin.v1.GroupService": { method: "ListGroups", body: inCluster },
  "weft.admin.v1.IdentityService": { method: "ListIdentities", body: inCluster },
  "weft.admin.v1.RouteIntentService": { method: "ListRouteIntents", body: inCluster },
  "weft.admin.v1.LeaseAdminService": { method: "ListLeases", body: inCluster },
  "weft.admin.v1.ListenerService": { method: "ListListeners", body: inCluster },
  "weft.admin.v1.MembershipService": { method: "ListMemberships", body: inCluster },
  "weft.admin.v1.NodeAdminService": { method: "ListNodes", body: inCluster },
  "weft.admin.v1.OrganizationService": { method: "ListOrganizations", body: inCluster },
  "weft.admin.v1.PolicyService": { method: "ListOfflinePolicies", body: inCluster },
  "weft.admin.v1.PoolService": { method: "ListPools", body: inCluster },
  "weft.admin.v1.QosService": { method: "ListQosPolicies", body: inCluster },
  "weft.admin.v1.RequestService": { method: "ListRequests", body: inCluster },
  "weft.admin.v1.ResourceService": { method: "ListResources", body: inCluster },
  "weft.admin.v1.RoleService": { method: "ListRoles", body: inCluster },
  "weft.admin.v1.ServiceChannelService": { method: "ListLeases", body: inCluster },
  "weft.admin.v1.StoreService": { method: "GetStoreStatus" },
  "weft.admin.v1.TestTelemetryService": { method: "ListTestTelemetry", body: inCluster },
  "weft.admin.v1.TokenService": { method: "ListTokens", body: inCluster },
  "weft.admin.v1.WorkloadService": { method: "ListWorkloads", body: inCluster },
  "weft.lease.v1.LeaseService": { method: "Get", body: () => ({ name: "nobody-holds-it" }), codes: ["NotFound"] },
  "weft.routing.v1.RoutingService": {
    method: "ExplainRoute",
    body: ({ clusterId, organizationId }) => ({
      cluster_id: clusterId,
      resource: "web",
      organization_id: organizationId,
    }),
  },
};

const nodeOperatorCalls: Readonly<Record<string, Call>> = {
  ...inspection,
  "weft.channel.v1.ChannelService": {
    method: "Echo",
    body: () => ({ batch: { seq: 7, frames: [{ channel_id: 1, data: "aGVsbG8=" }] } }),
  },
  "weft.node.v1.NodeService": { method: "GetStatus" },
  "weft.probe.v1.ProbeService": { method: "Probe", body: () => ({ seq: 1, payload: "aGVsbG8=" }) },
  "weft.probe.v1.RouteProbeService": {
    method: "ProbeRoute",
    body: () => ({ to_node_id: "nobody", route: "PROBED_ROUTE_SINGLE_RELAY" }),
    codes: ["FailedPrecondition"],
  },
};

/** What a node says of itself is refused when it makes no sense; that it is refused by the handler shows it is served. */
const controlNodeCalls: Readonly<Record<string, Call>> = {
  ...inspection,
  "weft.control.v1.ControlService": { method: "ReportWorkloads", body: () => ({ workloads: [] }) },
  "weft.enrollment.v1.EnrollmentService": { method: "Renew", codes: ["InvalidArgument"] },
  "weft.heartbeat.v1.HeartbeatService": { method: "Beat", codes: ["InvalidArgument"] },
  "weft.admin.v1.ServiceChannelService": {
    method: "IntrospectLease",
    codes: ["InvalidArgument", "NotFound", "PermissionDenied"],
  },
  "weft.lease.v1.LeaseService": { method: "Get", body: () => ({ name: "nobody-holds-it" }), codes: ["NotFound"] },
  "weft.routing.v1.RoutingService": { method: "ReportLinks", body: () => ({ links: [] }) },
};

const entryClientCalls: Readonly<Record<string, Call>> = {
  ...inspection,
  "weft.access.v1.AccessService": { method: "Connect", body: () => ({ open: { resource: "echo" } }) },
  "weft.access.v1.PathService": {
    method: "OpenClientPath",
    codes: ["InvalidArgument", "Unauthenticated", "PermissionDenied"],
  },
};

function argumentsOf(door: Door, byName: boolean): { tls: string[]; target: string } {
  const { ca, cert, key } = door.files;
  const port = door.address.slice(door.address.lastIndexOf(":") + 1);
  const authority = byName && door.name !== undefined ? ["-authority", door.name] : [];
  return {
    tls: ["-cacert", ca, "-cert", cert, "-key", key, "-max-time", "20", ...authority],
    target: byName && door.name === undefined ? `localhost:${port}` : `127.0.0.1:${port}`,
  };
}

function ask(door: Door, byName: boolean, flags: readonly string[], ...words: readonly string[]): Promise<Ran> {
  const { tls, target } = argumentsOf(door, byName);
  return run(grpcurl.path, [...tls, ...flags, target, ...words]);
}

async function listServices(door: Door, byName: boolean): Promise<string[]> {
  const answer = await ask(door, byName, [], "list");
  if (answer.code !== 0) throw new Error(`list ${byName ? "by name" : "by IP"}: ${answer.stderr}`);
  return answer.stdout.trim().split("\n").sort();
}

/** What is wrong with one service through one door; empty when it can be described and called. */
async function tryService(door: Door, byName: boolean, service: string, call: Call, facts: Facts): Promise<string[]> {
  const how = `${service} ${byName ? "by name" : "by IP"}`;
  const described = await ask(door, byName, [], "describe", service);
  const problems: string[] = [];
  if (described.code !== 0 || !described.stdout.includes(`rpc ${call.method} `)) {
    problems.push(`${how}: describe: ${described.stderr}${described.stdout}`);
  }
  const body = JSON.stringify(call.body?.(facts) ?? {});
  const called = await ask(door, byName, ["-d", body], `${service}/${call.method}`);
  const code = /Code: (\w+)/.exec(called.stderr)?.[1] ?? (called.code === 0 ? "OK" : "none");
  if (code !== "OK" && call.codes?.includes(code) !== true) problems.push(`${how}: ${call.method}: ${called.stderr}`);
  return problems;
}

/** Two at a time: a grpcurl costs a process. */
async function tryAll(door: Door, calls: Readonly<Record<string, Call>>, facts: Facts): Promise<string[]> {
  const waiting = Object.entries(calls).flatMap(([service, call]) =>
    [true, false].map((byName) => ({ service, call, byName })),
  );
  const problems: string[] = [];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      problems.push(...(await tryService(door, next.byName, next.service, next.call, facts)));
    }
  };
  await Promise.all([worker(), worker()]);
  return problems;
}

describe.skipIf(grpcurl.missing)("grpcurl", () => {
  let world: TestFabric;
  let facts: Facts;

  beforeAll(async () => {
    world = await sharedFabric();
    const organizations = await world.weft("organization", "list", "--json");
    const { organizations: rows } = JSON.parse(organizations.stdout) as {
      organizations: { id: string; clusterId: string }[];
    };
    const [demo] = rows;
    if (demo === undefined) throw new Error(`no organization: ${organizations.stdout}`);
    facts = { clusterId: demo.clusterId, organizationId: demo.id };
  }, fabricWithinMs);

  async function holds(door: Door, calls: Readonly<Record<string, Call>>): Promise<void> {
    expect(await listServices(door, false)).toEqual(Object.keys(calls).sort());
    expect(await listServices(door, true)).toEqual(Object.keys(calls).sort());
    expect(await tryAll(door, calls, facts)).toEqual([]);
  }

  it("sees and calls all of control on its operator port", async () => {
    await holds({ files: world.operator, address: world.operatorAddress("control") }, controlOperatorCalls);
  }, 60_000);

  it.each(["entry-1", "entry-2", "relay-1", "relay-2", "relay-3", "egress-1", "egress-2"])(
    "sees and calls all of %s on its operator port, dial-out only or not",
    async (name) => {
      await holds({ files: world.operator, address: world.operatorAddress(name) }, nodeOperatorCalls);
    },
    60_000,
  );

  it("sees and calls what control serves to nodes on its public port", async () => {
    const door = {
      files: world.nodeFiles("egress-1"),
      address: world.publicAddress("control"),
      name: "control.default.weft.internal",
    };
    await holds(door, controlNodeCalls);
  }, 60_000);

  it("sees and calls what an entry serves to clients on its public port", async () => {
    const files = await world.addClient("grpcurl");
    await knownAt(world.publicAddress("entry-1"), files);
    await holds({ files, address: world.publicAddress("entry-1") }, entryClientCalls);
  }, 60_000);

  it("is told whether a process serves", async () => {
    for (const name of ["control", "relay-1", "egress-2"]) {
      const answer = await ask(
        { files: world.operator, address: world.operatorAddress(name) },
        false,
        ["-d", "{}"],
        "grpc.health.v1.Health/Check",
      );
      expect(JSON.parse(answer.stdout), name).toEqual({ status: "SERVING" });
    }
  });

  it("LAW-C1 gets nowhere without a certificate, or with one for another port", async () => {
    const operatorPort = world.operatorAddress("control");
    const node = world.nodeFiles("relay-1");
    const attempts: readonly [string, StockFiles | undefined][] = [
      [operatorPort, undefined],
      [operatorPort, node],
      [world.operatorAddress("relay-2"), node],
      [world.publicAddress("entry-1"), world.operator],
      [world.publicAddress("relay-1"), node],
    ];
    // grpcurl dials again until it may not: the bound is how long it believes.
    const refused = await Promise.all(
      attempts.map(([address, files]) => {
        const shown = files === undefined ? [] : ["-cert", files.cert, "-key", files.key];
        return run(grpcurl.path, ["-cacert", world.operator.ca, ...shown, "-connect-timeout", "2", address, "list"]);
      }),
    );
    expect(refused.map(({ code }) => code === 0)).toEqual(attempts.map(() => false));
    expect((await ask({ files: world.operator, address: operatorPort }, false, [], "list")).code).toBe(0);
  });

  it("LAW-C1 does not trust a certificate of another root", async () => {
    const wrongRoot = { ...world.operator, ca: world.operator.cert };
    const answer = await ask({ files: wrongRoot, address: world.operatorAddress("relay-1") }, false, [], "list");
    expect(answer.code).not.toBe(0);
    expect(answer.stderr).toMatch(/certificate/);
  });
});
