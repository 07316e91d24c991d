/**
 * The way back for a node that slept through a rotation: control shows a root it does not know, or knows its root no more,
 * and every call fails before it begins. After some silence it asks for the trust bundle the way a joining host does, on
 * the one kind of connection that verifies nothing, and believes it because the installation key it has pinned signed it.
 * With a leaf of a dropped root it then asks to be recovered, by the key it enrolled with (node/renewal.ts).
 */

import type { Client } from "@connectrpc/connect";
import type { EnrollmentService } from "../gen/weft/enrollment/v1/enrollment_pb.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import { messageOf } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { BundleKeeper } from "./bundle-keeper.ts";

export interface TrustHealDeps {
  /** A connection that verifies nothing; each call asks the next replica. */
  readonly firstContact: () => Pick<Client<typeof EnrollmentService>, "getTrustBundle">;
  readonly clusterSlug: () => string;
  readonly bundle: Pick<BundleKeeper, "offer">;
  /** Whether the leaf held is one that the bundle held vouches for. */
  readonly isLeafTrusted: () => boolean;
  /** How long control has been silent, ms. */
  readonly silentMs: () => number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Looks until `signal` aborts. Never rejects. */
export async function runTrustHeal(deps: TrustHealDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(deps.clock, limits.trustHealEveryMs * (0.75 + 0.5 * deps.random.float()), signal);
    if (signal.aborted || (deps.silentMs() < limits.trustHealAfterMs && deps.isLeafTrusted())) continue;
    await heal(deps, signal);
  }
}

async function heal(deps: TrustHealDeps, signal: AbortSignal): Promise<void> {
  try {
    const clusterSlug = deps.clusterSlug();
    const options = { signal, timeoutMs: limits.trustHealWithinMs };
    const answer = await deps.firstContact().getTrustBundle({ clusterSlug }, options);
    // The key in the answer is not looked at: the pinned one is what counts.
    const { bundle, signature } = answer;
    const offered = deps.bundle.offer({ $typeName: "weft.fabric.v1.SignedTrustBundle", bundle, signature });
    if (offered === "applied")
      deps.log.info("roots were rotated while control could not be heard; the new ones are known");
  } catch (thrown) {
    // Control is away: nothing to heal.
    deps.log.debug("no trust bundle could be had", { error: messageOf(thrown) });
  }
}
