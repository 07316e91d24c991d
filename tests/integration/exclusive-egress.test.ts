/**
 * LAW-F3 at a real egress, against entries that compare nothing: whatever fence a channel shows, the target hears only whoever
 * has the newest, and a live channel under an older one ends with its reason.
 */

import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { EdgeChannel } from "../../edge/channel.ts";
import { TrunkPool } from "../../edge/trunk-pool.ts";
import { encodeContract, signContract } from "../../fabric/contract.ts";
import { CreditPool } from "../../fabric/trunk/credit.ts";
import { LeaseContractSchema, LeaseKind } from "../../gen/weft/fabric/v1/contract_pb.ts";
import { ChannelClass, NodeRole, OriginAssurance, ServiceClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { PathOfferSchema } from "../../gen/weft/relay/v1/relay_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { createCeilingJudge } from "../../node/ceiling.ts";
import { loadNodeConfig } from "../../node/config.ts";
import { ContractDesk } from "../../node/roles/contract-desk.ts";
import { createEgressRole, type EgressRole } from "../../node/roles/egress.ts";
import { type FenceJudgeDeps, type OwnFenceJudge, openFenceJudge } from "../../node/roles/fence-judge.ts";
import type { Caller } from "../../rpc/caller.ts";
import { dialPath, type Identities, listenForPaths, makeIdentities } from "../harness/edge-paths.ts";
import { eventually } from "../harness/eventually.ts";
import { offlineJudge } from "../harness/offline-judge.ts";
import { clusterId, installation, nowMs, selfId, signer, snapshotWith, testPorts } from "../unit/node/stage.ts";

const { ceiling: defaults } = loadNodeConfig({ env: {}, flags: { stateDir: "s", control: "c:1" } });
const ceiling = createCeilingJudge({ ...defaults, targets: [{ cidr: "127.0.0.1/32", fromPort: 1, toPort: 65_535 }] });
/** How long the egress was paused, as far as its clock says; its timers have not fired yet. */
let pausedMs = 0;
const clock = { ...systemClock, nowMs: () => nowMs, monoMs: () => systemClock.monoMs() + pausedMs };
const signing = signer("contract", clusterId);
const leaseMs = 60_000;

/** What reached the target, of which connection. */
const heard: string[] = [];
const targets = new Set<Socket>();
const target = createServer((socket) => {
  targets.add(socket);
  socket.on("data", (chunk: Buffer) => heard.push(chunk.toString()));
  socket.on("error", () => {});
  socket.once("close", () => targets.delete(socket));
});

let identities: Identities;
let stateDir: string;
let fences: OwnFenceJudge;
let egress: EgressRole;
/** What control answers: the holder's counter, and whether it can be asked. */
let holder: { counter: number; leftMs: number } | "away";
const pools: TrunkPool[] = [];
const channels: EdgeChannel[] = [];

beforeAll(async () => {
  identities = await makeIdentities();
  target.listen(0, "127.0.0.1");
  await once(target, "listening");
});
afterAll(() => void target.close());

const entryOf = (counter: number): string => `nd-entry-${counter % 2}`;

function contract(counter: number, over: object = {}): Uint8Array {
  const entryNodeId = entryOf(counter);
  const fields = {
    ...{
      clusterId,
      leaseId: `rs-1-1-${counter}`,
      name: "resource/rs-1",
      kind: LeaseKind.EXCLUSIVE,
      resourceId: "rs-1",
    },
    ...{ organizationId: "org-1", holderNodeId: entryNodeId, holderBootId: "boot", entryNodeId },
    ...{ serviceClass: ServiceClass.OTHER, fence: { epoch: 1n, counter: BigInt(counter) } },
    ...{ issuedAtMs: BigInt(nowMs - 1_000), notAfterMs: BigInt(nowMs + leaseMs), ...over },
  };
  return encodeContract(signContract(signing, create(LeaseContractSchema, fields as never)));
}

const leases = {
  get: async () => {
    if (holder === "away") throw new WeftError("unavailable", "away");
    const { counter, leftMs } = holder;
    const fence = { epoch: 1n, counter: BigInt(counter) };
    const held = { holderNodeId: entryOf(counter), bootId: "boot", ttlMs: BigInt(leftMs), expired: leftMs <= 0 };
    return { lease: { fence, ...held } };
  },
} as unknown as ReturnType<FenceJudgeDeps["leases"]>;

function openEgress(): void {
  const entries = [0, 1].map((at) => `nd-entry-${at}`);
  const snapshot = snapshotWith({
    self: { roles: [{ role: NodeRole.EGRESS, organizationId: "org-1" }] },
    members: entries.map((nodeId) => ({ nodeId, roles: [{ role: NodeRole.ENTRY, organizationId: "org-1" }] })),
    pools: [{ poolId: "pl-1", organizationId: "org-1", egressNodeIds: [selfId] }],
    resourceTargets: [
      {
        ...{ resourceId: "rs-1", name: "plc", organizationId: "org-1", poolId: "pl-1" },
        ...{ defaultClass: ChannelClass.INTERACTIVE, host: "127.0.0.1", port: (target.address() as AddressInfo).port },
        ...{ serviceClass: ServiceClass.OTHER, exclusiveLeaseMs: BigInt(leaseMs) },
      },
    ],
    listenerGrants: entries.map((entryNodeId) => ({
      ...{ listenerId: "ls-1", entryNodeId, organizationId: "org-1", resourceName: "plc" },
    })),
  });
  const own = Object.assign(testPorts(snapshot), { clock: clock as never });
  fences = openFenceJudge({ ports: own, stateDir, leases: () => leases });
  egress = createEgressRole({
    ports: own,
    ceiling,
    processPool: new CreditPool(limits.processReceivePoolBytes),
    offline: offlineJudge(),
    contracts: new ContractDesk({ ports: own, installationSpki: installation.spkiDer }),
    fences: fences.judge,
  });
}

beforeEach(async () => {
  stateDir = mkdtempSync(join(tmpdir(), "weft-exclusive-"));
  heard.length = 0;
  pausedMs = 0;
  holder = { counter: 1, leftMs: leaseMs };
  openEgress();
});
afterEach(async () => {
  for (const channel of channels.splice(0)) channel.destroy();
  await closeAll();
  rmSync(stateDir, { recursive: true, force: true });
});

async function closeAll(): Promise<void> {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
  await egress.close();
  fences.close();
}

/** A trunk pool of an entry, as it is when nothing in it looks at leases. */
function entryPool(nodeId: string): TrunkPool {
  const caller: Caller = {
    ...{ kind: "node", spiffe: `spiffe://weft.test/cluster/cl-a/node/${nodeId}`, serialHex: "0a", keyHashHex: "0b" },
    ...{ id: { trustDomain: "weft.test", clusterId, kind: "node", id: nodeId }, issuerKeyIdHex: "0c" },
    ...{ sourceAddress: "127.0.0.1", arrivedBy: "path" },
  };
  const pool = new TrunkPool({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    openPath: async (wish) => {
      const { trunkId } = wish;
      const arrived = await listenForPaths(identities, ({ tls, raw }) =>
        egress.onPathEnd({
          ...{ tls, raw, caller, hops: [nodeId, "nd-relay", selfId], pathTag: "tag" },
          offer: create(PathOfferSchema, { organizationId: "org-1", trunkId, initiatorId: nodeId }),
        }),
      );
      const path = await dialPath(identities, arrived.port);
      path.raw.once("close", () => void arrived.close());
      return { ...path, hops: [nodeId, "nd-relay", selfId] } as never;
    },
  });
  pools.push(pool);
  return pool;
}

async function open(pool: TrunkPool, counter: number, carried: Uint8Array | undefined): Promise<EdgeChannel> {
  const entryNodeId = entryOf(counter);
  const origin = { assurance: OriginAssurance.ANONYMOUS, clientId: "", organizationId: "org-1", entryNodeId };
  const channel = await pool.open(
    { farEdge: selfId, organizationId: "org-1" },
    {
      ...{ resource: "plc", class: ChannelClass.INTERACTIVE, correlationId: `c-${counter}` },
      origin: { ...origin, listenerId: "ls-1", sourceAddress: "127.0.0.1:1" },
      ...(carried === undefined ? {} : { contract: carried }),
    },
  );
  channel.on("error", () => {});
  channels.push(channel);
  return channel;
}

const endOf = (channel: EdgeChannel): Promise<string> =>
  eventually(() => (channel.destroyed ? ((channel.errored as WeftError | null)?.detail ?? "ended") : undefined), {
    what: "the channel's end",
  });

describe("THR-L1 REVIEW-21 an egress of an exclusive resource", () => {
  it("LAW-F3 ends a live channel under an older fence with FENCED before the newer one's target hears a byte", async () => {
    const [odd, even] = [entryPool(entryOf(1)), entryPool(entryOf(2))];
    const old = await open(odd, 1, contract(1));
    await old.opened;
    old.write("old ");
    await eventually(() => heard.join("") === "old ", { what: "the holder's bytes" });
    holder = { counter: 2, leftMs: leaseMs };
    const fresh = await open(even, 2, contract(2));
    // The old one goes on, as if nothing had happened.
    const writing = setInterval(() => old.writable && old.write("late "), 1);
    await fresh.opened;
    fresh.write("new ");
    expect(await endOf(old)).toBe("FENCED");
    await eventually(() => heard.includes("new "), { what: "the new holder's bytes" });
    clearInterval(writing);
    await eventually(() => targets.size === 1, { what: "the old target connection gone" });
    // Nothing of the old one once the new one was let in.
    const first = heard.findIndex((text) => text.includes("new "));
    expect(heard.slice(first).filter((text) => text.includes("late"))).toEqual([]);
    expect((await open(odd, 1, contract(1)).then(endOf)).toString()).toBe("FENCED");
    expect(targets.size).toBe(1);
  });

  it("LAW-F3 goes on refusing the older fence after it was started again", async () => {
    holder = { counter: 7, leftMs: leaseMs };
    const seventh = await open(entryPool(entryOf(7)), 7, contract(7));
    await seventh.opened;
    seventh.destroy();
    await closeAll();
    openEgress();
    // Even if control could be made to say that the old one holds.
    holder = { counter: 6, leftMs: leaseMs };
    expect(await endOf(await open(entryPool(entryOf(6)), 6, contract(6)))).toBe("FENCED");
    holder = { counter: 8, leftMs: leaseMs };
    await (await open(entryPool(entryOf(8)), 8, contract(8))).opened;
  });

  it("refuses a fence that control does not confirm, and any while control cannot be asked; nothing reaches the target", async () => {
    const pool = entryPool(entryOf(1));
    holder = { counter: 2, leftMs: leaseMs };
    expect(await endOf(await open(pool, 1, contract(1)))).toBe("FENCED");
    holder = { counter: 3, leftMs: 0 };
    expect(await endOf(await open(pool, 3, contract(3)))).toBe("FENCED");
    holder = "away";
    expect(await endOf(await open(pool, 5, contract(5)))).toBe("LEASE_UNKNOWN");
    for (const wrong of [
      undefined,
      contract(5, { kind: LeaseKind.SERVICE_CHANNEL, holderNodeId: "", holderBootId: "" }),
    ])
      expect(await endOf(await open(pool, 5, wrong))).toBe("NOT_ALLOWED");
    // Another entry's contract, whoever shows it.
    expect(await endOf(await open(pool, 5, contract(4)))).toBe("NOT_ALLOWED");
    expect(heard).toEqual([]);
    expect(targets.size).toBe(0);
  });

  it("LAW-F3 passes nothing after it was paused itself, though sockets are read before timers fire", async () => {
    const channel = await open(entryPool(entryOf(1)), 1, contract(1));
    await channel.opened;
    channel.write("before");
    await eventually(() => heard.join("") === "before", { what: "bytes" });
    pausedMs = leaseMs;
    channel.write("after");
    expect(await endOf(channel)).toBe("LEASE_UNKNOWN");
    await eventually(() => targets.size === 0, { what: "the target's connection gone" });
    expect(heard.join("")).toBe("before");
  });

  it("ends live channels by its own clock when control cannot be asked any more", async () => {
    holder = { counter: 1, leftMs: limits.leaseMarginMs + 1_500 };
    const channel = await open(entryPool(entryOf(1)), 1, contract(1));
    await channel.opened;
    holder = "away";
    expect(await endOf(channel)).toBe("LEASE_UNKNOWN");
    await eventually(() => targets.size === 0, { what: "the target's connection gone" });
  });
});
