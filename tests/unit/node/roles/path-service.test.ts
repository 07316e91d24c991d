import { create } from "@bufbuild/protobuf";
import { createContextValues, type HandlerContext } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { generateP256 } from "../../../../certs/keys.ts";
import { askHash, signAsk } from "../../../../fabric/path/ask.ts";
import {
  type OpenClientPathRequest,
  OpenClientPathRequestSchema,
  type OpenClientPathResponse,
} from "../../../../gen/weft/access/v1/access_pb.ts";
import { ChannelClass } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { PathPurpose } from "../../../../gen/weft/relay/v1/relay_pb.ts";
import { WeftError } from "../../../../lib/errors.ts";
import { limits } from "../../../../lib/limits.ts";
import { sharesError } from "../../../../node/ask-hop.ts";
import type { ClientPathRequest, PathOpener } from "../../../../node/paths.ts";
import { pathService } from "../../../../node/roles/path-service.ts";
import type { Routes } from "../../../../node/roles/routes.ts";
import { type Caller, kCaller } from "../../../../rpc/caller.ts";
import { eventually } from "../../../harness/eventually.ts";
import { offlineJudge } from "../../../harness/offline-judge.ts";
import { clusterId, deskOf, nowMs, selfId, snapshotWith, testPorts } from "../stage.ts";

const nobody = { renewClient: () => Promise.reject(new Error("nobody renews here")) };
const unused = { installationSpki: new Uint8Array(), enrollment: nobody };

type Leg = Awaited<ReturnType<PathOpener["openForClient"]>>;
type LegEvent = Parameters<Parameters<Leg["onEvent"]>[0]>[0];

const keys = generateP256();
const caller: Caller = {
  kind: "client",
  id: { trustDomain: "weft.test", clusterId, kind: "client", id: "ct-1" },
  spiffe: "spiffe://weft.test/client/ct-1",
  spkiDer: keys.spkiDer,
  sourceAddress: "192.0.2.7",
  arrivedBy: "client-name",
  clusterId,
  organizationId: "org-1",
};

function askWith(fields: object = {}, by = keys) {
  return signAsk(by.privateKey, {
    clusterId,
    clientId: "ct-1",
    resource: "web",
    trunkId: new Uint8Array(16).fill(3),
    nonce: new Uint8Array(16).fill(4),
    issuedAtMs: BigInt(nowMs),
    expiresAtMs: BigInt(nowMs + 5_000),
    ...fields,
  });
}

function requestWith(
  fields: Omit<Partial<OpenClientPathRequest>, "$typeName"> = {},
  ask = askWith(),
): OpenClientPathRequest {
  return create(OpenClientPathRequestSchema, { ask: ask.ask, askSignature: ask.signature, ...fields });
}

const locatorsOf = (egressNodeId: string, fill: number) => ({
  egressNodeId,
  previous: new Uint8Array(32).fill(fill),
  current: new Uint8Array(32).fill(fill + 1),
  next: new Uint8Array(32).fill(fill + 2),
});
/** What every entry of the cluster holds of the pool. */
const pool = { poolId: "pl-1", organizationId: "org-1", egressNodeIds: ["e1", "e2"] };
const snapshot = snapshotWith({ pools: [{ ...pool, locators: [locatorsOf("e1", 10), locatorsOf("e2", 20)] }] });

function stage(ways: readonly string[] = ["r1"]) {
  const ports = testPorts(snapshot);
  const opened: ClientPathRequest[] = [];
  const failed: string[] = [];
  const listeners = new Set<(event: LegEvent) => void>();
  let offline = { newChannels: true, existing: true };
  let fail: (request: ClientPathRequest) => Error | undefined | Promise<never> = () => undefined;
  const routes = {
    resource: (name: string, organizationId: string) =>
      name === "web" && organizationId === "org-1" ? { poolId: "pl-1", defaultClass: ChannelClass.BULK } : undefined,
    egresses: () => ["e1", "e2"],
    paths: (farEdge: string) => ways.map((relay) => ({ hops: [selfId, relay, farEdge], farEdge })),
    failed: (hops: readonly string[]) => failed.push(hops.join()),
  } as unknown as Routes;
  const paths = {
    openForClient: async (request: ClientPathRequest) => {
      opened.push(request);
      const thrown = await fail(request);
      if (thrown !== undefined) throw thrown;
      return {
        legToken: new Uint8Array(32).fill(opened.length),
        pathTag: "tag",
        onEvent: (listener: (event: LegEvent) => void) => {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
        close: () => {},
      };
    },
  } as unknown as PathOpener;
  const judge = { offline: offlineJudge(() => offline), contracts: deskOf(ports) };
  const service = pathService({ ...unused, ...judge, ports, routes, paths: () => paths });
  const call = (request: OpenClientPathRequest, as: Caller = caller) => {
    const leaving = new AbortController();
    const values = createContextValues().set(kCaller, as);
    const context = { values, signal: leaving.signal } as unknown as HandlerContext;
    const answers = (
      service.openClientPath as (
        request: OpenClientPathRequest,
        context: HandlerContext,
      ) => AsyncIterable<OpenClientPathResponse>
    )(request, context)[Symbol.asyncIterator]();
    return {
      next: async () => (await answers.next()).value as OpenClientPathResponse | undefined,
      leave: () => leaving.abort(),
    };
  };
  const ready = async (request: OpenClientPathRequest, as?: Caller) => {
    const event = (await call(request, as).next())?.event;
    if (event?.case !== "ready") throw new Error(`no leg but ${event?.case}`);
    return event.value;
  };
  return {
    ports,
    opened,
    failed,
    listeners,
    call,
    ready,
    emit: (event: LegEvent) => {
      for (const listener of [...listeners]) listener(event);
    },
    goOffline: (existing: boolean) => {
      offline = { newChannels: false, existing };
    },
    failWith: (next: typeof fail) => {
      fail = next;
    },
  };
}

async function thrownBy(work: Promise<unknown>): Promise<WeftError> {
  const thrown: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(thrown instanceof WeftError)) throw new Error(`expected a WeftError, not ${String(thrown)}`);
  return thrown;
}

describe("PathService/OpenClientPath", () => {
  it("opens a leg to the pool of the resource for what the client signed", async () => {
    const { ready, opened } = stage();
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
    const { ready, opened, failWith } = stage();
    failWith(({ hops }) => (hops.at(-1) === "e1" ? new WeftError("unavailable", "away") : undefined));
    const { resumeHandle } = await ready(requestWith());
    expect(opened.at(-1)?.hops.at(-1)).toBe("e2");
    for (const entry of [stage(), stage(["r7"])]) {
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
    const { ready, call, opened } = stage();
    const { resumeHandle } = await ready(requestWith());
    opened.length = 0;
    const thrown = await thrownBy(call(make(resumeHandle), { ...caller, ...over }).next());
    expect(thrown).toMatchObject({ reason: "failed_precondition", detail: "HANDLE_UNKNOWN" });
    expect(opened).toEqual([]);
  });

  it("gives no handle while its snapshot knows no locators, and still opens", async () => {
    const { ports, ready } = stage();
    ports.show(snapshotWith({ version: 2n }));
    expect((await ready(requestWith())).resumeHandle).toHaveLength(0);
  });

  it("LAW-T4 a client that asks without end is refused, and nothing is opened for it", async () => {
    const { ready, call, opened } = stage();
    while (opened.length < limits.clientOffersPerClientBurstCount) await ready(requestWith());
    expect(await thrownBy(call(requestWith()).next())).toMatchObject({ detail: "CLIENT_PATHS" });
  });

  it("a client that does not read what a hop says again and again costs no memory", async () => {
    const { call, emit } = stage();
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
    const { call, opened } = stage();
    expect((await thrownBy(call(requestWith({ standby: true })).next())).detail).toBe("NO_HANDLE");
    expect(opened).toEqual([]);
  });

  it("says when a leg is to be a standby", async () => {
    const { ready, opened } = stage();
    const { resumeHandle } = await ready(requestWith());
    await ready(requestWith({ standby: true, resumeHandle }));
    expect(opened[1]).toMatchObject({ purpose: PathPurpose.STANDBY, hops: [selfId, "r1", "e1"] });
  });

  it("PS4 a way that hangs is not waited for: the next one is tried beside it, and the slow one rests", async () => {
    const { ready, opened, failed, failWith, ports } = stage(["r1", "r2", "r3"]);
    const { resumeHandle } = await ready(requestWith());
    opened.length = 0;
    const hangs = ({ signal }: ClientPathRequest): Promise<never> =>
      new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(new Error("given up"))));
    failWith((request) => (request.hops[1] === "r1" ? hangs(request) : undefined));
    const leg = ready(requestWith({ resumeHandle }));
    await eventually(() => opened.length === 1, { what: "the first way" });
    expect(failed).toEqual([]);
    ports.clock.advance(limits.clientWayDelayMs);
    await leg;
    expect(opened.map(({ hops }) => hops[1])).toEqual(["r1", "r2"]);
    expect(failed).toEqual([[selfId, "r1", "e1"].join()]);
    // The slow one is given up; what is the client's now is not touched by that.
    expect(opened.map(({ signal }) => signal?.aborted)).toEqual([true, false]);
  });

  it("PS2 goes around the relays the egress says are used already", async () => {
    const { ready, opened, failed, failWith } = stage(["r1", "r2", "r3"]);
    const { resumeHandle } = await ready(requestWith());
    opened.length = 0;
    const used = ["r1", "r2"];
    failWith(({ hops, purpose }) =>
      purpose === PathPurpose.STANDBY && used.includes(hops[1] ?? "") ? sharesError(2, [1]) : undefined,
    );
    await ready(requestWith({ standby: true, resumeHandle }));
    expect(opened.map(({ hops, purpose }) => [hops[1], purpose])).toEqual([
      ["r1", PathPurpose.STANDBY],
      ["r2", PathPurpose.STANDBY],
      ["r3", PathPurpose.STANDBY],
    ]);
    // They are good ways, for anybody else.
    expect(failed).toEqual([]);
  });

  it("PS2 shares a relay when there is no other", async () => {
    const { ready, opened, failWith } = stage(["r1", "r2"]);
    const { resumeHandle } = await ready(requestWith());
    opened.length = 0;
    failWith(({ hops, purpose }) => {
      if (hops[1] === "r2") return new WeftError("unavailable", "away");
      return purpose === PathPurpose.STANDBY ? sharesError(2, [1]) : undefined;
    });
    await ready(requestWith({ standby: true, resumeHandle }));
    expect(opened.map(({ hops, purpose }) => [hops[1], purpose])).toEqual([
      ["r1", PathPurpose.STANDBY],
      ["r2", PathPurpose.STANDBY],
      ["r1", PathPurpose.RESUME],
    ]);
  });

  it("PS2 gives a standby up after a few ways, whatever the egress says", async () => {
    const { ready, call, opened, failWith } = stage(["r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8"]);
    const { resumeHandle } = await ready(requestWith());
    opened.length = 0;
    failWith(() => sharesError(2, [1]));
    expect((await thrownBy(call(requestWith({ standby: true, resumeHandle })).next())).detail).toBe("NO_PATH");
    expect(opened).toHaveLength(6);
  });

  it("tries the next egress when the first cannot be reached, and remembers which way failed", async () => {
    const { ready, opened, failed, failWith } = stage();
    failWith(({ hops }) => (hops.at(-1) === "e1" ? new WeftError("unavailable", "away") : undefined));
    await ready(requestWith());
    expect(opened.map(({ hops }) => hops.at(-1))).toEqual(["e1", "e2"]);
    expect(failed).toEqual([`${selfId},r1,e1`]);
  });

  it("tries another way to the egress a client resumes, and never another egress", async () => {
    const { ready, call, opened, failWith } = stage(["r1", "r2", "r3", "r4"]);
    const { resumeHandle } = await ready(requestWith());
    opened.length = 0;
    failWith(({ hops }) => (hops[1] === "r1" ? new WeftError("unavailable", "away") : undefined));
    await ready(requestWith({ resumeHandle }));
    expect(opened.map(({ hops }) => hops.slice(1))).toEqual([
      ["r1", "e1"],
      ["r2", "e1"],
    ]);
    opened.length = 0;
    failWith(() => new WeftError("unavailable", "away"));
    await thrownBy(call(requestWith({ resumeHandle })).next());
    expect(opened.map(({ hops }) => hops.slice(1).join())).toEqual(["r1,e1", "r2,e1", "r3,e1"]);
  });

  it("opens nothing while the node drains", async () => {
    const { ports, call, opened } = stage();
    ports.drain.set(true);
    expect((await thrownBy(call(requestWith()).next())).detail).toBe("DRAINING");
    expect(opened).toEqual([]);
  });

  it("opens nothing once the offline policy has run out", async () => {
    const { goOffline, ready, call, opened } = stage();
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
    const { call, failWith } = stage();
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
    const { call, opened } = stage();
    const thrown = await thrownBy(call(make(), { ...caller, ...over }).next());
    expect(thrown.detail).toBe(detail);
    expect(opened).toEqual([]);
  });
});

/** Listens as long as the leg lives. */
const countsIt = 1;

describe("the events of a leg", () => {
  it("follow until it closes, and say what, never where", async () => {
    const { call, emit, listeners } = stage();
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
    const { call, listeners } = stage();
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
