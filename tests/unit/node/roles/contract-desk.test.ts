/** How long channels live under contracts at one hop: by the newest contract known, the snapshot, and the clock's floor. */

import { EventEmitter } from "node:events";
import { create } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import type { EdgeChannel } from "../../../../edge/channel.ts";
import { type ContractRefusal, encodeContract, signContract } from "../../../../fabric/contract.ts";
import { ChannelEnd, ChannelStage } from "../../../../gen/weft/channel/v1/channel_pb.ts";
import { type LeaseContract, LeaseContractSchema, LeaseKind } from "../../../../gen/weft/fabric/v1/contract_pb.ts";
import { ServiceClass } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../../../lib/limits.ts";
import { type AskOptions, ContractDesk, type LeaseNews } from "../../../../node/roles/contract-desk.ts";
import { clusterId, installation, nowMs, signer, snapshotWith, testPorts } from "../stage.ts";

const signing = signer("contract", clusterId);
const lifeMs = 60_000;

function contractOf(over: Partial<Omit<LeaseContract, "$typeName" | "$unknown">> = {}): LeaseContract {
  return create(LeaseContractSchema, {
    clusterId,
    leaseId: "sl-1",
    kind: LeaseKind.SERVICE_CHANNEL,
    resourceId: "rs-1",
    organizationId: "org-1",
    clientId: "ct-1",
    serviceClass: ServiceClass.WEB,
    entryNodeId: "nd-e1",
    fence: { epoch: 1n, counter: 1n },
    issuedAtMs: BigInt(nowMs),
    notAfterMs: BigInt(nowMs + lifeMs),
    ...over,
  });
}

const newer = (over: Partial<Omit<LeaseContract, "$typeName" | "$unknown">> = {}): LeaseContract =>
  contractOf({ issuedAtMs: BigInt(nowMs + 1), notAfterMs: BigInt(nowMs + 2 * lifeMs), ...over });

/** A channel as the desk sees it. */
class Channel extends EventEmitter {
  destroyed = false;
  readonly correlationId = "c-1";
  ended: readonly [ChannelEnd, ChannelStage] | undefined;

  abort(end: ChannelEnd, stage: ChannelStage): void {
    this.ended = [end, stage];
    this.close();
  }

  close(): void {
    this.destroyed = true;
    this.emit("close");
  }
}

const desks: ContractDesk[] = [];
afterEach(() => {
  for (const desk of desks.splice(0)) desk.close();
});

function stage(ask?: (leaseId: string, options: AskOptions) => Promise<LeaseNews>) {
  const ports = testPorts(snapshotWith());
  const floor = { ms: 0 };
  const looking = { count: 0 };
  const every = ports.clock.every.bind(ports.clock);
  ports.clock.every = (periodMs, fn) => {
    looking.count += 1;
    const timer = every(periodMs, fn);
    return {
      cancel: () => {
        looking.count -= 1;
        timer.cancel();
      },
    };
  };
  const holder = { ...ports.snapshot, newestSignedMs: () => floor.ms };
  const desk = new ContractDesk({
    ports: { ...ports, snapshot: holder },
    installationSpki: installation.spkiDer,
    ...(ask === undefined ? {} : { ask }),
  });
  desks.push(desk);
  const hold = (
    contract = contractOf(),
    covered: () => ContractRefusal | undefined = () => undefined,
    channel = new Channel(),
  ) => {
    desk.hold(contract, {
      channel: channel as unknown as EdgeChannel,
      stage: ChannelStage.EGRESS,
      resource: "web",
      covered,
    });
    return channel;
  };
  const reasons = () => ports.seen.filter(({ kind }) => kind === "contract_ended").map(({ facts }) => facts["reason"]);
  return { ports, looking, desk, floor, hold, reasons, advance: (ms: number) => ports.clock.advance(ms) };
}

const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
};

describe("a channel under a contract", () => {
  it("M-A24 ends when the contract has run out, and says why to operators", () => {
    const { hold, advance, reasons } = stage();
    const channel = hold();
    advance(lifeMs - 1);
    expect(channel.ended).toBeUndefined();
    advance(limits.contractLookMs);
    expect(channel.ended).toEqual([ChannelEnd.REVOKED, ChannelStage.EGRESS]);
    expect(reasons()).toEqual(["CONTRACT_EXPIRED"]);
  });

  it("ends by the newest signed time, whatever the wall clock says", () => {
    const { hold, advance, floor, reasons } = stage();
    hold();
    floor.ms = nowMs + lifeMs;
    advance(limits.contractLookMs);
    expect(reasons()).toEqual(["CONTRACT_EXPIRED"]);
  });

  it("M-A24 lives on when another channel shows a newer contract of the lease", () => {
    const { hold, advance } = stage();
    const first = hold();
    const second = hold(newer());
    advance(lifeMs + 1_000);
    expect([first.ended, second.ended]).toEqual([undefined, undefined]);
    // An older one afterwards takes nothing back.
    hold(contractOf({ notAfterMs: BigInt(nowMs + lifeMs + 2_000) }));
    advance(10_000);
    expect(first.ended).toBeUndefined();
    advance(lifeMs);
    expect([first.ended?.[0], second.ended?.[0]]).toEqual([ChannelEnd.REVOKED, ChannelEnd.REVOKED]);
  });

  it.each<[string, Partial<Omit<LeaseContract, "$typeName" | "$unknown">>]>([
    ["another lease", { leaseId: "sl-2" }],
    ["another client", { clientId: "ct-2" }],
    ["another fence", { fence: { $typeName: "weft.fabric.v1.Fence", epoch: 1n, counter: 2n } }],
    ["another flow", { flowIsolationId: "f-2" }],
  ])("is not prolonged by a contract with %s", (_what, over) => {
    const { hold, advance } = stage();
    const channel = hold();
    hold(newer(over));
    advance(lifeMs + limits.contractLookMs);
    expect(channel.ended?.[0]).toBe(ChannelEnd.REVOKED);
  });

  it("ends at once when the snapshot no longer covers it, and only then", () => {
    const { hold, desk, reasons } = stage();
    let lost: ContractRefusal | undefined;
    const channel = hold(contractOf(), () => lost);
    const other = hold();
    desk.rejudge();
    expect(channel.ended).toBeUndefined();
    lost = "CONTRACT_CLIENT";
    desk.rejudge();
    expect([channel.ended?.[0], other.ended]).toEqual([ChannelEnd.REVOKED, undefined]);
    expect(reasons()).toEqual(["CONTRACT_CLIENT"]);
  });

  it("ends at once when what covered it was lost while it was opened", () => {
    const { hold, reasons } = stage();
    expect(hold(contractOf(), () => "CONTRACT_ENDED").ended?.[0]).toBe(ChannelEnd.REVOKED);
    expect(reasons()).toEqual(["CONTRACT_ENDED"]);
  });

  it("leaves no timer behind when it closes by itself", () => {
    const { hold, advance, reasons, looking } = stage();
    const channels = [hold(), hold(newer({ leaseId: "sl-2" }))];
    expect(looking.count).toBe(1);
    for (const channel of channels) channel.close();
    expect(looking.count).toBe(0);
    advance(2 * lifeMs);
    expect(reasons()).toEqual([]);
  });

  it("is not kept when it closed before it came here", () => {
    const { hold, looking, advance, reasons } = stage();
    const channel = new Channel();
    channel.close();
    hold(contractOf(), () => undefined, channel);
    expect(looking.count).toBe(0);
    advance(2 * lifeMs);
    expect(reasons()).toEqual([]);
  });

  it("exclusive ones live under a fence, not under a date", () => {
    const { hold, advance } = stage();
    const channel = hold(contractOf({ kind: LeaseKind.EXCLUSIVE, clientId: "", holderNodeId: "nd-e1" }));
    advance(2 * lifeMs);
    expect(channel.ended).toBeUndefined();
  });
});

describe("control, asked shortly before a contract runs out", () => {
  const news = (contract: LeaseContract, active = true): LeaseNews => ({
    active,
    contract: encodeContract(signContract(signing, contract)),
  });

  it("M-A24 prolongs what was maintained; nobody had to show anything", async () => {
    let asked = 0;
    const { hold, advance } = stage(async () => {
      asked += 1;
      return news(newer());
    });
    const channel = hold();
    advance(lifeMs - limits.contractAskAheadMs - 1);
    expect(asked).toBe(0);
    advance(limits.contractLookMs);
    await settled();
    expect(asked).toBe(1);
    advance(limits.contractAskAheadMs + 1_000);
    await settled();
    expect(channel.ended).toBeUndefined();
  });

  it("ends what it says is over", async () => {
    const { hold, advance, reasons } = stage(async () => news(contractOf(), false));
    hold();
    advance(lifeMs - 1_000);
    await settled();
    expect(reasons()).toEqual(["CONTRACT_ENDED"]);
  });

  it.each<[string, () => Promise<LeaseNews>]>([
    ["is away", async () => Promise.reject(new Error("away"))],
    ["answers with other terms", async () => news(newer({ clientId: "ct-2" }))],
    ["answers with what nobody signed", async () => ({ active: true, contract: new Uint8Array([1, 2, 3]) })],
    ["has nothing newer", async () => news(contractOf())],
  ])("changes nothing when it %s: the contract holds to its date and no longer", async (_what, answer) => {
    let asked = 0;
    const { hold, advance, reasons } = stage(() => {
      asked += 1;
      return answer();
    });
    const channel = hold();
    for (let atMs = 0; atMs < lifeMs - limits.contractLookMs; atMs += limits.contractLookMs) {
      advance(limits.contractLookMs);
      await settled();
    }
    expect(channel.ended).toBeUndefined();
    expect(asked).toBeGreaterThanOrEqual(2);
    expect(asked).toBeLessThanOrEqual(limits.contractAskAheadMs / limits.contractAskEveryMs + 1);
    advance(2 * limits.contractLookMs);
    await settled();
    expect(reasons()).toEqual(["CONTRACT_EXPIRED"]);
  });

  it("M-A24 is asked again while there is time when an answer does not come", async () => {
    let asked = 0;
    const { ports, hold, advance } = stage((_leaseId, { timeoutMs }) => {
      asked += 1;
      if (asked > 1) return Promise.resolve(news(newer()));
      return new Promise((_resolve, reject) => ports.clock.after(timeoutMs, () => reject(new Error("too late"))));
    });
    const channel = hold();
    for (let atMs = 0; atMs < lifeMs + 1_000; atMs += limits.contractLookMs) {
      advance(limits.contractLookMs);
      await settled();
    }
    expect(asked).toBe(2);
    expect(channel.ended).toBeUndefined();
  });

  it("is asked about a short lease in time", async () => {
    const { hold, advance } = stage(async () => news(newer({ notAfterMs: BigInt(nowMs + lifeMs) })));
    const channel = hold(contractOf({ notAfterMs: BigInt(nowMs + 1_500) }));
    for (let atMs = 0; atMs < 3_000; atMs += 250) {
      advance(250);
      await settled();
    }
    expect(channel.ended).toBeUndefined();
  });
});
