/**
 * Leases of service channels on real processes (M-A24): a client that proves itself and one that its entry asserts get
 * through under the right contract, and with any wrong one are told one thing, while operators are told which.
 */

import { readFileSync, statSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Client, connect } from "../../../client/connect.ts";
import { leaseOfText } from "../../../client/lease.ts";
import type { OpenOptions } from "../../../client/open-options.ts";
import type { EdgeChannel } from "../../../edge/channel.ts";
import { encodeContract, signContract } from "../../../fabric/contract.ts";
import { IdentityService } from "../../../gen/weft/admin/v1/identity_pb.ts";
import { NodeAdminService } from "../../../gen/weft/admin/v1/node_pb.ts";
import { PoolService } from "../../../gen/weft/admin/v1/pool_pb.ts";
import { ResourceService } from "../../../gen/weft/admin/v1/resource_pb.ts";
import { ServiceChannelService, ServiceLeaseState } from "../../../gen/weft/admin/v1/service_channel_pb.ts";
import { ChannelClass } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { systemClock } from "../../../lib/clock.ts";
import { rpcClient } from "../../../rpc/client.ts";
import { loadOperatorContext } from "../../../rpc/operator-context.ts";
import { Call, data } from "../../harness/access-call.ts";
import { operatorOf } from "../../harness/control-process.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, type StockFiles, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { trunksOf } from "../../harness/trunks.ts";
import { signer } from "../../unit/fabric/snapshot/stage.ts";

let world: TestFabric;
let transport: ReturnType<typeof operatorOf>;
let clusterId: string;
let laptop: StockFiles;
let desk: StockFiles;
/** The laptop's own leases through entry-1: for either class, for bulk only. */
let good: Uint8Array;
let bulkOnly: Uint8Array;
const ids = new Map<string, string>();

const leases = () => rpcClient(ServiceChannelService, transport);
const idOf = (name: string): string => ids.get(name) ?? "";

async function issue(over: object = {}): Promise<{ readonly id: string; readonly contract: Uint8Array }> {
  const wish = { clusterId, resourceId: "vault", clientId: idOf("laptop"), entryNodeId: "entry-1", ...over };
  const { lease } = await leases().issueLease(wish);
  return { id: lease?.id ?? "", contract: lease?.signedContract ?? new Uint8Array() };
}

beforeAll(async () => {
  world = await sharedFabric();
  const { contextDir, plan } = world.fabric;
  transport = operatorOf(contextDir, loadOperatorContext(contextDir).operatorAddress);
  clusterId = await world.fabric.withSession((session) => session.clusterId());
  const { nodes } = await rpcClient(NodeAdminService, transport).listNodes({ clusterId });
  for (const { name, id } of nodes) ids.set(name, id);
  const { pools } = await rpcClient(PoolService, transport).listPools({ clusterId });
  const place = { clusterId, organizationId: pools[0]?.organizationId ?? "", poolId: pools[0]?.id ?? "" };
  const target = { host: "127.0.0.1", port: plan.targets.echoPort, service: "ssh", requiresLease: true };
  for (const name of ["vault", "vault-two"]) {
    await rpcClient(ResourceService, transport).addResource({
      ...{ ...place, ...target, name, defaultClass: ChannelClass.BULK, allowedClasses: [ChannelClass.INTERACTIVE] },
    });
  }
  [laptop, desk] = await Promise.all([world.addClient("laptop"), world.addClient("desk")]);
  const { identities } = await rpcClient(IdentityService, transport).listIdentities({ clusterId });
  for (const { name, id } of identities) ids.set(name, id);
  good = (await issue()).contract;
  bulkOnly = (await issue({ channelClass: ChannelClass.BULK })).contract;
  // Everybody knows of resource and clients once a channel stands, through each entry.
  for (const entryNodeId of ["entry-1", "entry-2"]) {
    const { contract } = await issue({ entryNodeId });
    await eventually(async () => (await ask(laptop, entryNodeId, contract)) === "opened", {
      ...{ what: `the vault through ${entryNodeId}`, withinMs: 40_000, everyMs: 200 },
    });
  }
}, 2 * fabricWithinMs);
afterAll(async () => {
  transport?.close();
}, fabricWithinMs);

const clients: Client[] = [];
const sessions: ClientHttp2Session[] = [];
const channels: EdgeChannel[] = [];
afterEach(async () => {
  for (const channel of channels.splice(0)) channel.destroy();
  for (const session of sessions.splice(0)) session.destroy();
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

/** The SDK: PROVED. */
async function open(
  lease: Uint8Array | undefined,
  over: OpenOptions & { readonly resource?: string; readonly files?: StockFiles; readonly entries?: string[] } = {},
): Promise<EdgeChannel> {
  const { resource = "vault", files = laptop, entries = ["entry-1", "entry-2"], ...options } = over;
  const client = connect({ identity: dirname(files.cert), entries: entries.map((name) => world.publicAddress(name)) });
  clients.push(client);
  const channel = await client.open(resource, { ...(lease === undefined ? {} : { lease }), ...options });
  channel.on("error", () => {});
  channels.push(channel);
  return channel;
}

/** AccessService/Connect: ENTRY_ASSERTED. */
function call(files: StockFiles, entry: string, contract: Uint8Array | undefined, over: object = {}): Call {
  const session = connectHttp2(`https://${world.publicAddress(entry)}`, {
    ...{ ca: readFileSync(files.ca), cert: readFileSync(files.cert), key: readFileSync(files.key) },
    minVersion: "TLSv1.3",
  });
  session.on("error", () => {});
  sessions.push(session);
  const value = { resource: "vault", ...(contract === undefined ? {} : { contract }), ...over };
  return new Call(session).send({ case: "open", value });
}

/** "opened", or the detail of the refusal; "cut" when the entry does not know the client. */
async function ask(files: StockFiles, entry: string, contract: Uint8Array | undefined, over: object = {}) {
  const asked = call(files, entry, contract, over);
  const isAnswered = () => asked.kinds[0] === "opened" || asked.trailers !== undefined || asked.closed;
  await eventually(isAnswered, { what: "an answer" });
  const isOpen = asked.kinds[0] === "opened";
  const answer = isOpen ? "opened" : asked.trailers === undefined ? "cut" : (await asked.failure()).detail;
  asked.stream.close();
  return answer;
}

async function echoes(channel: EdgeChannel, text: string): Promise<void> {
  let heard = "";
  const onData = (chunk: Buffer): void => {
    heard += chunk.toString();
  };
  channel.on("data", onData);
  channel.write(text);
  await eventually(() => heard === text, { what: "the echo" });
  channel.off("data", onData);
}

const refusedBySdk = (work: Promise<EdgeChannel>) =>
  expect(work).rejects.toMatchObject({ reason: "permission_denied", detail: "NOT_ALLOWED" });

describe("M-A24 the right contract", () => {
  it("opens a channel for a client that proves itself, over its entry alone, and for one its entry asserts", async () => {
    const channel = await open(good);
    await echoes(channel, "proved");
    const entries = clients.flatMap((client) => client.trunks()).flatMap((trunk) => trunk.attachments);
    expect(new Set(entries.map(({ hops }) => hops[1]))).toEqual(new Set([idOf("entry-1")]));
    const asked = call(laptop, "entry-1", good);
    await asked.opened();
    asked.send(data("asserted"));
    await eventually(() => asked.text === "asserted", { what: "the echo" });
    expect(await ask(laptop, "entry-1", bulkOnly, { class: ChannelClass.BULK })).toBe("opened");
  });

  it("for anybody of the organization opens one for each of them", async () => {
    const { contract } = await issue({ clientId: "" });
    expect(await ask(laptop, "entry-1", contract)).toBe("opened");
    expect(await ask(desk, "entry-1", contract)).toBe("opened");
  });

  it("with a flow of its own opens channels on a trunk of their own", async () => {
    const flowing = (await issue({ flowIsolationId: "flow-7" })).contract;
    const started = async () => (await trunksOf(world, "entry-1")).filter(({ initiator }) => initiator);
    const shared = call(laptop, "entry-1", good);
    await shared.opened();
    const before = new Set((await started()).map(({ trunkId }) => trunkId));
    const own = [call(laptop, "entry-1", flowing), call(laptop, "entry-1", flowing)];
    for (const asked of own) await asked.opened();
    const made = (await started()).filter(({ trunkId }) => !before.has(trunkId));
    expect(made.map(({ channels }) => Number(channels))).toEqual([2]);
  });
});

describe("M-A24 any other contract is refused, in the same words", () => {
  const altered = (at: number): Uint8Array => {
    const copy = new Uint8Array(good);
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy;
  };
  const wrong: Record<string, () => Promise<readonly [Uint8Array | undefined, object?]>> = {
    "none at all": async () => [undefined],
    "for another entry": async () => [(await issue({ entryNodeId: "entry-2" })).contract],
    "for another class": async () => [bulkOnly, { class: ChannelClass.INTERACTIVE }],
    "of another client": async () => [(await issue({ clientId: "desk" })).contract],
    "for another resource": async () => [good, { resource: "vault-two" }],
    "with one bit changed": async () => [altered(40)],
    "cut short": async () => [good.subarray(0, good.length - 1)],
    "of another installation": async () => [forged()],
    "that was released": async () => {
      const { id, contract } = await issue();
      await leases().releaseLease({ clusterId, leaseId: id });
      await eventually(async () => (await ask(laptop, "entry-1", contract)) === "NOT_ALLOWED", { everyMs: 100 });
      return [contract];
    },
    "that has run out": async () => {
      const { id, contract } = await issue({ ttlMs: 1_000n });
      const over = async () => !(await leases().introspectLease({ clusterId, leaseId: id })).active;
      await eventually(over, { what: "the lease to run out", everyMs: 100 });
      return [contract];
    },
  };

  /** What a control of the same names would sign, under keys of its own. */
  function forged(): Uint8Array {
    const foreign = signer("contract", clusterId, undefined, systemClock.nowMs());
    const nowMs = BigInt(Math.floor(systemClock.nowMs()));
    return encodeContract(
      signContract(foreign, {
        ...{ $typeName: "weft.fabric.v1.LeaseContract", clusterId, leaseId: "sl-forged", name: "", kind: 2 },
        ...{ resourceId: idOf("vault") || "rs-any", organizationId: "or-any", clientId: idOf("laptop") },
        ...{ holderNodeId: "", holderBootId: "", serviceClass: 1, channelClass: 0, entryNodeId: idOf("entry-1") },
        ...{ flowIsolationId: "", fence: { $typeName: "weft.fabric.v1.Fence", epoch: 9n, counter: 9n } },
        ...{ issuedAtMs: nowMs, notAfterMs: nowMs + 60_000n },
      }),
    );
  }

  it.each(Object.entries(wrong))("%s", async (_what, make) => {
    const [contract, over = {}] = await make();
    expect(await ask(laptop, "entry-1", contract, over)).toBe("NOT_ALLOWED");
    const { resource, class: channelClass } = over as { resource?: string; class?: ChannelClass };
    if (contract !== undefined && contract.length < good.length) return;
    await refusedBySdk(
      open(contract, {
        entries: ["entry-1"],
        ...(resource === undefined ? {} : { resource }),
        ...(channelClass === undefined ? {} : { class: "interactive" }),
      }).catch((thrown: unknown) => {
        // What the client itself cannot read, it does not show.
        const { detail } = thrown as { detail?: string };
        if (detail !== "LEASE_MALFORMED") throw thrown;
        throw Object.assign(new Error("unread"), { reason: "permission_denied", detail: "NOT_ALLOWED" });
      }),
    );
  });

  it("and a client whose entries are all others than the lease's is told so", async () => {
    await refusedBySdk(open(good, { entries: ["entry-2"] }));
  });
});

describe("M-A24 a contract that runs out", () => {
  const endOf = (channel: EdgeChannel) =>
    eventually(() => channel.errored ?? undefined, { what: "the end", withinMs: 40_000 });

  interface Held {
    readonly lease: { readonly id: string; readonly contract: Uint8Array };
    readonly proved: EdgeChannel;
    readonly asserted: Call;
  }

  /** A lease of `ttlMs` and channels under it; undefined where this host was too slow to open them in time. */
  async function holding(ttlMs: number): Promise<Held | undefined> {
    const lease = await issue({ ttlMs: BigInt(ttlMs) });
    const asserted = call(laptop, "entry-1", lease.contract);
    const proved = await open(lease.contract).catch(() => undefined);
    await eventually(() => asserted.kinds[0] === "opened" || asserted.trailers !== undefined, { what: "an answer" });
    return proved === undefined || asserted.trailers !== undefined ? undefined : { lease, proved, asserted };
  }

  /** One lease that is maintained in time, and one that is not and was issued later. */
  async function keptAndShort(ttlMs: number): Promise<readonly [Held, Held]> {
    const kept = await holding(ttlMs);
    const isKept =
      kept !== undefined &&
      (await leases()
        .maintainLease({ clusterId, leaseId: kept.lease.id, ttlMs: 300_000n })
        .then(
          () => true,
          () => false,
        ));
    const short = isKept ? await holding(ttlMs) : undefined;
    return kept === undefined || short === undefined ? await keptAndShort(2 * ttlMs) : [kept, short];
  }

  it("ends channels under it, at the egress and at the entry; a maintained one goes on without anybody's doing", async () => {
    const [kept, short] = await keptAndShort(3_000);
    expect(await endOf(short.proved)).toMatchObject({ detail: "REVOKED", metadata: { stage: "EGRESS" } });
    expect((await short.asserted.failure()).detail).toBe("REVOKED");
    // What was issued first would have been over by now.
    await echoes(kept.proved, "still here");
    kept.asserted.send(data("here too"));
    await eventually(() => kept.asserted.text === "here too", { what: "the echo" });
    expect(await ask(laptop, "entry-1", kept.lease.contract)).toBe("NOT_ALLOWED");
    const { lease } = await leases().introspectLease({ clusterId, leaseId: kept.lease.id });
    expect(await ask(laptop, "entry-1", lease?.signedContract)).toBe("opened");
  }, 120_000);

  it("and a release ends what is under it now", async () => {
    const { id, contract } = await issue();
    const channel = await open(contract);
    await echoes(channel, "before");
    const asked = call(laptop, "entry-1", contract);
    await asked.opened();
    await leases().releaseLease({ clusterId, leaseId: id });
    expect(await endOf(channel)).toMatchObject({ detail: "REVOKED" });
    expect((await asked.failure()).detail).toBe("REVOKED");
  }, 30_000);

  it("and so does revoking the client", async () => {
    const files = await world.addClient("lost");
    const { id, contract } = await issue({ clientId: "lost" });
    const asked = await eventually(
      async () => {
        const again = call(files, "entry-1", contract);
        await eventually(() => again.kinds[0] === "opened" || again.closed, { what: "an answer" });
        return again.kinds[0] === "opened" ? again : undefined;
      },
      { what: "the new client to be known", withinMs: 10_000, everyMs: 200 },
    );
    const { identities } = await rpcClient(IdentityService, transport).listIdentities({ clusterId });
    const identityId = identities.find(({ name }) => name === "lost")?.id ?? "";
    await rpcClient(IdentityService, transport).revokeIdentity({ clusterId, identityId, reason: "lost" });
    await eventually(() => asked.closed, { what: "the call to end" });
    const told = await leases().introspectLease({ clusterId, leaseId: id });
    expect(told).toMatchObject({ active: false, lease: { state: ServiceLeaseState.CLIENT_REVOKED } });
  }, 30_000);
});

describe("weft service-lease", () => {
  it("issues into a file that only its owner reads, and connect shows it", async () => {
    const file = join(world.scratch, "vault.lease");
    const args = ["vault", "--client", "laptop", "--entry", "entry-1", "--name", "by-hand", "--for", "90s"];
    const ran = await world.weft("service-lease", "issue", ...args, "--out", file, "--json");
    expect(ran.stderr).toBe("");
    expect(JSON.parse(ran.stdout)).toMatchObject({
      lease: { name: "by-hand", state: "active", leftMs: expect.any(Number) },
    });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    await echoes(await open(leaseOfText(readFileSync(file, "utf8"))), "from a file");
    const again = await world.weft("service-lease", "issue", ...args, "--out", file);
    expect([again.code, again.stderr]).toEqual([expect.any(Number), expect.stringContaining("nothing was issued")]);
    const before = readFileSync(file, "utf8");
    const kept = await world.weft("service-lease", "maintain", "by-hand", "--for", "5m", "--out", file);
    expect(kept.code).toBe(0);
    expect(readFileSync(file, "utf8")).not.toBe(before);
    const listed = JSON.parse((await world.weft("service-lease", "list", "--client", "laptop", "--json")).stdout);
    expect(listed.leases.map(({ name }: { name: string }) => name)).toContain("by-hand");
    const connected = await world.weft(
      ...["connect", "vault", "--identity", dirname(laptop.cert), "--entry", world.publicAddress("entry-1")],
      ...["--lease", file],
    );
    expect([connected.code, connected.stderr]).toEqual([0, ""]);
    expect((await world.weft("service-lease", "release", "by-hand")).stdout).toContain("released by-hand");
  }, 60_000);
});
