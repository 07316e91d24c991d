/** What the services of this folder are made from, and what all of them do with it. */

import type { HandlerContext } from "@connectrpc/connect";
import { WeftError } from "../../lib/errors.ts";
import { sourcePrefix } from "../../lib/source-prefix.ts";
import { type Caller, kCaller } from "../../rpc/caller.ts";
import type { Allowlist } from "../domain/allowlist.ts";
import type { Authority } from "../domain/authority.ts";
import type { Issuer } from "../domain/issue.ts";
import { refusalLedger } from "../domain/refusals.ts";
import type { AuditEntry } from "../store/audit.ts";
import type { StoreContext } from "../store/context.ts";
import type { Queryable } from "../store/sql.ts";

export interface ServiceDeps extends StoreContext {
  readonly authority: Authority;
  readonly allowlist: Allowlist;
}

/** Who calls, as the connection proved it. */
export function callerOf(context: HandlerContext): Caller {
  return context.values.get(kCaller);
}

/** What leaves are issued with. */
export async function issuerOf(deps: ServiceDeps, q: Queryable): Promise<Issuer> {
  const { trustDomain } = await deps.authority.installation(q);
  return { ctx: deps, authority: deps.authority, trustDomain };
}

/**
 * Runs a change; a refusal (a `WeftError` that says no, not one that says "not now") is recorded before it is passed on, as
 * often as refusals are (control/domain/refusals.ts). A refusal that cannot be recorded becomes the failure to record it.
 */
export async function recordingRefusal<T>(
  deps: StoreContext,
  entry: Omit<AuditEntry, "result"> & { readonly source?: string },
  fn: () => Promise<T>,
): Promise<T> {
  try {
    return await fn();
  } catch (thrown) {
    if (thrown instanceof WeftError && isRefusal(thrown)) {
      const { source, ...rest } = entry;
      const caller =
        source === undefined ? { key: entry.actor, known: true } : { key: sourcePrefix(source), known: false };
      await refusalLedger(deps).record({ ...rest, result: `refused:${thrown.detail}` }, caller, thrown);
    }
    throw thrown;
  }
}

function isRefusal(error: WeftError): boolean {
  return (
    error.reason !== "unavailable" &&
    error.reason !== "aborted" &&
    error.reason !== "invalid_argument" &&
    error.reason !== "internal"
  );
}

/** Throws `invalid_argument` (INVALID_FIELD) naming the field. */
export function invalid(field: string, message: string): WeftError {
  return new WeftError("invalid_argument", message, { detail: "INVALID_FIELD", metadata: { field } });
}

/** A short text from a request: at most `maxChars`, no control or formatting characters (bidi included). */
export function plainText(field: string, text: string, maxChars: number): string {
  if (text.length > maxChars) throw invalid(field, `${field} is too long: at most ${maxChars} characters`);
  if (/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text)) throw invalid(field, `${field} contains control characters`);
  return text;
}
