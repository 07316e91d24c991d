/** What a route intent may say. Pure checks of what an operator asks for; every problem is named, not only the first. */

import { limits } from "../../lib/limits.ts";
import { checkName } from "./placement.ts";
import { Problems } from "./problems.ts";

export type IntentActionName = "prefer" | "avoid" | "require-region" | "direct";

/** An intent with every name resolved to an id; an absent field was left open. */
export interface IntentDraft {
  readonly name: string;
  readonly serviceClass: string | undefined;
  readonly action: IntentActionName | undefined;
  readonly hasPool: boolean;
  readonly hasResource: boolean;
  readonly hasNode: boolean;
  readonly region: string;
  readonly expiresAtMs: bigint;
  readonly nowMs: number;
}

const REGION = /^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?$/;

/** Checks an intent. Throws `invalid_argument` (INVALID_FIELD) naming every problem. */
export function checkIntent(draft: IntentDraft): void {
  const problems = new Problems();
  try {
    checkName(draft.name);
  } catch (thrown) {
    problems.add("name", thrown instanceof Error ? thrown.message : "not a name");
  }
  if (draft.hasPool && draft.hasResource) problems.add("pool_id", "name a pool or a resource, not both");
  if (draft.region !== "" && !REGION.test(draft.region)) {
    problems.add("region", "a region is letters, digits and inner dots, dashes and underscores, at most 63");
  }
  checkSubject(draft, problems);
  const expires = draft.expiresAtMs;
  if (expires !== 0n && expires <= BigInt(Math.floor(draft.nowMs))) problems.add("expires_at_ms", "already over");
  if (expires > BigInt(Number.MAX_SAFE_INTEGER) || expires < 0n) problems.add("expires_at_ms", "not a date");
  problems.throwIfAny();
}

/** Each action says what it needs to be told, and what it has no use for. */
function checkSubject({ action, hasNode, region }: IntentDraft, problems: Problems): void {
  switch (action) {
    case undefined:
      problems.add("action", "name the action: prefer, avoid, require-region or direct");
      return;
    case "prefer":
    case "avoid":
      if (hasNode === (region !== "")) problems.add("node_id", `${action} means a node or a region: name one of them`);
      return;
    case "require-region":
      if (region === "") problems.add("region", "name the region");
      if (hasNode) problems.add("node_id", "require-region means a region, not a node");
      return;
    case "direct":
      if (hasNode) problems.add("node_id", "direct means the way between the two ends: it takes no node");
      if (region !== "") problems.add("region", "direct means the way between the two ends: it takes no region");
  }
}

/** Whether one more intent fits into the cluster. */
export function intentsFull(count: number): boolean {
  return count >= limits.routeIntentsMaxCount;
}
