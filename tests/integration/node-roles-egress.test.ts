import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { create } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { EdgeChannel } from "../../edge/channel.ts";
import { encodeContract, signContract } from "../../fabric/contract.ts";
import { CreditPool } from "../../fabric/trunk/credit.ts";
import { LeaseContractSchema, LeaseKind } from "../../gen/weft/fabric/v1/contract_pb.ts";
import { ChannelClass, NodeRole, OriginAssurance } from "../../gen/weft/fabric/v1/role_pb.ts";
import { PathOfferSchema, PathPurpose } from "../../gen/weft/relay/v1/relay_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { systemRandom } from "../../lib/random.ts";
import { createCeilingJudge } from "../../node/ceiling.ts";
import { loadNodeConfig } from "../../node/config.ts";
import type { OpenedPath, PathOpener, PathRequest } from "../../node/paths.ts";
import { createEgressRole, type EgressRole } from "../../node/roles/egress.ts";
import { type ChannelWish, EntryRole } from "../../node/roles/entry.ts";
import type { Routes } from "../../node/roles/routes.ts";
import type { Caller } from "../../rpc/caller.ts";
import { dialPath, type EdgeListener, type Identities, listenForPaths, makeIdentities } from "../harness/edge-paths.ts";
import { eventually } from "../harness/eventually.ts";
import { freePort } from "../harness/loopback.ts";
import { offlineJudge } from "../harness/offline-judge.ts";
import { deskOf, selfId, signer, snapshotWith, type TestPorts, testPorts } from "../unit/node/stage.ts";

const { ceiling: defaults } = loadNodeConfig({ env: {}, flags: { stateDir: "s", control: "c:1" } });
const ceiling = createCeilingJudge({ ...defaults, targets: [{ cidr: "127.0.0.1/32", fromPort: 1, toPort: 65_535 }] });
const entryCaller: Caller = {
  kind: "node",
  id: { trustDomain: "weft.test", clusterId: "cl-a", kind: "node", id: "nd-entry" },
  spiffe: "spiffe://weft.test/node/nd-entry",
  serialHex: "0a",
  keyHashHex: "0b",
  issuerKeyIdHex: "0c",
  sourceAddress: "127.0.0.1",
  arrivedBy: "path",
};

const targets = new Set<Socket>();
const target = createServer({ allowHalfOpen: true }, (socket) => {
  targets.add(socket);
  socket.on("error", () => {});
  socket.once("close", () => targets.delete(socket));
  socket.pipe(socket);
});

let identities: Identities;
let listener: EdgeListener;
let targetPort = 0;
let deadPort = 0;
beforeAll(async () => {
  identities = await makeIdentities();
  target.listen(0, "127.0.0.1");
  await once(target, "listening");
  targetPort = (target.address() as AddressInfo).port;
  deadPort = await freePort();
});
afterAll(() => void target.close());

/** What the egress knows: one entry, one listener, a target that answers, one that does not, one beyond its ceiling. */
function egressSnapshot(over: object = {}) {
  const place = { organizationId: "org-1", poolId: "pl-1", defaultClass: ChannelClass.INTERACTIVE, host: "127.0.0.1" };
  const names = ["echo", "dead", "metadata"];
  return snapshotWith({
    self: { roles: [{ role: NodeRole.EGRESS, organizationId: "org-1" }] },
    members: [{ nodeId: "nd-entry", roles: [{ role: NodeRole.ENTRY, organizationId: "org-1" }] }],
    pools: [{ poolId: "pl-1", organizationId: "org-1", egressNodeIds: [selfId] }],
    resourceTargets: [
      { ...place, name: "echo", port: targetPort },
      { ...place, name: "dead", port: deadPort },
      { ...place, name: "leased", port: targetPort, resourceId: "rs-1", requiresLease: true },
      { ...place, name: "metadata", host: "169.254.169.254", port: 80 },
    ],
    listenerGrants: names.map((resourceName) => ({
      listenerId: "ls-1",
      entryNodeId: "nd-entry",
      organizationId: "org-1",
      resourceName,
    })),
    ...over,
  });
}

let near: TestPorts;
let far: TestPorts;
let egress: EgressRole;
let entry: EntryRole;
let egresses: string[];
let failedWays: string[];
let asked: string[];
/** Of the newest path: what its offer names. */
let trunkId: Uint8Array;
let refuseWay: (request: PathRequest) => Error | undefined;
/** What its offer says beside that. */
let offered: { readonly purpose?: PathPurpose; readonly organizationId?: string };
let newChannels: { near: boolean; far: boolean };

beforeEach(async () => {
  near = { ...testPorts(snapshotWith()), clock: systemClock as never, random: systemRandom };
  const shown = testPorts(egressSnapshot());
  far = Object.assign(shown, { clock: systemClock as never });
  egresses = ["nd-egress"];
  failedWays = [];
  asked = [];
  refuseWay = () => undefined;
  offered = {};
  newChannels = { near: true, far: true };
  egress = createEgressRole({
    ports: far,
    ceiling,
    processPool: new CreditPool(limits.processReceivePoolBytes),
    offline: offlineJudge(() => ({ newChannels: newChannels.far })),
    contracts: deskOf(far),
  });
  listener = await listenForPaths(identities, ({ tls, raw }) =>
    egress.onPathEnd({
      tls,
      raw,
      caller: entryCaller,
      hops: ["nd-entry", "nd-relay", selfId],
      pathTag: "tag",
      offer: create(PathOfferSchema, { organizationId: "org-1", trunkId, ...offered }),
    }),
  );
  const routes = {
    resource: (name: string) =>
      name === "unknown"
        ? undefined
        : { name, poolId: "pl-1", defaultClass: ChannelClass.INTERACTIVE, allowedClasses: [ChannelClass.BULK] },
    egresses: () => egresses,
    paths: (farEdge: string) => ["r1", "r2"].map((relay) => ({ hops: ["nd-entry", relay, farEdge], farEdge })),
    failed: (hops: readonly string[]) => failedWays.push(hops.slice(1).join()),
  } as unknown as Routes;
  const paths = {
    open: async (request: PathRequest): Promise<OpenedPath> => {
      asked.push(request.hops.slice(1).join());
      trunkId = request.trunkId;
      const refusal = refuseWay(request);
      if (refusal !== undefined) throw refusal;
      const path = await dialPath(identities, listener.port);
      return { ...path, close: () => path.raw.resetAndDestroy() } as unknown as OpenedPath;
    },
  } as unknown as PathOpener;
  entry = new EntryRole({
    ports: near,
    routes,
    paths,
    processPool: new CreditPool(limits.processReceivePoolBytes),
    offline: offlineJudge(() => ({ newChannels: newChannels.near })),
    contracts: deskOf(near),
  });
});

afterEach(async () => {
  await Promise.all([entry.close(), egress.close()]);
  await eventually(() => listener.sockets.size === 0, { what: "no path left" });
  await listener.close();
  await eventually(() => targets.size === 0, { what: "no target left" });
});

const wish = (over: Partial<ChannelWish> = {}): ChannelWish => ({
  resource: "echo",
  organizationId: "org-1",
  class: ChannelClass.UNSPECIFIED,
  origin: {
    assurance: OriginAssurance.ANONYMOUS,
    clientId: "",
    organizationId: "org-1",
    entryNodeId: "nd-entry",
    listenerId: "ls-1",
    sourceAddress: "127.0.0.1:1",
  },
  ...over,
});

async function failureOf(work: Promise<unknown>): Promise<{ detail: string; stage: string | undefined }> {
  const thrown: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(thrown instanceof WeftError)) throw new Error(`expected a WeftError, not ${String(thrown)}`);
  return { detail: thrown.detail, stage: thrown.metadata["stage"] };
}

async function opened(over: Partial<ChannelWish> = {}): Promise<EdgeChannel> {
  const channel = await entry.open(wish(over));
  channel.on("error", () => {});
  await channel.opened;
  return channel;
}

describe("from an entry to a target", () => {
  it("bytes go both ways, half-closes are kept, and nothing is left", async () => {
    const channel = await opened();
    expect([near.counters.channelsLive, far.counters.channelsLive, far.counters.trunksLive]).toEqual([1, 1, 1]);
    let text = "";
    channel.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    channel.end("hello");
    await once(channel, "end");
    expect(text).toBe("hello");
    await eventually(() => near.counters.channelsLive === 0 && far.counters.channelsLive === 0);
    expect([near.counters.channelsOpened, far.counters.channelsOpened]).toEqual([1, 1]);
  });

  it("channels of one organization to one egress share a trunk", async () => {
    const channels = await Promise.all([opened(), opened(), opened()]);
    expect(egress.trunks()).toHaveLength(1);
    // One path for all of them; what is asked for later is a spare.
    expect(asked[0]).toBe("r1,nd-egress");
    expect(entry.trunkPool.trunks()).toHaveLength(1);
    for (const channel of channels) channel.destroy();
  });

  it("LAW-T2 a way that fails is remembered and the next is tried, then the next egress", async () => {
    egresses = ["nd-gone", "nd-egress"];
    refuseWay = ({ hops }) =>
      hops.at(-1) === "nd-gone" || hops[1] === "r1" ? new WeftError("unavailable", "away") : undefined;
    (await opened()).destroy();
    expect(asked.slice(0, 4)).toEqual(["r1,nd-gone", "r2,nd-gone", "r1,nd-egress", "r2,nd-egress"]);
    expect(failedWays.slice(0, 3)).toEqual(["r1,nd-gone", "r2,nd-gone", "r1,nd-egress"]);
  });
});

describe("the entry refuses at once", () => {
  it.each<[string, Partial<ChannelWish>, string]>([
    ["a resource nobody knows", { resource: "unknown" }, "UNKNOWN_RESOURCE"],
    ["a class the resource does not allow", { class: ChannelClass.DROPPABLE }, "NOT_ALLOWED"],
  ])("%s", async (_what, over, detail) => {
    expect(await failureOf(entry.open(wish(over)))).toEqual({ detail, stage: "ENTRY" });
    expect(asked).toEqual([]);
  });

  it("while it drains, and while the offline mode says so", async () => {
    newChannels.near = false;
    expect(await failureOf(entry.open(wish()))).toEqual({ detail: "OFFLINE", stage: "ENTRY" });
    near.drain.set(true);
    expect(await failureOf(entry.open(wish()))).toEqual({ detail: "DRAINING", stage: "ENTRY" });
    expect(asked).toEqual([]);
  });

  it("when there is no egress, or no way to any: the cause stays inside", async () => {
    refuseWay = () => new WeftError("unavailable", "nd-relay is away");
    expect(await failureOf(entry.open(wish()))).toEqual({ detail: "NO_PATH", stage: "FABRIC" });
    egresses = [];
    expect(await failureOf(entry.open(wish()))).toEqual({ detail: "NO_PATH", stage: "FABRIC" });
  });
});

describe("the egress decides for itself", () => {
  it.each<[string, Partial<ChannelWish>, { detail: string; stage: string }]>([
    ["a resource it does not have", { resource: "other" }, { detail: "UNKNOWN_RESOURCE", stage: "EGRESS" }],
    [
      "an origin its peer may not claim",
      { origin: { ...wish().origin, listenerId: "ls-2" } },
      { detail: "NOT_ALLOWED", stage: "EGRESS" },
    ],
    ["a target that refuses", { resource: "dead" }, { detail: "TARGET_REFUSED", stage: "TARGET" }],
    ["LAW-C6 a target beyond its ceiling", { resource: "metadata" }, { detail: "NOT_ALLOWED", stage: "EGRESS" }],
  ])("%s", async (_what, over, expected) => {
    expect(await failureOf(opened(over))).toEqual(expected);
    expect(far.counters.channelsLive).toBe(0);
    expect(far.kinds().includes("ceiling_refused")).toBe(over.resource === "metadata");
    await eventually(() => near.counters.channelsLive === 0);
  });

  it("LAW-I4 ends the channels of a vouched client that is revoked", async () => {
    const origin = { ...wish().origin, assurance: OriginAssurance.ENTRY_ASSERTED, clientId: "ct-1", listenerId: "" };
    far.show(egressSnapshot({ clients: [{ clientId: "ct-1", organizationId: "org-1" }] }));
    const own = await opened({ origin });
    Object.assign(far, { revoked: ({ spiffe = "" }) => spiffe.endsWith("/client/ct-1") }).revokedChanged();
    await eventually(() => own.errored !== null, { what: "the end" });
    expect(own.errored).toMatchObject({ detail: "REVOKED", metadata: { stage: "EGRESS" } });
  });

  it("about new channels on a trunk that lives, when its offline mode stops them", async () => {
    const before = await opened();
    newChannels.far = false;
    expect(await failureOf(opened())).toEqual({ detail: "OFFLINE", stage: "EGRESS" });
    expect(before.destroyed).toBe(false);
    before.destroy();
  });
});

describe("M-A24 the egress holds what an entry that checks nothing carries", () => {
  const origin = { ...wish().origin, assurance: OriginAssurance.ENTRY_ASSERTED, clientId: "ct-1", listenerId: "" };
  const clients = [{ clientId: "ct-1", organizationId: "org-1" }];
  const lease = (over: object = {}): Uint8Array => {
    const atMs = Math.floor(systemClock.nowMs());
    const fields = {
      ...{ clusterId: "cl-a", leaseId: "sl-1", kind: LeaseKind.SERVICE_CHANNEL, resourceId: "rs-1" },
      ...{ organizationId: "org-1", clientId: "ct-1", entryNodeId: "nd-entry", fence: { epoch: 1n, counter: 1n } },
      ...{ issuedAtMs: BigInt(atMs), notAfterMs: BigInt(atMs + 60_000), ...over },
    };
    const signed = signContract(signer("contract", "cl-a", undefined, atMs), create(LeaseContractSchema, fields));
    return encodeContract(signed);
  };
  const carried = async (contract: Uint8Array | undefined, flowIsolationId = ""): Promise<EdgeChannel> => {
    far.show(egressSnapshot({ clients, endedLeaseIds: ["sl-ended"] }));
    const open = { resource: "leased", class: ChannelClass.INTERACTIVE, origin, correlationId: "c", flowIsolationId };
    const far1 = { farEdge: "nd-egress", organizationId: "org-1" };
    const channel = await entry.trunkPool.open(far1, { ...open, ...(contract === undefined ? {} : { contract }) });
    channel.on("error", () => {});
    await channel.opened;
    return channel;
  };

  it.each<[string, () => Uint8Array | undefined, string]>([
    ["nothing", () => undefined, "CONTRACT_MISSING"],
    ["another entry's", () => lease({ entryNodeId: "nd-other" }), "CONTRACT_ENTRY"],
    ["another client's", () => lease({ clientId: "ct-2" }), "CONTRACT_CLIENT"],
    ["another class", () => lease({ channelClass: ChannelClass.BULK }), "CONTRACT_CHANNEL_CLASS"],
    ["one that ended", () => lease({ leaseId: "sl-ended" }), "CONTRACT_ENDED"],
    ["half of one", () => lease().subarray(0, 200), "CONTRACT_MALFORMED"],
  ])("%s: refused, and operators are told why", async (_what, make, reason) => {
    expect(await failureOf(carried(make()))).toEqual({ detail: "NOT_ALLOWED", stage: "EGRESS" });
    expect(far.seen.find(({ kind }) => kind === "contract_refused")?.facts).toMatchObject({ stage: "egress", reason });
  });

  it("the right one: taken, on a trunk of its flow, and ended with its lease", async () => {
    const channel = await carried(lease());
    expect(await failureOf(carried(lease({ flowIsolationId: "f-1" }), "f-1"))).toMatchObject({ stage: "EGRESS" });
    far.show(egressSnapshot({ clients, endedLeaseIds: ["sl-1"] }));
    await eventually(() => channel.errored !== null, { what: "the end" });
    expect(channel.errored).toMatchObject({ detail: "REVOKED", metadata: { stage: "EGRESS" } });
  });
});

describe("a path that only measures", () => {
  it.each([
    ["for nobody", { purpose: PathPurpose.PROBE, organizationId: "" }],
    ["for an organization", { purpose: PathPurpose.PROBE }],
  ])("%s holds no trunk at the egress, however often it is tried", async (_what, over) => {
    const everybody = [{ role: NodeRole.EGRESS }];
    const members = [{ nodeId: "nd-entry", roles: [{ role: NodeRole.ENTRY }] }];
    far.show(egressSnapshot({ self: { roles: everybody }, members }));
    offered = over;
    for (let n = 0; n < 3; n += 1) expect((await failureOf(entry.open(wish()))).detail).toBe("NO_PATH");
    expect(asked.length).toBeGreaterThanOrEqual(3);
    expect(far.kinds()).not.toContain("trunk_opened");
    await eventually(() => listener.sockets.size === 0, { what: "no path left" });
  });
});

describe("LAW-I4 a peer that loses its right", () => {
  const lost = async (change: () => void): Promise<void> => {
    const channel = await opened();
    change();
    await eventually(() => egress.trunks().length === 0 && targets.size === 0, { what: "trunk and target to be cut" });
    // It hopes for another path for a while, and gets none.
    expect((await failureOf(opened())).detail).toMatch(/^(NO_PATH|TRUNK_LOST)$/);
    expect(egress.trunks()).toEqual([]);
    await entry.close();
    expect(channel.errored).toMatchObject({ detail: "TRUNK_LOST" });
  };

  it("by a revocation is cut at once, with its channels and their targets", async () => {
    await lost(() => {
      far.revoked = ({ serialHex }) => serialHex === entryCaller.serialHex;
      far.revokedChanged();
    });
  });

  it.each<[string, object]>([
    ["because it is no entry any more", { members: [{ nodeId: "nd-entry", roles: [] }] }],
    [
      "because it is an entry of another organization",
      { members: [{ nodeId: "nd-entry", roles: [{ role: NodeRole.ENTRY, organizationId: "org-2" }] }] },
    ],
    ["because this node is no egress any more", { self: { roles: [] } }],
  ])("%s is cut", async (_what, over) => {
    await lost(() => far.show(egressSnapshot(over)));
  });

  it("another's loss cuts nobody else", async () => {
    const channel = await opened();
    far.revoked = ({ serialHex }) => serialHex === "ff";
    far.revokedChanged();
    far.show(egressSnapshot({ version: 2n }));
    const echoed = once(channel, "data") as Promise<[Buffer]>;
    channel.write("still");
    expect(String((await echoed)[0])).toBe("still");
    channel.destroy();
  });
});

describe("a draining egress", () => {
  it("keeps its channels and takes no new ones", async () => {
    const channel = await opened();
    far.drain.set(true);
    expect(await failureOf(opened())).toEqual({ detail: "DRAINING", stage: "EGRESS" });
    const echoed = once(channel, "data") as Promise<[Buffer]>;
    channel.write("still");
    expect(String((await echoed)[0])).toBe("still");
    channel.destroy();
  });
});
