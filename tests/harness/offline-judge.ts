/** An offline desk whose answers a test decides. */

import type { OfflineVerdict } from "../../fabric/offline.ts";
import type { OfflineJudge } from "../../node/offline-desk.ts";

export type Allowed = Pick<OfflineVerdict, "newChannels" | "existing">;

/** Everything is allowed, or what `allowed` says when it is asked. */
export function offlineJudge(allowed: () => Partial<Allowed> = () => ({})): OfflineJudge {
  const verdict = (): OfflineVerdict => {
    const endMs = Number.POSITIVE_INFINITY;
    return { newChannels: true, existing: true, newUntilMs: endMs, existingUntilMs: endMs, ...allowed() };
  };
  return { path: verdict, channel: verdict, cutsPaths: () => !verdict().existing, hold: () => {} };
}
