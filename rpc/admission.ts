/**
 * The chain every RPC passes before its handler, raw or not: request id, identity (judged again), policy, limits. It runs
 * before a byte of the request is read, so a refused request costs no memory and no parsing.
 */

import type { TLSSocket } from "node:tls";
import { WeftError } from "../lib/errors.ts";
import { type Caller, isRefusal, type Judge } from "./caller.ts";
import { decide, type PolicyTable } from "./policy.ts";
import type { RateLimits } from "./rate-limits.ts";

export interface RefusedCall {
  readonly rpc: string;
  readonly caller: Caller;
  readonly detail: string;
  readonly requestId: string;
  /** The policy row asks for an audit record. */
  readonly audit: boolean;
  /** What the handler refused with; absent when the call did not get that far. */
  readonly error?: WeftError;
}

export interface AdmissionOptions {
  readonly policy: PolicyTable;
  readonly judge: Judge;
  readonly buckets: RateLimits;
  readonly onRefusal?: (refused: RefusedCall) => void;
}

export interface Knock {
  readonly rpc: string;
  readonly requestId: string;
  readonly socket: TLSSocket;
  /** As judged when the connection was accepted. */
  readonly caller: Caller;
}

/** The caller as judged now. Throws a `WeftError` when it may not make this call, after telling `onRefusal`. */
export async function admit(options: AdmissionOptions, knock: Knock): Promise<Caller> {
  const row = Object.hasOwn(options.policy, knock.rpc) ? options.policy[knock.rpc] : undefined;
  const refuse = (caller: Caller, error: WeftError): WeftError => {
    const { rpc, requestId } = knock;
    options.onRefusal?.({ rpc, requestId, caller, detail: error.detail, audit: row?.auditRefusal === true });
    return error;
  };
  const verdict = await options.judge(knock.socket, knock.caller);
  if (isRefusal(verdict)) throw refuse(knock.caller, identityRefused(verdict.refused));
  const decision = decide(row, verdict);
  if (!decision.allowed) {
    const error = policyRefused(decision.reason, decision.detail);
    // "Not now" is no refusal of anybody.
    throw decision.reason === "unavailable" ? error : refuse(verdict, error);
  }
  if (row !== undefined && !options.buckets.take(row.limit, verdict)) {
    throw refuse(verdict, new WeftError("resource_exhausted", "too many calls, try again later", { detail: "RATE" }));
  }
  return verdict;
}

/** The error of a connection whose identity does not hold (any more). */
export function identityRefused(detail: string): WeftError {
  return new WeftError("unauthenticated", "this identity is not accepted", { detail });
}

const messages = {
  unauthenticated: "an identity is needed",
  permission_denied: "not allowed",
  not_found: "not found",
  unavailable: "control was restored from a backup and waits for nodes to tell what it has forgotten; try again",
  internal: "internal error",
} as const;

/** The error of a policy decision. */
export function policyRefused(reason: keyof typeof messages, detail: string): WeftError {
  return new WeftError(reason, messages[reason], { detail });
}
