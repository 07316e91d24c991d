/** An entry's leases of exclusive resources: when channels end with them, when they are given back, what openers are told. */

import { once } from "node:events";
import { Duplex } from "node:stream";
import { create } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import type { EdgeChannel } from "../../../../edge/channel.ts";
import { ChannelEnd } from "../../../../gen/weft/channel/v1/channel_pb.ts";
import { SignedContractSchema } from "../../../../gen/weft/fabric/v1/contract_pb.ts";
import { ManualClock } from "../../../../lib/clock.ts";
import { WeftError } from "../../../../lib/errors.ts";
import { silentLog } from "../../../../lib/log.ts";
import { ExclusiveEntry, type ExclusiveEntryDeps, holdFailure } from "../../../../node/roles/exclusive-entry.ts";

const resource = { resourceId: "rs-1", exclusiveLeaseMs: 9_000n };

let clock: ManualClock;
let said: string[];
let counter: bigint;
let away: boolean;
let entry: ExclusiveEntry;

beforeEach(() => {
  clock = new ManualClock();
  said = [];
  counter = 1n;
  away = false;
  const answer = async (call: string) => {
    said.push(call);
    if (away) throw new WeftError("unavailable", "away");
    return { lease: { fence: { epoch: 1n, counter }, ttlMs: 9_000n }, contract: create(SignedContractSchema) };
  };
  const client = {
    acquire: ({ name, bootId, ttlMs }: Record<string, unknown>) => answer(`acquire ${name} ${bootId} ${ttlMs}`),
    renew: () => answer("renew"),
    release: ({ name }: Record<string, unknown>) => answer(`release ${name}`),
  } as unknown as ReturnType<ExclusiveEntryDeps["leases"]>;
  entry = new ExclusiveEntry({ leases: () => client, bootId: "boot-1", clock, log: silentLog });
});

/** As much of a channel as an entry looks at. */
class Channel extends Duplex {
  ended: ChannelEnd | undefined;

  constructor() {
    super({ read: () => {}, write: (_chunk, _encoding, done) => done() });
    this.on("error", () => {});
  }

  abort(end: ChannelEnd): void {
    this.ended = end;
    this.destroy(new Error("aborted"));
  }

  async finish(): Promise<void> {
    this.resume();
    this.push(null);
    this.end();
    await once(this, "close");
  }

  async tear(): Promise<void> {
    this.destroy();
    await once(this, "close");
  }
}

async function opened(): Promise<Channel> {
  const hold = await entry.hold(resource);
  const channel = new Channel();
  entry.tie(resource, hold, channel as unknown as EdgeChannel);
  entry.settle(resource);
  return channel;
}

async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) {
    clock.advance(Math.min(100, left));
    for (let turn = 0; turn < 8; turn += 1) await Promise.resolve();
  }
}

describe("an entry's exclusive lease", () => {
  it("is one for all channels, asked for by name, boot and the resource's own time", async () => {
    await Promise.all([opened(), opened(), opened()]);
    expect(said).toEqual(["acquire resource/rs-1 boot-1 9000"]);
  });

  it("LAW-F1 ends every channel with FENCED when it is lost, and one that was being opened meanwhile", async () => {
    const channels = [await opened(), await opened()];
    const hold = await entry.hold(resource);
    away = true;
    await pass(9_000);
    expect(channels.map(({ ended }) => ended)).toEqual([ChannelEnd.FENCED, ChannelEnd.FENCED]);
    const late = new Channel();
    entry.tie(resource, hold, late as unknown as EdgeChannel);
    expect(late.ended).toBe(ChannelEnd.FENCED);
  });

  it("is given back when its channels ended in order, not while one is being opened", async () => {
    const channel = await opened();
    const hold = await entry.hold(resource);
    await channel.finish();
    await pass(4_000);
    expect(said).not.toContain("release resource/rs-1");
    expect(hold.counter).toBe(1n);
    entry.settle(resource);
    await pass(4_000);
    expect(said).toContain("release resource/rs-1");
  });

  it("is left to expire when a channel was torn down, and given back under the next fence again", async () => {
    const channel = await opened();
    await channel.tear();
    await entry.releaseIdle();
    await pass(9_000);
    expect(said.filter((each) => each.startsWith("release"))).toEqual([]);
    counter = 2n;
    const next = await opened();
    await next.finish();
    await entry.releaseIdle();
    expect(said.at(-1)).toBe("release resource/rs-1");
  });

  it("is left to expire when it was lost while a channel was being opened, if it comes back under the same fence", async () => {
    const hold = await entry.hold(resource);
    away = true;
    await pass(9_000);
    entry.tie(resource, hold, new Channel() as unknown as EdgeChannel);
    entry.settle(resource);
    away = false;
    await pass(1_000);
    await (await opened()).finish();
    await entry.releaseIdle();
    expect(said.filter((each) => each.startsWith("release"))).toEqual([]);
  });

  it("stays with what is used when a drain gives back the rest", async () => {
    const channel = await opened();
    await entry.releaseIdle();
    expect(said).toHaveLength(1);
    expect(channel.ended).toBeUndefined();
    await entry.close();
    expect(channel.ended).toBe(ChannelEnd.FENCED);
    await expect(entry.hold(resource)).rejects.toMatchObject({ detail: "LEASE_CLOSED" });
  });

  it("tells openers apart who is in the way: somebody else, nobody to ask, or themselves", () => {
    const failed = (...[reason, detail, retry]: [WeftError["reason"], string?, WeftError["retry"]?]) =>
      holdFailure(new WeftError(reason, "", { ...(detail && { detail }), ...(retry && { retry }) }));
    expect(failed("failed_precondition", "LEASE_HELD", "later")).toBe(ChannelEnd.LEASE_HELD);
    expect(failed("failed_precondition", "NODE_DRAINING", "later")).toBe(ChannelEnd.LEASE_UNKNOWN);
    for (const reason of ["unavailable", "deadline_exceeded"] as const)
      expect(failed(reason)).toBe(ChannelEnd.LEASE_UNKNOWN);
    expect(failed("not_found", "LEASE_NOT_FOUND")).toBe(ChannelEnd.NOT_ALLOWED);
    expect(holdFailure(new Error("bug"))).toBe(ChannelEnd.INTERNAL);
  });
});
