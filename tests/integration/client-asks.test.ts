/**
 * Asks at the far edge, end to end: a client's trunk over real connections to the production egress. An ask that is shown
 * again, is too old, or is for another trunk makes no trunk, is counted, and says nothing to whoever showed it.
 */

import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { create } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { generateP256 } from "../../certs/keys.ts";
import { TrunkPool } from "../../edge/trunk-pool.ts";
import { askHash, type SignedAsk, signAsk } from "../../fabric/path/ask.ts";
import { CreditPool } from "../../fabric/trunk/credit.ts";
import { ChannelClass, NodeRole, OriginAssurance } from "../../gen/weft/fabric/v1/role_pb.ts";
import { FarEdge, PathOfferSchema } from "../../gen/weft/relay/v1/relay_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { createCeilingJudge } from "../../node/ceiling.ts";
import { loadNodeConfig } from "../../node/config.ts";
import { ContractDesk } from "../../node/roles/contract-desk.ts";
import { createEgressRole, type EgressRole } from "../../node/roles/egress.ts";
import type { Caller } from "../../rpc/caller.ts";
import { dialPath, type EdgeListener, type Identities, listenForPaths, makeIdentities } from "../harness/edge-paths.ts";
import { eventually } from "../harness/eventually.ts";
import { offlineJudge } from "../harness/offline-judge.ts";
import { clusterId, selfId, snapshotWith, type TestPorts, testPorts } from "../unit/node/stage.ts";

const keys = generateP256();
const client: Caller = {
  kind: "client",
  id: { trustDomain: "weft.test", clusterId, kind: "client", id: "ct-1" },
  spiffe: "spiffe://weft.test/client/ct-1",
  spkiDer: keys.spkiDer,
  serialHex: "0a",
  keyHashHex: "0b",
  issuerKeyIdHex: "0c",
  sourceAddress: "127.0.0.1",
  arrivedBy: "path",
  organizationId: "org-1",
};
const { ceiling } = loadNodeConfig({ env: {}, flags: { stateDir: "s", control: "c:1" } });
const judge = createCeilingJudge({ ...ceiling, targets: [{ cidr: "127.0.0.1/32", fromPort: 1, toPort: 65_535 }] });

const target = createServer((socket) => void socket.on("error", () => {}).pipe(socket));
let identities: Identities;
beforeAll(async () => {
  identities = await makeIdentities();
  target.listen(0, "127.0.0.1");
  await once(target, "listening");
});
afterAll(() => void target.close());

let far: TestPorts;
let egress: EgressRole;
let listener: EdgeListener;
/** What the entry's offer says of the newest path. */
/** Of the path that is being opened; one after another, or one would arrive with what was offered for another. */
let offered: { trunkId: Uint8Array; ask: SignedAsk; arrived: () => void };
let turn: Promise<unknown> = Promise.resolve();
const pools: TrunkPool[] = [];

beforeEach(async () => {
  const place = { organizationId: "org-1", poolId: "pl-1", host: "127.0.0.1" };
  const snapshot = snapshotWith({
    self: { roles: [{ role: NodeRole.EGRESS, organizationId: "org-1" }] },
    pools: [{ poolId: "pl-1", organizationId: "org-1", egressNodeIds: [selfId] }],
    clients: [{ clientId: "ct-1", organizationId: "org-1" }],
    resourceTargets: [
      {
        ...place,
        name: "web",
        port: (target.address() as AddressInfo).port,
        defaultClass: ChannelClass.BULK,
      },
    ],
  });
  far = Object.assign(testPorts(snapshot), { clock: systemClock as never });
  egress = createEgressRole({
    ports: far,
    ceiling: judge,
    processPool: new CreditPool(limits.processReceivePoolBytes),
    offline: offlineJudge(),
    contracts: new ContractDesk({ ports: far, installationSpki: new Uint8Array() }),
  });
  listener = await listenForPaths(identities, ({ tls, raw }) => {
    offered.arrived();
    egress.onPathEnd({
      tls,
      raw,
      caller: client,
      hops: ["nd-entry", "nd-relay", selfId],
      pathTag: "tag",
      offer: create(PathOfferSchema, {
        farEdge: FarEdge.POOL,
        organizationId: "org-1",
        poolId: "pl-1",
        trunkId: offered.trunkId,
        askHash: askHash(offered.ask),
      }),
    });
  });
});
afterEach(async () => {
  await Promise.all([...pools.splice(0).map((pool) => pool.close()), egress.close()]);
  await eventually(() => listener.sockets.size === 0, { what: "no path left" });
  await listener.close();
});

function askFor(trunkId: Uint8Array, fields: object = {}): SignedAsk {
  const nowMs = Math.floor(systemClock.nowMs());
  return signAsk(keys.privateKey, {
    clusterId,
    clientId: "ct-1",
    resource: "web",
    trunkId,
    nonce: systemRandom.bytes(16),
    issuedAtMs: BigInt(nowMs),
    expiresAtMs: BigInt(nowMs + limits.offerLifeMs),
    ...fields,
  });
}

/** Opens a channel on a trunk of its own; `way` says what is offered, and what is shown. */
async function open(way: (trunkId: Uint8Array) => { offers: SignedAsk; shows: SignedAsk }): Promise<string> {
  const pool = new TrunkPool({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    openPath: ({ trunkId }) => {
      const opened = turn.then(async () => {
        const { offers, shows } = way(trunkId);
        const arrived = Promise.withResolvers<void>();
        offered = { trunkId, ask: offers, arrived: arrived.resolve };
        const path = await dialPath(identities, listener.port);
        await arrived.promise;
        return { ...path, ask: shows };
      });
      turn = opened.catch(() => {});
      return opened;
    },
  });
  pools.push(pool);
  const origin = {
    assurance: OriginAssurance.PROVED,
    clientId: "ct-1",
    organizationId: "org-1",
    entryNodeId: "",
    listenerId: "",
    sourceAddress: "",
  };
  const wish = { resource: "web", class: ChannelClass.BULK, origin, correlationId: "c-1" };
  const channel = await pool.open({ farEdge: "pl-1", organizationId: "org-1" }, wish);
  channel.on("error", () => {});
  await channel.opened;
  const echoed = once(channel, "data") as Promise<[Buffer]>;
  channel.write("here");
  return String((await echoed)[0]);
}

/** What whoever showed it learns. */
async function refusal(work: Promise<string>): Promise<object> {
  const thrown: unknown = await work.then(
    (text) => text,
    (error: unknown) => error,
  );
  if (!(thrown instanceof WeftError)) throw new Error(`expected a refusal, not ${String(thrown)}`);
  const { reason, detail, message, metadata } = thrown;
  return { reason, detail, message, stage: metadata["stage"] };
}

const past = (ms: number): object => {
  const atMs = Math.floor(systemClock.nowMs()) - ms;
  return { issuedAtMs: BigInt(atMs - limits.offerLifeMs), expiresAtMs: BigInt(atMs) };
};

it("LAW-C3 an ask that is shown again, too old or for another trunk is refused, counted, and told alike", async () => {
  const used: SignedAsk[] = [];
  const fresh = (trunkId: Uint8Array): { offers: SignedAsk; shows: SignedAsk } => {
    const ask = askFor(trunkId);
    used.push(ask);
    return { offers: ask, shows: ask };
  };
  expect(await open(fresh)).toBe("here");
  expect(far.counters.attachesRefused).toBe(0);
  const trunks = egress.trunks().length;
  const [replayed] = used;
  if (replayed === undefined) throw new Error("nothing was asked for");

  const told: object[] = [];
  for (const way of [
    // A capture shown on the path of another ask.
    (trunkId: Uint8Array) => ({ offers: askFor(trunkId), shows: replayed }),
    // An entry that offers a known ask for a trunk of its own.
    () => ({ offers: replayed, shows: replayed }),
    (trunkId: Uint8Array) => {
      const old = askFor(trunkId, past(limits.offerSkewMaxMs + 1_000));
      return { offers: old, shows: old };
    },
  ]) {
    const before = far.counters.attachesRefused;
    told.push(await refusal(open(way)));
    expect(far.counters.attachesRefused).toBe(before + 1);
  }
  expect(new Set(told.map((one) => JSON.stringify(one))).size).toBe(1);
  expect(JSON.stringify(told[0])).not.toMatch(/ask|nd-/i);
  expect(egress.trunks().length).toBe(trunks);
  // Nobody else is disturbed.
  expect(await open(fresh)).toBe("here");
}, 30_000);
