/** WatchSnapshot as a node sees it: hints wake it, polling finds what hints lost, a slow reader skips what is stale. */

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { changeMembership, revokeNode } from "../../control/domain/node-changes.ts";
import { startUpkeep } from "../../control/domain/upkeep.ts";
import { Wake } from "../../control/domain/wake.ts";
import type { Hints } from "../../control/hints/hints.ts";
import { controlService } from "../../control/services/control.ts";
import { bumpSnapshot } from "../../control/store/snapshots.ts";
import { listClusterWorkloads } from "../../control/store/workloads.ts";
import { applyDelta } from "../../fabric/snapshot/delta.ts";
import { ControlService, WorkloadState } from "../../gen/weft/control/v1/control_pb.ts";
import { RevocationFeedSchema } from "../../gen/weft/fabric/v1/feed_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { SnapshotEnvelopeSchema, SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { ManualClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import type { Caller } from "../../rpc/caller.ts";
import { rpcClient } from "../../rpc/client.ts";
import { type AddedNode, addNode, type ControlCluster, callAs, controlCluster } from "../harness/control-cluster.ts";
import { eventually } from "../harness/eventually.ts";
import { migratedPglite } from "../harness/shared-stores.ts";

let cluster: ControlCluster;
let node: AddedNode;

beforeAll(async () => {
  cluster = await controlCluster(await migratedPglite());
  node = await addNode(cluster, "relay-1", { roles: ["relay"] });
});
afterAll(() => cluster.ctx.sql.close());

type Heard = { readonly snapshot: bigint } | { readonly feed: bigint } | { readonly failed: string };

/** A node's watch, read message by message. */
class Watch {
  readonly heard: Heard[] = [];
  readonly #abort = new AbortController();
  readonly clock = new ManualClock();
  ended: Promise<void> | undefined;

  constructor(
    caller: Caller,
    options: {
      readonly version?: number;
      readonly hints?: Hints;
      readonly pause?: () => Promise<void>;
      readonly rest?: () => Promise<void> | undefined;
    } = {},
  ) {
    const hints = options.hints ?? cluster.ctx.hints;
    const { feeds, authority, hold } = cluster;
    const snapshots = { ...cluster.snapshots, rest: options.rest ?? cluster.snapshots.rest };
    const deps = { ...cluster.ctx, hints, clock: this.clock, snapshots, feeds, authority, hold };
    const client = rpcClient(
      ControlService,
      callAs(caller, (router) => router.service(ControlService, controlService(deps))),
    );
    const request = options.version === undefined ? {} : { epoch: 1n, version: BigInt(options.version) };
    this.ended = this.#read(client.watchSnapshot(request, { signal: this.#abort.signal }), options.pause);
  }

  async #read(
    stream: ReturnType<ReturnType<typeof rpcClient<typeof ControlService>>["watchSnapshot"]>,
    pause?: () => Promise<void>,
  ): Promise<void> {
    try {
      for await (const { message } of stream) {
        if (message.case === "snapshot")
          this.heard.push({ snapshot: fromBinary(SnapshotSchema, message.value.payload).version });
        else if (message.case === "feed")
          this.heard.push({ feed: fromBinary(RevocationFeedSchema, message.value.payload).seq });
        await pause?.();
      }
    } catch (thrown) {
      this.heard.push({ failed: (thrown as { detail?: string }).detail ?? String(thrown) });
    }
  }

  snapshots(): bigint[] {
    return this.heard.flatMap((each) => ("snapshot" in each ? [each.snapshot] : []));
  }

  async until(what: string, found: (heard: readonly Heard[]) => boolean): Promise<void> {
    await eventually(() => found(this.heard), { what });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.ended;
  }
}

const bump = () => cluster.ctx.sql.tx((tx) => bumpSnapshot(tx, cluster.ctx.hints, cluster.clusterId));
const version = async () => BigInt((await cluster.snapshots.position(cluster.clusterId)).version);

describe("WatchSnapshot", () => {
  it("sends the feed, then the snapshot, at once; then each change without waiting for a poll", async () => {
    await using watch = new Watch(node.caller);
    await watch.until("the first messages", (heard) => heard.length >= 2);
    expect(watch.heard[0]).toHaveProperty("feed");
    expect(watch.heard[1]).toEqual({ snapshot: await version() });
    await bump();
    const next = await version();
    await watch.until("the change", (heard) => heard.some((each) => "snapshot" in each && each.snapshot === next));
    expect(watch.clock.monoMs()).toBe(0);
  });

  it("sends nothing older than what the node says it holds, and not the same again", async () => {
    await using watch = new Watch(node.caller, { version: Number(await version()) });
    await watch.until("the feed", (heard) => heard.length >= 1);
    await bump();
    await watch.until("the newer one", () => watch.snapshots().length > 0);
    expect(watch.snapshots()).toEqual([await version()]);
  });

  it("sends a node that takes deltas what has changed, which makes the very envelope others are sent whole", async () => {
    const abort = new AbortController();
    const { feeds, authority, hold, snapshots, ctx } = cluster;
    const services = { ...ctx, snapshots, feeds, authority, hold };
    const client = rpcClient(
      ControlService,
      callAs(node.caller, (router) => router.service(ControlService, controlService(services))),
    );
    const stream = client.watchSnapshot({ takesDeltas: true }, { signal: abort.signal });
    let held: Uint8Array | undefined;
    const kinds: string[] = [];
    for await (const { message } of stream) {
      if (message.case === "feed" || message.case === undefined) continue;
      kinds.push(String(message.case));
      const envelope = message.case === "delta" ? applyDelta(held, message.value) : message.value;
      const built = await snapshots.build(cluster.clusterId, node.id);
      expect(toBinary(SnapshotEnvelopeSchema, envelope)).toEqual(toBinary(SnapshotEnvelopeSchema, built.envelope));
      held = built.envelope.payload;
      if (kinds.length === 3) break;
      await bump();
    }
    abort.abort();
    expect(kinds).toEqual(["snapshot", "delta", "delta"]);
  });

  it("finds a change whose hint was lost at the next poll", async () => {
    const deaf: Hints = { publish: () => {}, subscribe: () => () => {}, close: async () => {} };
    await using watch = new Watch(node.caller, { hints: deaf });
    await watch.until("the first messages", (heard) => heard.length >= 2);
    await bump();
    const next = await version();
    await eventually(() => watch.clock.nextDueInMs() !== undefined, { what: "the watch waits" });
    expect(watch.snapshots()).not.toContain(next);
    expect(watch.clock.nextDueInMs()).toBeLessThanOrEqual(limits.watchPollMs);
    watch.clock.advance(limits.watchPollMs);
    await watch.until("the change", () => watch.snapshots().includes(next));
  });

  it("skips the versions a slow reader has missed", async () => {
    const gate = Promise.withResolvers<void>();
    let reads = 0;
    await using watch = new Watch(node.caller, {
      pause: () => {
        reads += 1;
        return reads === 2 ? gate.promise : Promise.resolve();
      },
    });
    await eventually(() => reads === 2, { what: "the reader stands still" });
    for (let i = 0; i < 20; i += 1) await bump();
    gate.resolve();
    const next = await version();
    await watch.until("the newest", () => watch.snapshots().includes(next));
    // The first, at most one that was on its way, the newest.
    expect(watch.snapshots().length).toBeLessThanOrEqual(3);
  });

  it("sends a revocation at once", async () => {
    const victim = await addNode(cluster, "victim");
    await using watch = new Watch(node.caller);
    await watch.until("the first messages", (heard) => heard.length >= 2);
    const { feedSeq } = await revokeNode(cluster.ctx, {
      clusterId: cluster.clusterId,
      node: victim.id,
      actor: "t",
      reason: "",
      trustDomain: cluster.trustDomain,
    });
    await watch.until("the feed", (heard) => heard.some((each) => "feed" in each && each.feed === BigInt(feedSeq)));
    expect(watch.clock.monoMs()).toBe(0);
  });

  it("LAW-I4 sends a revocation while the next version has to wait, and that version when its time has come", async () => {
    const victim = await addNode(cluster, "victim-2");
    const { promise, resolve } = Promise.withResolvers<void>();
    let resting: Promise<void> | undefined;
    await using watch = new Watch(node.caller, { rest: () => resting });
    await watch.until("the first messages", (heard) => heard.length >= 2);
    resting = promise;
    const about = { clusterId: cluster.clusterId, node: victim.id, actor: "t", reason: "" };
    const { feedSeq } = await revokeNode(cluster.ctx, { ...about, trustDomain: cluster.trustDomain });
    await watch.until("the feed", (heard) => heard.some((each) => "feed" in each && each.feed === BigInt(feedSeq)));
    const next = await version();
    expect(watch.snapshots()).not.toContain(next);
    resting = undefined;
    resolve();
    await watch.until("the version", () => watch.snapshots().includes(next));
    expect(watch.clock.monoMs()).toBe(0);
  });

  it("sends a disabled member the snapshot that grants nothing, says so, and refuses it until it is enabled", async () => {
    const member = await addNode(cluster, "relay-2", { roles: ["relay"] });
    const order = { clusterId: cluster.clusterId, node: member.id, actor: "t" };
    await using watch = new Watch(member.caller);
    await watch.until("the first messages", (heard) => heard.length >= 2);
    await changeMembership(cluster.ctx, { ...order, status: "disabled" });
    await watch.until("the end", (heard) => heard.some((each) => "failed" in each));
    expect(watch.heard.at(-1)).toEqual({ failed: "MEMBERSHIP_DISABLED" });
    expect(watch.snapshots().at(-1)).toBe(await version());
    await changeMembership(cluster.ctx, { ...order, status: "active" });
    await using again = new Watch(member.caller);
    await again.until("a snapshot", () => again.snapshots().length > 0);
  });

  it("ends for a revoked node and for one of another cluster", async () => {
    const gone = await addNode(cluster, "gone");
    await using watch = new Watch(gone.caller);
    await watch.until("the first messages", (heard) => heard.length >= 2);
    await revokeNode(cluster.ctx, {
      clusterId: cluster.clusterId,
      node: gone.id,
      actor: "t",
      reason: "",
      trustDomain: cluster.trustDomain,
    });
    await watch.until("the end", (heard) => heard.some((each) => "failed" in each));
    expect(watch.heard.at(-1)).toEqual({ failed: "IDENTITY_REVOKED" });
    const foreign: Caller = {
      ...node.caller,
      id: { trustDomain: cluster.trustDomain, clusterId: "cl-other", kind: "node", id: node.id },
    };
    await using other = new Watch(foreign);
    await other.until("the refusal", (heard) => heard.length > 0);
    expect(other.heard).toEqual([{ failed: "NODE_NOT_FOUND" }]);
  });
});

describe("ReportWorkloads", () => {
  const report = (workloads: { name: string; role?: NodeRole; state?: WorkloadState }[]) => {
    const { snapshots, feeds, authority, hold } = cluster;
    const deps = { ...cluster.ctx, snapshots, feeds, authority, hold };
    const transport = callAs(node.caller, (router) => router.service(ControlService, controlService(deps)));
    return rpcClient(ControlService, transport).reportWorkloads({
      workloads: workloads.map((each) => ({ state: WorkloadState.RUNNING, ...each })),
    });
  };

  it("M-A7 keeps the states of a node as it reported them last", async () => {
    await report([{ name: "relay", role: NodeRole.RELAY }, { name: "old" }]);
    await report([{ name: "relay", role: NodeRole.RELAY, state: WorkloadState.DEGRADED }]);
    expect(await listClusterWorkloads(cluster.ctx.sql, cluster.clusterId, node.id)).toEqual([
      {
        ...{ name: "relay", kind: "builtin", role: "relay", state: "degraded" },
        ...{ reason: "", version: "", restarts: 0, fingerprint: "" },
        ...{ nodeId: node.id, reportedAtMs: expect.any(Number) },
      },
    ]);
  });

  it("refuses unknown states, names without text and names twice", async () => {
    for (const bad of [[{ name: "a", state: 99 as WorkloadState }], [{ name: "" }], [{ name: "a" }, { name: "a" }]]) {
      await expect(report(bad)).rejects.toMatchObject({ reason: "invalid_argument" });
    }
  });
});

describe("a wake", () => {
  it("keeps one ring for the next wait, and leaves no timer or listener behind", async () => {
    const clock = new ManualClock();
    const { signal } = new AbortController();
    const wake = new Wake();
    wake.ring();
    wake.ring();
    await wake.wait(clock, 1_000, signal);
    const second = wake.wait(clock, 1_000, signal);
    expect(clock.nextDueInMs()).toBe(1_000);
    clock.advance(1_000);
    await second;
    const third = wake.wait(clock, 1_000, signal);
    wake.ring();
    await third;
    expect(clock.nextDueInMs()).toBeUndefined();
  });

  it("ends when its owner does", async () => {
    const abort = new AbortController();
    const waiting = new Wake().wait(new ManualClock(), 1_000, abort.signal);
    abort.abort();
    await waiting;
    await new Wake().wait(new ManualClock(), 1_000, abort.signal);
  });
});

describe("upkeep", () => {
  it("looks after measurements and ageing snapshots by its clock, survives a store that is away, and ends when stopped", async () => {
    const clock = new ManualClock();
    const { sql } = cluster.ctx;
    let away = false;
    const flaky: typeof sql = {
      driver: sql.driver,
      query: (text, params) => (away ? Promise.reject(new Error("away")) : sql.query(text, params)),
      tx: (fn, options) => (away ? Promise.reject(new Error("away")) : sql.tx(fn, options)),
      script: (text) => sql.script(text),
      look: () => sql.look(),
      onPrimary: (meet) => sql.onPrimary(meet),
      close: () => sql.close(),
    };
    const warnings: string[] = [];
    const log = { ...silentLog, warn: (message: string) => void warnings.push(message) };
    const upkeep = startUpkeep({ sql: flaky, hints: cluster.ctx.hints, clock, log: { ...log, child: () => log } });
    await addNode(cluster, "relay-9", { roles: ["relay"] });
    await sql.query("update node set joined_at_ms = 0");
    await sql.query("update cluster set graph_refreshed_at_ms = now_ms() - 10001");
    const before = await version();
    away = true;
    clock.advance(limits.graphRefreshMs / 2);
    await eventually(() => warnings.length > 0, { what: "a failed round is told" });
    expect(await version()).toBe(before);
    away = false;
    clock.advance(limits.graphRefreshMs / 2);
    await eventually(async () => (await version()) === before + 1n, { what: "the missing node is published" });
    await sql.query("update cluster set snapshot_changed_at_ms = 0");
    clock.advance(limits.retentionSweepMs);
    await eventually(async () => (await version()) === before + 2n, { what: "the aged snapshot is renewed" });
    await upkeep.stop();
    expect(clock.nextDueInMs()).toBeUndefined();
  });
});
