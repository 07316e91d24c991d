/** The table mode x {existing, new, revoked} x {nothing, restart, clock step}, against the shipped holders and a clock that tests move. */

import { describe, expect, it } from "vitest";
import { boundsOf, boundsToWire, type OfflineTerms } from "../../../fabric/offline.ts";
import { ChannelEnd, ChannelStage } from "../../../gen/weft/channel/v1/channel_pb.ts";
import { OfflineMode } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../../lib/limits.ts";
import { type OwnFeedStore, openFeedStore } from "../../../node/feed-store.ts";
import { OfflineDesk } from "../../../node/offline-desk.ts";
import { type OwnSnapshotHolder, openSnapshotHolder } from "../../../node/snapshot-holder.ts";
import {
  envelopeWith,
  feedWith,
  holderOf,
  identity,
  installation,
  nowMs,
  stateFolder,
  type TestPorts,
  testPorts,
} from "./stage.ts";

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const end = Number.POSITIVE_INFINITY;
const leafMs = 3 * hourMs;
const continueForMs = 2 * hourMs;

/** Written by hand: how long new ones may open and existing ones stay after the newest feed. */
const modes = [
  { name: "continue", mode: OfflineMode.CONTINUE, newMs: end, existingMs: end },
  { name: "continue-for", mode: OfflineMode.CONTINUE_FOR, newMs: continueForMs, existingMs: continueForMs },
  { name: "existing-only", mode: OfflineMode.EXISTING_ONLY, newMs: minuteMs, existingMs: end },
  { name: "fail-closed", mode: OfflineMode.FAIL_CLOSED, newMs: minuteMs, existingMs: minuteMs },
] as const;

const revoked = { issuerKeyIdHex: "", serialHex: "", keyHashHex: "", spiffe: "spiffe://weft.test/revoked" };

/** All four modes on one node at once, each for an organization with one resource. */
function shown() {
  const terms = (mode: OfflineMode): OfflineTerms => ({ mode, continueForMs, graceMs: 0 });
  return envelopeWith({
    issuedAtMs: BigInt(nowMs),
    notAfterMs: BigInt(nowMs + 24 * hourMs),
    pathOffline: modes.map(({ name, mode }) => ({ organizationId: name, ...boundsToWire(boundsOf(terms(mode))) })),
    resourceOffline: modes.map(({ name, mode }) => ({
      resourceId: `rs-${name}`,
      policy: { mode, continueForMs: BigInt(continueForMs) },
    })),
  });
}

interface Process {
  readonly ports: TestPorts;
  readonly snapshot: OwnSnapshotHolder;
  readonly feed: OwnFeedStore;
  readonly desk: OfflineDesk;
}

/** One start of a node process from its folder, with the wall clock as it is then. */
function start(stateDir: string, wallMs: number): Process {
  const ports = testPorts();
  ports.clock.stepWall(wallMs - nowMs);
  const { clock, log, events } = ports;
  const own = holderOf({ ...identity, leaf: { ...identity.leaf, notAfterMs: nowMs + leafMs } });
  const deps = { stateDir, identity: own, installationKeySpki: installation.spkiDer, clock, log, events };
  const snapshot = openSnapshotHolder({ ...deps, limit: (each) => each });
  const feed = openFeedStore({ ...deps, snapshot });
  return {
    ports,
    snapshot,
    feed,
    desk: new OfflineDesk({ identity: own, snapshot, feed, clock, log, events }, stateDir),
  };
}

/** What happens 40 s into the outage; returns the process that goes on. `seenMs`: what the wall clock then says too much. */
const disturbances: readonly {
  readonly what: string;
  readonly seenMs: number;
  readonly act: (running: Process, stateDir: string) => Process;
}[] = [
  { what: "nothing else happens", seenMs: 0, act: (running) => running },
  {
    what: "the node restarts",
    seenMs: 0,
    act: ({ ports }, stateDir) => start(stateDir, ports.clock.nowMs()),
  },
  {
    what: "the clock is set back an hour",
    seenMs: 0,
    act: (running) => {
      running.ports.clock.stepWall(-hourMs);
      return running;
    },
  },
  {
    what: "the node restarts with its clock set back an hour",
    seenMs: 0,
    act: ({ ports }, stateDir) => start(stateDir, ports.clock.nowMs() - hourMs),
  },
  {
    what: "the clock is an hour ahead for a moment",
    seenMs: 0,
    act: (running) => {
      running.ports.clock.stepWall(hourMs);
      running.desk.look();
      running.ports.clock.stepWall(-hourMs);
      return running;
    },
  },
  {
    what: "the clock is set ahead an hour",
    seenMs: hourMs,
    act: (running) => {
      running.ports.clock.stepWall(hourMs);
      return running;
    },
  },
];

const disturbedAtMs = 40 * secondMs;
/** True time since the newest feed. Apart from the edges by what a restart may lose (`limits.offlineNoteEveryMs`). */
const agesMs = [
  ...[45 * secondMs, minuteMs + 11 * secondMs, hourMs - minuteMs, hourMs + minuteMs],
  ...[continueForMs - minuteMs, continueForMs + 2 * minuteMs, leafMs - minuteMs, leafMs + 2 * minuteMs],
];

function heldChannel() {
  const closed: (() => void)[] = [];
  const channel = {
    destroyed: false,
    ended: undefined as ChannelEnd | undefined,
    once: (_event: "close", listener: () => void) => closed.push(listener),
    abort: (why: ChannelEnd) => {
      channel.ended = why;
      channel.destroyed = true;
      for (const listener of closed) listener();
    },
  };
  return channel;
}

describe.each(disturbances)("LAW-I4 M-A12 M-A13 offline, while $what", ({ seenMs, act }) => {
  it("every mode lets new ones, existing ones and what is revoked do what it says, at every age", () => {
    using folder = stateFolder();
    let running = start(folder.dir, nowMs);
    expect(running.snapshot.offer(shown())).toBe("applied");
    const entry = { spiffeId: revoked.spiffe, notAfterMs: BigInt(nowMs + 48 * hourMs) };
    expect(running.feed.offer(feedWith(1n, [entry], { issuedAtMs: BigInt(nowMs) }))).toBe("applied");
    let ageMs = 0;
    const goTo = (toMs: number): void => {
      running.ports.clock.advance(toMs - ageMs);
      ageMs = toMs;
    };
    goTo(disturbedAtMs);
    running = act(running, folder.dir);
    const channels = modes.map(({ name }) => {
      const channel = heldChannel();
      running.desk.hold(channel, { resourceId: `rs-${name}`, stage: ChannelStage.EGRESS });
      return channel;
    });
    for (const atMs of agesMs) {
      goTo(atMs);
      const seen = atMs + seenMs;
      for (const [index, { name, newMs, existingMs }] of modes.entries()) {
        const isExisting = seen < Math.min(existingMs, leafMs);
        const isNew = isExisting && seen < newMs;
        const wanted = { newChannels: isNew, existing: isExisting };
        const at = `${name} after ${atMs / secondMs} s`;
        expect(running.desk.channel(`rs-${name}`), at).toMatchObject(wanted);
        expect(running.desk.path(name), at).toMatchObject(wanted);
        expect(running.desk.cutsPaths(name), at).toBe(!isExisting);
        expect(channels[index]?.ended, at).toBe(isExisting ? undefined : ChannelEnd.OFFLINE);
      }
      expect(running.feed.isRevoked(revoked)).toBe(true);
    }
  });
});

describe("what a node says about itself", () => {
  it("since when nothing is heard, what counts where and until when; and it is over with the next feed", () => {
    using folder = stateFolder();
    const { ports, snapshot, feed, desk } = start(folder.dir, nowMs);
    expect(desk.view()).toEqual({ newestFeedMs: 0, staleMs: 0, offline: true, states: [] });
    snapshot.offer(shown());
    feed.offer(feedWith(1n, [], { issuedAtMs: BigInt(nowMs) }));
    ports.clock.advance(limits.offlineSaidAfterMs - 1);
    expect(desk.view()).toMatchObject({ newestFeedMs: nowMs, offline: false });
    ports.clock.advance(minuteMs);
    const { states, ...about } = desk.view();
    expect(about).toEqual({ newestFeedMs: nowMs, staleMs: limits.offlineSaidAfterMs - 1 + minuteMs, offline: true });
    // The default, four organizations' paths, four resources.
    expect(states).toHaveLength(9);
    const closed = { resourceId: "rs-fail-closed", mode: OfflineMode.FAIL_CLOSED };
    const verdict = { newChannels: false, existing: false, existingUntilMs: nowMs + minuteMs };
    expect(states.at(-1)).toMatchObject({ ...closed, verdict });
    feed.offer(feedWith(2n, [], { issuedAtMs: BigInt(ports.clock.nowMs()) }));
    expect(desk.view()).toMatchObject({ offline: false, staleMs: 0 });
    expect(desk.channel("rs-fail-closed")).toMatchObject({ newChannels: true, existing: true });
    expect(ports.kinds().filter((kind) => kind === "offline" || kind === "online")).toEqual(["offline", "online"]);
  });

  it("paths outlast their channels by a moment, in which nothing new is agreed to", () => {
    using folder = stateFolder();
    const { ports, snapshot, feed, desk } = start(folder.dir, nowMs);
    snapshot.offer(shown());
    feed.offer(feedWith(1n, [], { issuedAtMs: BigInt(nowMs) }));
    const [channel, path] = [heldChannel(), heldChannel()];
    desk.hold(channel, { resourceId: "rs-fail-closed", stage: ChannelStage.ENTRY });
    desk.hold(path, { resourceId: "rs-fail-closed", stage: ChannelStage.ENTRY, isPath: true });
    ports.clock.advance(minuteMs);
    expect([channel.ended, path.ended]).toEqual([ChannelEnd.OFFLINE, undefined]);
    expect([desk.path("fail-closed").existing, desk.cutsPaths("fail-closed")]).toEqual([false, false]);
    ports.clock.advance(limits.offlinePathLingerMs);
    expect([path.ended, desk.cutsPaths("fail-closed")]).toEqual([ChannelEnd.OFFLINE, true]);
    // Paths that measure belong to nobody, and go on as long as anything does.
    expect(desk.path("")).toMatchObject({ newChannels: true, existing: true });
  });

  it("a feed dated far ahead keeps nothing open", () => {
    using folder = stateFolder();
    const { ports, snapshot, feed, desk } = start(folder.dir, nowMs);
    snapshot.offer(shown());
    feed.offer(feedWith(1n, [], { issuedAtMs: BigInt(nowMs) }));
    feed.offer(feedWith(2n, [], { issuedAtMs: BigInt(nowMs + limits.signedSkewMaxMs + 1) }));
    ports.clock.advance(minuteMs);
    expect(desk.channel("rs-fail-closed").existing).toBe(false);
  });
});
