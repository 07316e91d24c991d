/**
 * An operator's context follows rotations: every command that is the first for a while asks control's public port for the
 * trust bundle, which proves itself by the installation key pinned in the context. New roots are so known before they are
 * in use, and an own certificate of a root that is about to go is renewed. A context that slept through a rotation heals
 * the same way: what it pins does not rotate.
 */

import { issuerIn, taintedIssuers } from "../certs/bundle.ts";
import { systemClock } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import { loadOperatorContext, type OperatorContext, saveRootsChecked } from "../rpc/operator-context.ts";
import { fetchBundle, learnBundles } from "./cluster-roots.ts";
import { asOnlyWriter } from "./context-lock.ts";

export interface FreshContext {
  readonly context: OperatorContext;
  /** The operator's own certificate is from a root that is about to go. */
  readonly isTainted: boolean;
}

/** The context with the newest roots, looked for when that was long ago or `now`. Never throws: what is held stays. */
export async function withFreshRoots(context: OperatorContext, now = false): Promise<FreshContext> {
  const nowMs = systemClock.nowMs();
  const checkedMs = context.rootsCheckedAtMs ?? 0;
  // A clock that was set back must not keep a context from looking.
  const isFresh = nowMs >= checkedMs && nowMs - checkedMs < limits.contextRootsEveryMs;
  if (isFresh && !now) return { context, isTainted: false };
  try {
    const bundles = await Promise.all(context.clusters.map(({ slug }) => fetchBundle(context, slug)));
    const fresh = await learnBundles(context, bundles, { rootsCheckedAtMs: nowMs });
    // The operator root is the same in every one.
    const isTainted = bundles.some((bundle) => {
      const issuer = issuerIn(bundle, context.leaf.certificateDer);
      return issuer === undefined || taintedIssuers(bundle).has(issuer);
    });
    return { context: fresh, isTainted };
  } catch {
    // The public port may be out of this operator's reach: nothing is lost by that but being early.
    await checked(context, nowMs).catch(() => {});
    return { context, isTainted: false };
  }
}

async function checked(context: OperatorContext, nowMs: number): Promise<void> {
  await asOnlyWriter(context.dir, async () => saveRootsChecked(loadOperatorContext(context.dir), nowMs));
}
