/** What an offline policy may say. Pure checks of what an operator asks for; every problem is named, not only the first. */

import { limits } from "../../lib/limits.ts";
import type { OfflineModeName, OfflineSpec } from "../store/offline-policies.ts";
import { Problems } from "./problems.ts";

export interface OfflineDraft {
  readonly mode: string | undefined;
  readonly continueForMs: bigint;
  readonly graceMs: bigint;
}

const MODES = ["continue", "continue-for", "existing-only", "fail-closed"] as const;
const HAVE_GRACE: readonly (string | undefined)[] = ["existing-only", "fail-closed"];

/** Checks a policy. Throws `invalid_argument` (INVALID_FIELD) naming every problem. */
export function checkOffline(draft: OfflineDraft): OfflineSpec {
  const problems = new Problems();
  const mode = MODES.find((each) => each === draft.mode);
  const within = (field: string, value: bigint, maxMs: number): void => {
    if (value === 0n || (value >= limits.offlineBoundMinMs && value <= maxMs)) return;
    problems.add(field, `0 (the default) or ${limits.offlineBoundMinMs} to ${maxMs} milliseconds`);
  };
  if (mode === undefined) problems.add("mode", `name the mode: ${MODES.join(", ")}`);
  within("continue_for_ms", draft.continueForMs, limits.continueForMaxMs);
  within("grace_ms", draft.graceMs, limits.offlineGraceMaxMs);
  if (draft.continueForMs !== 0n && mode !== "continue-for")
    problems.add("continue_for_ms", "means nothing but with continue-for");
  if (draft.graceMs !== 0n && !HAVE_GRACE.includes(mode))
    problems.add("grace_ms", "means nothing but with existing-only and fail-closed");
  problems.throwIfAny();
  return {
    mode: mode as OfflineModeName,
    continueForMs: Number(draft.continueForMs),
    graceMs: Number(draft.graceMs),
  };
}
