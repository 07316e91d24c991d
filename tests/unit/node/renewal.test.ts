import { createPublicKey } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import { issueLeaf } from "../../../certs/ca.ts";
import { judgeCsr } from "../../../certs/csr.ts";
import { generateP256, p256FromSpki, privateKeyPem, verifyEs256 } from "../../../certs/keys.ts";
import { IssuedIdentitySchema, PoolCertificateSchema } from "../../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { WeftError } from "../../../lib/errors.ts";
import { limits } from "../../../lib/limits.ts";
import { silentLog } from "../../../lib/log.ts";
import { type Random, seededRandom } from "../../../lib/random.ts";
import type { NodeIdentity } from "../../../node/ports.ts";
import { type RenewalDeps, renewalDueMs, runRenewal } from "../../../node/renewal.ts";
import { RenewalTrigger } from "../../../node/renewal-trigger.ts";
import { eventually } from "../../harness/eventually.ts";
import { bundleOf, clusterId, identity, nowMs, pki, selfId } from "./stage.ts";

const middle: Random = { bytes: (count) => seededRandom(5).bytes(count), float: () => 0.5 };
const hourMs = 3_600_000;

interface Control {
  /** What happens to the next calls: thrown, or served when undefined. */
  failWith: Error | undefined;
  readonly calls: { readonly kind: "renew" | "recover"; readonly atMs: number; readonly keyHash: string }[];
  pools: string[];
  /** How far control's clock is from the node's. */
  skewMs: number;
}

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** Control's hands: issues for whatever key asks, under its own clock. */
function issuer(clock: ManualClock, control: Control) {
  const issue = async (csr: Uint8Array, kind: "node" | "pool", id: string): Promise<Uint8Array> => {
    const spkiDer = judgeCsr(csr).spkiDer;
    const leafId = { trustDomain: pki.trustDomain, clusterId, kind, id };
    const issued = await issueLeaf(pki.cas[kind], {
      id: leafId,
      spkiDer,
      nowMs: clock.nowMs() + control.skewMs,
      random: seededRandom(clock.monoMs()),
    });
    return issued.certificateDer;
  };
  const serve = async (kind: "renew" | "recover", csr: Uint8Array) => {
    control.calls.push({ kind, atMs: clock.monoMs(), keyHash: judgeCsr(csr).keyHash });
    if (control.failWith !== undefined) throw control.failWith;
    const { nodeId, clusterSlug, trustDomain, controlName, name } = identity;
    const certificateDer = await issue(csr, "node", selfId);
    return create(IssuedIdentitySchema, {
      nodeId,
      clusterId,
      clusterSlug,
      trustDomain,
      controlName,
      name,
      certificateDer,
      bundle: bundleOf(pki),
    });
  };
  return { issue, serve };
}

/** The pools a snapshot names, and waiting for the next one. */
function poolSwitch(first: string[]) {
  let current = first;
  let change = Promise.withResolvers<void>();
  return {
    current: () => current,
    changed: (signal: AbortSignal) =>
      Promise.race([change.promise, new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()))]),
    set: (pools: string[]) => {
      current = pools;
      change.resolve();
      change = Promise.withResolvers<void>();
    },
  };
}

/** An identity as it is held, and every one that replaced it. */
function heldIdentity(first: NodeIdentity, asked?: string) {
  let held = first;
  let pending = asked;
  const replaced: NodeIdentity[] = [];
  const holder = {
    current: () => held,
    onChange: () => () => {},
    pendingKey: () => pending,
    keepPendingKey: (keyPem: string) => {
      pending = keyPem;
    },
    replace: (next: NodeIdentity) => {
      held = next;
      pending = undefined;
      replaced.push(next);
    },
  };
  return { holder, replaced };
}

function stage(over: { readonly pools?: string[]; readonly start?: NodeIdentity; readonly pending?: string } = {}) {
  const clock = new ManualClock(nowMs);
  const control: Control = { failWith: undefined, calls: [], pools: [], skewMs: 0 };
  const pools = poolSwitch(over.pools ?? []);
  const { holder, replaced } = heldIdentity(over.start ?? identity, over.pending);
  const { issue, serve } = issuer(clock, control);
  const trigger = new RenewalTrigger(clock, middle);
  const signed = { newestMs: 0 };
  const recoveries: {
    expiredCertificateDer: Uint8Array;
    csr: Uint8Array;
    issuedAtMs: bigint;
    signature: Uint8Array;
  }[] = [];
  const deps = {
    client: () => ({
      renew: async ({ csr }: { csr: Uint8Array }) => {
        const issued = await serve("renew", csr);
        const poolCertificates = await Promise.all(
          control.pools.map(async (poolId) =>
            create(PoolCertificateSchema, { poolId, certificateDer: await issue(csr, "pool", poolId) }),
          ),
        );
        return { identity: issued, poolCertificates };
      },
    }),
    recoveryClient: () => ({
      recover: async (request: (typeof recoveries)[number]) => {
        recoveries.push(request);
        return { identity: await serve("recover", request.csr) };
      },
    }),
    identity: holder,
    poolIds: pools.current,
    poolsChanged: pools.changed,
    trigger,
    newestSignedMs: () => signed.newestMs,
    clock,
    random: middle,
    log: silentLog,
    events: { emit: () => {}, subscribe: () => () => {} },
  } as unknown as RenewalDeps;
  const ending = new AbortController();
  const running = runRenewal(deps, ending.signal);
  stops.push(async () => {
    ending.abort();
    await running;
    expect(clock.nextDueInMs()).toBeUndefined();
  });
  return {
    clock,
    control,
    trigger,
    signed,
    replaced,
    recoveries,
    held: holder.current,
    setPools: pools.set,
    waiting: () => eventually(() => clock.nextDueInMs(), { everyMs: 1 }),
    calls: (count: number) =>
      eventually(() => control.calls.length >= count && clock.nextDueInMs() !== undefined, { everyMs: 1 }),
  };
}

const issuedMs = identity.leaf.notBeforeMs + limits.leafBackdateMs;
const lifeMs = identity.leaf.notAfterMs - issuedMs;
const dueMs = issuedMs + lifeMs / 3;

describe("A11 the leaf is renewed", () => {
  it("at a third of its life, spread by a tenth of it", () => {
    const at = (float: number): number => renewalDueMs(identity, { bytes: () => new Uint8Array(), float: () => float });
    expect(at(0.5)).toBeCloseTo(dueMs, -1);
    expect(at(0)).toBeCloseTo(dueMs - 0.05 * lifeMs, -1);
    expect(at(1)).toBeCloseTo(dueMs + 0.05 * lifeMs, -1);
    expect(at(1)).toBeLessThan(issuedMs + lifeMs / 2);
  });

  it("when it is due and not before, with a fresh key", async () => {
    const loop = stage();
    while (loop.clock.nowMs() < dueMs - 2_000) {
      const due = await loop.waiting();
      expect(due).toBeLessThanOrEqual(hourMs);
      loop.clock.advance(Math.min(due, dueMs - 1_000 - loop.clock.nowMs()));
    }
    await loop.waiting();
    expect(loop.control.calls).toEqual([]);
    loop.clock.advance(2_000);
    await loop.calls(1);
    expect(loop.control.calls.map(({ kind }) => kind)).toEqual(["renew"]);
    expect(loop.held().leaf.keyHash).toBe(loop.control.calls[0]?.keyHash);
    expect(loop.held().leaf.keyHash).not.toBe(identity.leaf.keyHash);
    expect(loop.held().leaf.notAfterMs).toBeGreaterThan(identity.leaf.notAfterMs);
  });

  it("again and again while control is away, slower each time, at most every five minutes", async () => {
    const loop = stage();
    loop.control.failWith = new WeftError("unavailable", "away");
    loop.clock.advance(lifeMs / 3 + 1_000);
    const waits: number[] = [];
    for (let call = 1; call <= 12; call++) {
      await loop.calls(call);
      waits.push(await loop.waiting());
      loop.clock.advance(waits.at(-1) ?? 0);
    }
    expect(waits.slice(0, 4)).toEqual([1_000, 2_000, 4_000, 8_000]);
    expect(waits.slice(-2)).toEqual([300_000, 300_000]);
    // An answer may have got lost: only with the key it was for is it given again.
    expect(new Set(loop.control.calls.map(({ keyHash }) => keyHash)).size).toBe(1);
    loop.control.failWith = undefined;
    loop.clock.advance(300_000);
    await eventually(() => loop.replaced.length === 1, { everyMs: 1 });
  });

  it("by the enrolled key over the join name once it has expired", async () => {
    const loop = stage();
    loop.clock.advance(lifeMs + 1_000);
    await eventually(() => loop.replaced.length >= 1, { everyMs: 1 });
    expect(loop.control.calls[0]?.kind).toBe("recover");
    const [request] = loop.recoveries;
    expect(Buffer.from(request?.expiredCertificateDer ?? [])).toEqual(Buffer.from(identity.leaf.certificateDer));
    const statement = Buffer.concat([
      Buffer.from("weft/recover/v1\0"),
      request?.csr ?? Buffer.of(),
      Buffer.from(String(request?.issuedAtMs)),
    ]);
    const { keys } = await pki.issue("node", "nd-x", { nowMs });
    expect(verifyEs256(keys.publicKey, statement, request?.signature ?? Buffer.of())).toBe(false);
    const enrolled = p256FromSpki(spkiOfPem(identity.leaf.keyPem));
    expect(enrolled !== undefined && verifyEs256(enrolled, statement, request?.signature ?? Buffer.of())).toBe(true);
    expect(loop.held().leaf.notAfterMs).toBeGreaterThan(loop.clock.nowMs());
  });

  it("without a rush when this host's clock is so far ahead that every leaf is due at once", async () => {
    const loop = stage();
    loop.control.skewMs = -10 * hourMs;
    loop.clock.advance(lifeMs / 3 + 1_000);
    await loop.calls(1);
    expect(await loop.waiting()).toBeGreaterThanOrEqual(1_000);
    expect(loop.control.calls).toHaveLength(1);
  });
});

describe("a renewal that an earlier run has asked for", () => {
  it("is asked for with the same key, or with a fresh one where that cannot be read", async () => {
    const keys = generateP256();
    for (const [pending, isSame] of [
      [privateKeyPem(keys.privateKey), true],
      ["no key", false],
    ] as const) {
      const loop = stage({ pending });
      loop.trigger.renewNow("asked");
      await loop.calls(1);
      expect(loop.control.calls[0]?.keyHash === keys.keyHash).toBe(isSame);
      expect(loop.held().leaf.keyHash).toBe(loop.control.calls[0]?.keyHash);
    }
  });
});

describe("a leaf that is wished for before it is due", () => {
  it("comes at once, or at some time within the span given, and once", async () => {
    const loop = stage();
    await loop.waiting();
    loop.trigger.renewNow("asked");
    await loop.calls(1);
    expect(loop.replaced).toHaveLength(1);
    await loop.waiting();
    loop.trigger.renewNow("tainted", 60_000);
    // A later wish does not put the earlier one off.
    loop.trigger.renewNow("tainted", 600_000);
    await loop.waiting();
    loop.clock.advance(29_000);
    await loop.waiting();
    expect(loop.control.calls).toHaveLength(1);
    loop.clock.advance(1_100);
    await loop.calls(2);
    await loop.waiting();
    expect(loop.control.calls).toHaveLength(2);
  });

  it("is asked for again until there is one", async () => {
    const loop = stage();
    await loop.waiting();
    loop.control.failWith = new WeftError("unavailable", "away");
    loop.trigger.renewNow("tainted");
    await loop.calls(1);
    loop.control.failWith = undefined;
    loop.clock.advance(await loop.waiting());
    await loop.calls(2);
    await eventually(() => loop.replaced.length === 1, { everyMs: 1 });
    expect(loop.trigger.wish()).toBeUndefined();
  });

  it("is not the one that was on its way when the wish came", async () => {
    const clock = new ManualClock(nowMs);
    const trigger = new RenewalTrigger(clock, middle);
    trigger.renewNow("asked", 1_000);
    const before = trigger.wish();
    trigger.renewNow("tainted");
    trigger.fulfilled(before);
    expect(trigger.wish()?.reason).toBe("tainted");
  });
});

describe("I4 a clock that was set back", () => {
  it("makes no expired leaf one that could be renewed: it is recovered", async () => {
    const loop = stage();
    loop.signed.newestMs = identity.leaf.notAfterMs + 1_000;
    loop.trigger.renewNow("asked");
    await loop.calls(1);
    expect(loop.control.calls[0]?.kind).toBe("recover");
  });
});

describe("the pools of an egress", () => {
  it("are asked for once when they change, although control disagrees about them", async () => {
    const loop = stage();
    await loop.waiting();
    loop.setPools(["pl-1"]);
    await loop.calls(1);
    expect(loop.held().poolLeaves.size).toBe(0);
    // Another snapshot with the same pools, and time: no second call.
    loop.setPools(["pl-1"]);
    await loop.waiting();
    loop.clock.advance(hourMs);
    await loop.waiting();
    expect(loop.control.calls).toHaveLength(1);
    loop.control.pools = ["pl-1", "pl-2"];
    loop.setPools(["pl-2", "pl-1"]);
    await loop.calls(2);
    expect([...loop.held().poolLeaves.keys()]).toEqual(["pl-1", "pl-2"]);
  });

  it("are asked for at start when the identity lacks them, and not when it has them in any order", async () => {
    const missing = stage({ pools: ["pl-1"] });
    await missing.calls(1);
    const leaf = await pki.leaf("pool", "pl-1", { nowMs });
    const poolLeaves = new Map([["pl-2", leaf] as const, ["pl-1", leaf] as const]);
    const complete = stage({ pools: ["pl-1", "pl-2"], start: { ...identity, poolLeaves } });
    await complete.waiting();
    expect(complete.control.calls).toEqual([]);
  });

  it("come back after a recovery, which brings none", async () => {
    const leaf = await pki.leaf("pool", "pl-1", { nowMs });
    const loop = stage({ pools: ["pl-1"], start: { ...identity, poolLeaves: new Map([["pl-1", leaf]]) } });
    loop.control.pools = ["pl-1"];
    loop.clock.advance(limits.leafLifeMs + 1_000);
    await loop.calls(2);
    expect(loop.control.calls.map(({ kind }) => kind)).toEqual(["recover", "renew"]);
    expect([...loop.held().poolLeaves.keys()]).toEqual(["pl-1"]);
  });
});

function spkiOfPem(keyPem: string): Uint8Array {
  return createPublicKey(keyPem).export({ type: "spki", format: "der" });
}
