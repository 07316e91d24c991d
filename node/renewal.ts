/**
 * Keeps the leaf fresh: renewed at a third of its life with jitter, so that a total control outage of two thirds costs
 * nothing. An expired leaf is recovered by the enrolled key. An egress also renews when its pools changed.
 */

import type { Client } from "@connectrpc/connect";
import { makeCsr } from "../certs/csr.ts";
import { generateP256Async, keyPairFromPem, privateKeyPem, signEs256 } from "../certs/keys.ts";
import type { EnrollmentService } from "../gen/weft/enrollment/v1/enrollment_pb.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import { messageOf } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { ReplaceableIdentityHolder } from "./identity-store.ts";
import { identityFrom } from "./leaf.ts";
import type { NodeEvents, NodeIdentity } from "./ports.ts";

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
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly events: NodeEvents;
}

const retryFirstMs = 1_000;
const retryMaxMs = 300_000;
const renewalGapMs = 1_000;

/** When to renew: a third of the life after issue, spread by 10 % of the life. Milliseconds since the epoch. */
export function renewalDueMs(identity: NodeIdentity, random: Random): number {
  const fromMs = identity.leaf.notBeforeMs;
  const lifeMs = identity.leaf.notAfterMs - fromMs;
  return fromMs + lifeMs * (limits.renewAtShare + 0.1 * (random.float() - 0.5));
}

/** Timers of the host end at 2^31 ms; waking once an hour costs nothing. */
const waitMaxMs = 3_600_000;

/** One renewal, or recovery when the leaf has expired. A fresh key every time: an old key that leaked stays old. */
async function renewOnce(deps: RenewalDeps, signal: AbortSignal): Promise<"renewed" | "recovered"> {
  const held = deps.identity.current();
  const keys = await generateP256Async();
  const csr = await makeCsr(keys);
  const keyPem = privateKeyPem(keys.privateKey);
  const nowMs = deps.clock.nowMs();
  const expired = held.leaf.notAfterMs <= nowMs;
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

/** Renews until `signal` aborts. Never rejects. */
export async function runRenewal(deps: RenewalDeps, signal: AbortSignal): Promise<void> {
  let retryMs = retryFirstMs;
  let dueMs = renewalDueMs(deps.identity.current(), deps.random);
  // Asked once per set of pools: when control disagrees about them, the next snapshot settles it, not a loop.
  let askedForPools = [...deps.identity.current().poolLeaves.keys()].sort().join();
  while (!signal.aborted) {
    const nowMs = deps.clock.nowMs();
    const pools = [...deps.poolIds()].sort().join();
    if (nowMs < dueMs && pools === askedForPools) {
      const wake = new AbortController();
      const waiting = AbortSignal.any([signal, wake.signal]);
      await Promise.race([sleep(deps.clock, Math.min(waitMaxMs, dueMs - nowMs), waiting), deps.poolsChanged(waiting)]);
      wake.abort();
      continue;
    }
    try {
      const how = await renewOnce(deps, signal);
      // A recovery brings no pool certificates: what this node serves is asked for once it can renew.
      askedForPools = how === "recovered" ? "" : pools;
      retryMs = retryFirstMs;
      // A clock far ahead of control's makes every leaf due at once; that must not become a loop without a pause.
      dueMs = Math.max(renewalDueMs(deps.identity.current(), deps.random), deps.clock.nowMs() + renewalGapMs);
    } catch (thrown) {
      if (signal.aborted) return;
      deps.log.warn("renewal failed", { error: messageOf(thrown), durationMs: retryMs });
      await sleep(deps.clock, retryMs * (0.8 + 0.4 * deps.random.float()), signal);
      retryMs = Math.min(retryMaxMs, retryMs * 2);
    }
  }
}
