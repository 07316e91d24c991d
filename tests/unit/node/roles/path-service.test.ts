import { describe, expect, it } from "vitest";
import { generateP256 } from "../../../../certs/keys.ts";
import { askHash } from "../../../../fabric/path/ask.ts";
import type { OpenClientPathRequest } from "../../../../gen/weft/access/v1/access_pb.ts";
import { ChannelClass } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { PathPurpose } from "../../../../gen/weft/relay/v1/relay_pb.ts";
import { WeftError } from "../../../../lib/errors.ts";
import { limits } from "../../../../lib/limits.ts";
import type { Caller } from "../../../../rpc/caller.ts";
import { clusterId, nowMs, selfId, snapshotWith } from "../stage.ts";
import { askWith, caller, type LegEvent, pathStage, requestWith, thrownBy } from "./path-stage.ts";

describe("PathService/OpenClientPath", () => {
  it("opens a leg to the pool of the resource for what the client signed", async () => {
    const { ready, opened } = pathStage();
    const ask = askWith();
    const leg = await ready(requestWith({}, ask));
    expect(leg).toMatchObject({
      poolId: "pl-1",
      legToken: new Uint8Array(32).fill(1),
      defaultClass: ChannelClass.BULK,
    });
    expect(leg.resumeHandle).toHaveLength(32);
    expect(opened).toMatchObject([
      {
        hops: [selfId, "r1", "e1"],
        purpose: PathPurpose.NEW,
        class: ChannelClass.BULK,
        organizationId: "org-1",
        poolId: "pl-1",
        clientId: "ct-1",
      },
    ]);
    expect(Buffer.from(opened[0]?.askHash ?? [])).toEqual(Buffer.from(askHash(ask)));
    expect(opened[0]?.trunkId).toEqual(new Uint8Array(16).fill(3));
  });

  it("leads back to the same egress with a resume handle, at any entry of the cluster", async () => {
    const { ready, opened, failWith } = pathStage();
    failWith(({ hops }) => (hops.at(-1) === "e1" ? new WeftError("unavailable", "away") : undefined));
    const { resumeHandle } = await ready(requestWith());
    expect(opened.at(-1)?.hops.at(-1)).toBe("e2");
    for (const entry of [pathStage(), pathStage(["r7"])]) {
      const again = await entry.ready(requestWith({ resumeHandle }));
      expect(entry.opened.at(-1)).toMatchObject({ purpose: PathPurpose.RESUME });
      expect(entry.opened.at(-1)?.hops.at(-1)).toBe("e2");
      // Another handle each time: nobody can tell that they mean the same.
      expect(again.resumeHandle).not.toEqual((await entry.ready(requestWith({ resumeHandle }))).resumeHandle);
    }
  });

  it.each<[string, (handle: Uint8Array) => OpenClientPathRequest, Partial<Caller>]>([
    [
      "of another client",
      (resumeHandle) => requestWith({ resumeHandle }, askWith({ clientId: "ct-2" })),
      { id: { trustDomain: "weft.test", clusterId, kind: "client", id: "ct-2" } },
    ],
    ["that was made up", () => requestWith({ resumeHandle: new Uint8Array(32) }), {}],
    ["of another length", (handle) => requestWith({ resumeHandle: handle.subarray(1) }), {}],
  ])("PS1 refuses a handle %s: another egress does not know the trunk", async (_what, make, over) => {
    const { ready, call, opened } = pathStage();
    const { resumeHandle } = await ready(requestWith());
    opened.length = 0;
    const thrown = await thrownBy(call(make(resumeHandle), { ...caller, ...over }).next());
    expect(thrown).toMatchObject({ reason: "failed_precondition", detail: "HANDLE_UNKNOWN" });
    expect(opened).toEqual([]);
  });

  it("gives no handle while its snapshot knows no locators, and still opens", async () => {
    const { ports, ready } = pathStage();
    ports.show(snapshotWith({ version: 2n }));
    expect((await ready(requestWith())).resumeHandle).toHaveLength(0);
  });

  it("LAW-T4 a client that asks without end is refused, and nothing is opened for it", async () => {
    const { ready, call, opened } = pathStage();
    while (opened.length < limits.clientOffersPerClientBurstCount) await ready(requestWith());
    expect(await thrownBy(call(requestWith()).next())).toMatchObject({ detail: "CLIENT_PATHS" });
  });

  it("a client that does not read what a hop says again and again costs no memory", async () => {
    const { call, emit } = pathStage();
    const slow = call(requestWith());
    await slow.next();
    const next = slow.next();
    for (let i = 0; i < 10_000; i += 1) emit({ kind: "draining", nodeId: "r1" });
    emit({ kind: "closing", reason: "shutdown" });
    await next;
    let heard = 0;
    while ((await slow.next())?.event.case === "draining") heard += 1;
    expect(heard).toBeLessThan(limits.clientEventsMaxCount);
  });

  it("opens no standby to nowhere in particular", async () => {
    const { call, opened } = pathStage();
    expect((await thrownBy(call(requestWith({ standby: true })).next())).detail).toBe("NO_HANDLE");
    expect(opened).toEqual([]);
  });

  it("says when a leg is to be a standby", async () => {
    const { ready, opened } = pathStage();
    const { resumeHandle } = await ready(requestWith());
    await ready(requestWith({ standby: true, resumeHandle }));
    expect(opened[1]).toMatchObject({ purpose: PathPurpose.STANDBY, hops: [selfId, "r1", "e1"] });
  });

  it("opens nothing while the node drains", async () => {
    const { ports, call, opened } = pathStage();
    ports.drain.set(true);
    expect((await thrownBy(call(requestWith()).next())).detail).toBe("DRAINING");
    expect(opened).toEqual([]);
  });

  it("opens nothing once the offline policy has run out", async () => {
    const { goOffline, ready, call, opened } = pathStage();
    const { resumeHandle } = await ready(requestWith());
    opened.length = 0;
    goOffline(true);
    expect((await thrownBy(call(requestWith()).next())).detail).toBe("OFFLINE");
    expect(opened).toEqual([]);
    // What runs may go on, over another way as well.
    await ready(requestWith({ resumeHandle }));
    goOffline(false);
    expect((await thrownBy(call(requestWith({ resumeHandle })).next())).detail).toBe("OFFLINE");
  });

  it("LAW-C3 tells neither hop nor node when no way could be opened", async () => {
    const { call, failWith } = pathStage();
    failWith(
      () => new WeftError("permission_denied", "nd-relay said no", { detail: "PATH_REFUSED", metadata: { hop: "2" } }),
    );
    const thrown = await thrownBy(call(requestWith()).next());
    expect(thrown).toMatchObject({ reason: "unavailable", detail: "NO_PATH", metadata: {} });
    expect(thrown.message).not.toContain("nd-");
  });

  it.each<[string, () => OpenClientPathRequest, Partial<Caller>, string]>([
    ["a resource nobody knows", () => requestWith({}, askWith({ resource: "none" })), {}, "UNKNOWN_RESOURCE"],
    ["a resource of another organization", () => requestWith(), { organizationId: "org-2" }, "UNKNOWN_RESOURCE"],
    ["an ask of another client", () => requestWith({}, askWith({ clientId: "ct-2" })), {}, "ASK_WRONG_CLIENT"],
    ["an ask of another cluster", () => requestWith({}, askWith({ clusterId: "cl-b" })), {}, "ASK_WRONG_CLUSTER"],
    ["an ask signed by another key", () => requestWith({}, askWith({}, generateP256())), {}, "ASK_SIGNATURE"],
    [
      "an ask that has run out",
      () => requestWith({}, askWith({ issuedAtMs: BigInt(nowMs - 60_000), expiresAtMs: BigInt(nowMs - 55_000) })),
      {},
      "ASK_OUT_OF_DATE",
    ],
    ["no ask", () => requestWith({ ask: new Uint8Array() }), {}, "ASK_SIGNATURE"],
    ["a node that calls", () => requestWith(), { kind: "node" }, "CALLER_KIND"],
  ])("refuses %s without opening anything", async (_what, make, over, detail) => {
    const { call, opened } = pathStage();
    const thrown = await thrownBy(call(make(), { ...caller, ...over }).next());
    expect(thrown.detail).toBe(detail);
    expect(opened).toEqual([]);
  });
});

/** Listens as long as the leg lives. */
const countsIt = 1;

describe("the events of a leg", () => {
  it("follow until it closes, and say what, never where", async () => {
    const { call, emit, listeners } = pathStage();
    const events = call(requestWith());
    await events.next();
    const draining = events.next();
    await Promise.resolve();
    emit({ kind: "draining", nodeId: "nd-relay" } as unknown as LegEvent);
    const first = await draining;
    expect(first?.event).toMatchObject({ case: "draining", value: { reason: "draining" } });
    const revoked = events.next();
    emit({ kind: "revoked", nodeId: selfId });
    expect((await revoked)?.event).toMatchObject({ case: "revoked", value: { reason: "entry" } });
    emit({ kind: "closing", reason: "peer_closed" } as unknown as LegEvent);
    expect((await events.next())?.event).toMatchObject({ case: "closing", value: { reason: "peer_closed" } });
    expect(await events.next()).toBeUndefined();
    expect(listeners.size).toBe(countsIt);
  });

  it("end when the client leaves, keeping no subscription", async () => {
    const { call, listeners } = pathStage();
    const events = call(requestWith());
    await events.next();
    const next = events.next();
    await Promise.resolve();
    expect(listeners.size).toBe(countsIt + 1);
    events.leave();
    expect(await next).toBeUndefined();
    expect(listeners.size).toBe(countsIt);
  });
});
