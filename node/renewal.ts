/**
 * Keeps the leaf fresh: renewed at a third of its life with jitter, so that a total control outage of two thirds costs
 * nothing. An expired leaf is recovered by the enrolled key. An egress also renews when its pools changed, and any node when
 * somebody wishes it to (node/renewal-trigger.ts).
 */

import type { Client } from "@connectrpc/connect";
import { makeCsr } from "../certs/csr.ts";
import { generateP256Async, type KeyPair, keyPairFromPem, privateKeyPem, signEs256 } from "../certs/keys.ts";
import { leafDueMs, withinLife } from "../certs/leaf-life.ts";
import type { EnrollmentService } from "../gen/weft/enrollment/v1/enrollment_pb.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import { messageOf } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import { isLeafTrusted } from "./bundle-keeper.ts";
import type { ReplaceableIdentityHolder } from "./identity-store.ts";
import { identityFrom } from "./leaf.ts";
import type { NodeEvents, NodeIdentity } from "./ports.ts";
import type { RenewalTrigger } from "./renewal-trigger.ts";

export interface RenewalDeps {
  /** Over the node's own certificate. */
  readonly client: () => Client<typeof EnrollmentService>;
  /** Over the join name, for a node whose leaf has expired. */
  readonly recoveryClient: () => Client<typeof EnrollmentService>;
  readonly identity: ReplaceableIdentityHolder;
  /** Pools this node serves according to its snapshot. */
  readonly poolIds: () => readonly string[];
  /** Resolves when `poolIds` may have changed, or on abort. */
  readonly poolsChanged: (signal: AbortSignal) => Promise<void>;
  readonly trigger: RenewalTrigger;
  /** Newest signed time seen: a clock that was set back makes no expired leaf renewable. */
  readonly newestSignedMs: () => number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly events: NodeEvents;
}

const retryFirstMs = 1_000;
const retryMaxMs = 300_000;
/** Of a leaf's life, for leaves so short that the waits above would cost them much of it. */
const retryLifeShare = 1 / 12;
const renewalGapMs = 1_000;

/** When to renew: a third of the life after issue, spread by 10 % of the life. Milliseconds since the epoch. */
export function renewalDueMs(identity: NodeIdentity, random: Random): number {
  return leafDueMs(identity.leaf, random.float() - 0.5);
}

/** Timers of the host end at 2^31 ms; waking once an hour costs nothing. */
const waitMaxMs = 3_600_000;

/**
 * One renewal, or recovery when the leaf has expired. A fresh key for every leaf: an old key that leaked stays old. An attempt
 * after one that failed asks with the same key again: its answer may have got lost, and control gives out no second leaf
 * beside one that may act.
 */
async function renewOnce(deps: RenewalDeps, keys: KeyPair, signal: AbortSignal): Promise<"renewed" | "recovered"> {
  const held = deps.identity.current();
  const csr = makeCsr(keys);
  const keyPem = privateKeyPem(keys.privateKey);
  const nowMs = deps.clock.nowMs();
  // A leaf of a root that is trusted no more is as good as an expired one.
  const expired = held.leaf.notAfterMs <= Math.max(nowMs, deps.newestSignedMs()) || !isLeafTrusted(held);
  if (!expired) {
    const answer = await deps.client().renew({ csr }, { signal, timeoutMs: limits.rpcDeadlineMaxMs });
    if (answer.identity === undefined) throw new Error("control answered a renewal without an identity");
    deps.identity.replace(identityFrom(answer.identity, keyPem, answer.poolCertificates));
  } else {
    const enrolled = keyPairFromPem(held.leaf.keyPem);
    const statement = Buffer.concat([Buffer.from("weft/recover/v1\0"), csr, Buffer.from(String(nowMs))]);
    const answer = await deps.recoveryClient().recover(
      {
        expiredCertificateDer: held.leaf.certificateDer,
        csr,
        issuedAtMs: BigInt(nowMs),
        signature: signEs256(enrolled.privateKey, statement),
      },
      { signal, timeoutMs: limits.rpcDeadlineMaxMs },
    );
    if (answer.identity === undefined) throw new Error("control answered a recovery without an identity");
    deps.identity.replace(identityFrom(answer.identity, keyPem, []));
  }
  deps.events.emit("certificate_renewed", { serial: deps.identity.current().leaf.serialHex });
  deps.log.info("certificate renewed");
  return expired ? "recovered" : "renewed";
}

/** The key that was asked for with and not answered, by this run or the one before; else a fresh one, kept first. */
async function pendingKeys({ identity, log }: RenewalDeps): Promise<KeyPair> {
  try {
    const kept = identity.pendingKey();
    if (kept !== undefined) return keyPairFromPem(kept);
  } catch (thrown) {
    const error = messageOf(thrown);
    log.warn("the key of a renewal that was not answered cannot be read; another one is made", { error });
  }
  const keys = await generateP256Async();
  identity.keepPendingKey(privateKeyPem(keys.privateKey));
  return keys;
}

/** Renews until `signal` aborts. Never rejects. */
export async function runRenewal(deps: RenewalDeps, signal: AbortSignal): Promise<void> {
  const { clock, trigger, random } = deps;
  const heldLeaf = (): NodeIdentity["leaf"] => deps.identity.current().leaf;
  const nowMs = (): number => Math.max(clock.nowMs(), deps.newestSignedMs());
  let failures = 0;
  let dueMs = renewalDueMs(deps.identity.current(), random);
  // Asked once per set of pools: when control disagrees about them, the next snapshot settles it, not a loop.
  let askedForPools = [...deps.identity.current().poolLeaves.keys()].sort().join();
  while (!signal.aborted) {
    const pools = [...deps.poolIds()].sort().join();
    const wish = trigger.dueInMs() === 0 ? trigger.wish() : undefined;
    if (nowMs() < dueMs && pools === askedForPools && wish === undefined) {
      await waitFor(deps, Math.min(dueMs - nowMs(), trigger.dueInMs()), signal);
      continue;
    }
    try {
      const how = await renewOnce(deps, await pendingKeys(deps), signal);
      trigger.fulfilled(wish);
      // A recovery brings no pool certificates: what this node serves is asked for once it can renew.
      askedForPools = how === "recovered" ? "" : pools;
      failures = 0;
      // A clock far ahead of control's makes every leaf due at once; that must not become a loop without a pause.
      dueMs = Math.max(renewalDueMs(deps.identity.current(), random), nowMs() + renewalGapMs);
    } catch (thrown) {
      if (signal.aborted) return;
      const firstMs = withinLife(heldLeaf(), retryFirstMs, retryLifeShare);
      const retryMs = Math.min(
        withinLife(heldLeaf(), retryMaxMs, retryLifeShare),
        firstMs * 2 ** Math.min(failures, 16),
      );
      failures += 1;
      deps.log.warn("renewal failed", { error: messageOf(thrown), durationMs: retryMs });
      await sleep(clock, retryMs * (0.8 + 0.4 * random.float()), signal);
    }
  }
}

/** Waits until the leaf or a wish may be due, or the pools or the wish may have changed. */
async function waitFor(deps: RenewalDeps, dueInMs: number, signal: AbortSignal): Promise<void> {
  const wake = new AbortController();
  const waiting = AbortSignal.any([signal, wake.signal]);
  const dueMs = Math.min(waitMaxMs, Math.max(1, dueInMs));
  await Promise.race([sleep(deps.clock, dueMs, waiting), deps.poolsChanged(waiting), deps.trigger.changed()]);
  wake.abort();
}
