/** `weft probe` and the service behind it, over paths of real processes. */

import { beforeAll, expect, it } from "vitest";
import { withSession } from "../../../cli/session.ts";
import { NodeAdminService } from "../../../gen/weft/admin/v1/node_pb.ts";
import { TestTelemetryService } from "../../../gen/weft/admin/v1/telemetry_pb.ts";
import { ProbedRoute, type ProbeRouteResponse, RouteProbeService } from "../../../gen/weft/probe/v1/probe_pb.ts";
import { limits } from "../../../lib/limits.ts";
import { rpcClient } from "../../../rpc/client.ts";
import { operatorTransport } from "../../../rpc/operator-transport.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { trunksOf } from "../../harness/trunks.ts";

let world: TestFabric;
beforeAll(async () => {
  world = await sharedFabric();
}, fabricWithinMs);

interface Said {
  readonly ok: boolean;
  readonly routes: readonly {
    readonly route: string;
    readonly state: string;
    readonly detail?: string;
    readonly path_class?: string;
    readonly path?: readonly string[];
    readonly avoided?: readonly string[];
    readonly sent?: number;
    readonly received?: number;
    readonly rtt_ms?: { readonly min: number; readonly max: number };
  }[];
}

async function probe(code: number, ...args: readonly string[]): Promise<Said> {
  const ends = ["--from", "entry-1", "--to", "egress-1", "--interval", "5ms", "--json"];
  const ran = await world.weft("probe", ...ends, ...args);
  expect(ran.stderr).toBe("");
  expect(ran.code).toBe(code);
  return JSON.parse(ran.stdout) as Said;
}

/** Asks one node as the operator, the way a generated client would. */
async function asked(name: string, request: object): Promise<ProbeRouteResponse["event"][]> {
  return await withSession({ context: world.fabric.contextDir }, async (session) => {
    const clusterId = await session.clusterId();
    const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId });
    const idOf = (wanted: string): string => nodes.find((node) => node.name === wanted)?.id ?? "";
    const tls = await session.nodeTls(clusterId, idOf(name));
    const transport = operatorTransport({ address: world.operatorAddress(name), tls });
    try {
      const events: ProbeRouteResponse["event"][] = [];
      const client = rpcClient(RouteProbeService, transport);
      for await (const { event } of client.probeRoute({ toNodeId: idOf("egress-1"), ...request }, { timeoutMs: 0 }))
        events.push(event);
      return events;
    } finally {
      transport.close();
    }
  });
}

async function organizationId(): Promise<string> {
  const { stdout } = await world.weft("organization", "list", "--json");
  const { organizations } = JSON.parse(stdout) as { organizations: { id: string; name: string }[] };
  return organizations.find(({ name }) => name === "demo")?.id ?? "";
}

async function switchTo(enabled: boolean, place: object): Promise<void> {
  await withSession({ context: world.fabric.contextDir }, async (session) => {
    const clusterId = await session.clusterId();
    await session.client(TestTelemetryService).setTestTelemetry({ clusterId, enabled, ...place });
  });
}

/** Of a probe of one echo: `back`, `lost`, or why there was none. */
async function outcomeOf(request: object, name = "entry-1"): Promise<string> {
  try {
    const last = (await asked(name, request)).at(-1);
    return last?.case === "sample" && last.value.rttMs !== undefined ? "back" : "lost";
  } catch (thrown) {
    return (thrown as { readonly detail?: string }).detail ?? String(thrown);
  }
}

it("M-A22 echo over the single relay and the fallback without it; direct only where an intent lets the two meet", async () => {
  const { ok, routes } = await probe(0);
  const [direct, single, fallback] = routes;
  expect(ok).toBe(true);
  expect(direct).toMatchObject({ route: "direct", state: "absent", detail: "PATH_NOT_A_NEIGHBOUR" });
  for (const route of [single, fallback]) {
    expect(route).toMatchObject({ state: "probed", path_class: "single-relay", sent: 20, received: 20 });
    expect(route?.path?.at(0)).toBe("entry-1");
    expect(route?.path?.at(-1)).toBe("egress-1");
    expect(route?.rtt_ms?.min).toBeGreaterThan(0);
  }
  // Forced away from the relays in use.
  expect(fallback?.avoided).toEqual(single?.path?.slice(1, -1));
  expect(fallback?.path).not.toContain(single?.path?.[1]);
  // Asked for by name, it has to be there.
  expect(await probe(1, "--route", "direct")).toMatchObject({ ok: false });
}, 60_000);

it("M-A22 the direct route, once a route intent says so", async () => {
  const added = await world.weft("intent", "add", "straight", "--action", "direct", "--from", "entry-1", "--for", "2m");
  expect(added.stderr).toBe("");
  try {
    const events = await eventually(
      () => asked("entry-1", { route: ProbedRoute.DIRECT, count: 5, intervalMs: 5, payloadBytes: 16_384 }),
      { what: "a link between entry and egress", withinMs: 20_000, everyMs: 200 },
    );
    const [path, ...samples] = events;
    expect(path).toMatchObject({ case: "path", value: { avoidedNodeIds: [] } });
    expect(path?.case === "path" && path.value.nodeIds.length).toBe(2);
    expect(samples).toHaveLength(5);
    expect(samples.every((event) => event?.case === "sample" && (event.value.rttMs ?? 0) > 0)).toBe(true);
    // A clock tells microseconds: digits beyond them would be noise.
    const times = events.map((event) => (event.case === "path" ? event.value.openMs : (event.value?.rttMs ?? 0)));
    expect(times).toEqual(times.map((ms) => Number(ms.toFixed(3))));
  } finally {
    await world.weft("intent", "remove", "straight");
  }
}, 60_000);

it("M-A22 test telemetry switched off for the entry, the egress or an organization ends probes there", async () => {
  const order = { route: ProbedRoute.SINGLE_RELAY, count: 1 };
  const demo = await organizationId();
  const ofDemo = { ...order, organizationId: demo };
  const becomes = (how: string, request: object = order, name?: string): Promise<unknown> =>
    eventually(async () => (await outcomeOf(request, name)) === how, { what: how, withinMs: 10_000 });
  await switchTo(false, { organizationId: "demo" });
  await switchTo(false, { nodeId: "egress-1" });
  await becomes("TEST_TELEMETRY_OFF", ofDemo);
  // Paths of nobody's organization are not meant; and the far end says nothing of why it keeps none.
  await becomes("lost");
  await switchTo(true, { nodeId: "egress-1" });
  const off = await world.weft("telemetry", "set", "off", "--node", "entry-1");
  expect(off.stdout).toContain("test telemetry of node entry-1 is off");
  await becomes("TEST_TELEMETRY_OFF");
  await becomes("back", order, "entry-2");
  for (const place of [{ organizationId: "demo" }, { nodeId: "entry-1" }, {}]) await switchTo(true, place);
  await becomes("back", ofDemo);
  const { stdout } = await world.weft("telemetry", "list");
  expect(stdout).toMatch(/^the cluster +on +20/m);
  expect(stdout).toMatch(/^node entry-1 +on +20/m);
}, 90_000);

it("a probe makes no trunk, leaves no path, and has bounds", async () => {
  const before = (await trunksOf(world, "egress-1")).map(({ trunkId }) => trunkId);
  await asked("entry-1", { route: ProbedRoute.SINGLE_RELAY, count: 2, intervalMs: 5 });
  const made = (await trunksOf(world, "egress-1")).filter(({ trunkId }) => !before.includes(trunkId));
  expect(made).toEqual([]);
  const wrong = [
    { route: ProbedRoute.UNSPECIFIED },
    { route: ProbedRoute.DIRECT, count: limits.routeProbeEchoesMaxCount + 1 },
    { route: ProbedRoute.DIRECT, intervalMs: 1 },
    { route: ProbedRoute.DIRECT, payloadBytes: limits.probePayloadMaxBytes + 1 },
    { route: ProbedRoute.DIRECT, toNodeId: "Not An Id" },
  ];
  for (const request of wrong)
    await expect(asked("entry-1", request)).rejects.toMatchObject({ reason: "invalid_argument" });
  // Who is no entry starts no path, and a relay is no end of one.
  await expect(asked("relay-1", { route: ProbedRoute.SINGLE_RELAY })).rejects.toMatchObject({
    detail: "PROBE_NO_ROUTE",
  });
}, 30_000);
