/** What the probes of one link say so far: a holder of the routing engine's observation, which does all the arithmetic. */

import { type LinkObservation, type LinkSample, observe } from "../fabric/routing/observe.ts";
import { errnoOf, WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";

export interface LinkProofFacts {
  /** Wall time; 0: never. */
  readonly lastSuccessAtMs: number;
  /** A class; empty: none. */
  readonly lastFailure: string;
  readonly lastFailureAtMs: number;
}

const classByErrno: Readonly<Record<string, string>> = {
  ECONNREFUSED: "refused",
  ECONNRESET: "reset",
  EPIPE: "reset",
  ETIMEDOUT: "timeout",
  EHOSTUNREACH: "unreachable",
  ENETUNREACH: "unreachable",
  EADDRNOTAVAIL: "unreachable",
  ENOTFOUND: "name",
  EAI_AGAIN: "name",
};

/** The class of a failed dial: never an address, a name or a message. */
export function failureClass(error: unknown): string {
  const errno = errnoOf(error);
  const known = errno === undefined ? undefined : classByErrno[errno];
  if (known !== undefined) return known;
  if (!(error instanceof WeftError)) return "other";
  if (error.reason === "deadline_exceeded") return "timeout";
  return error.reason === "unauthenticated" || error.reason === "permission_denied" ? "identity" : "other";
}

export class LinkMeter {
  readonly #startedAtMs: number;
  #observation: LinkObservation | undefined;
  #proof: LinkProofFacts = { lastSuccessAtMs: 0, lastFailure: "", lastFailureAtMs: 0 };

  /** `startedAtMs`: wall time from which on the link is wanted. */
  constructor(startedAtMs: number) {
    this.#startedAtMs = startedAtMs;
  }

  /** Undefined until something was measured. */
  get observation(): LinkObservation | undefined {
    return this.#observation;
  }

  /** When the neighbour last answered, and how the newest failure looked. */
  get proof(): LinkProofFacts {
    return this.#proof;
  }

  /** The same as messages carry it. */
  wireProof(): { lastSuccessAtMs: bigint; lastFailure: string; lastFailureAtMs: bigint } {
    const { lastSuccessAtMs, lastFailure, lastFailureAtMs } = this.#proof;
    return {
      lastSuccessAtMs: BigInt(Math.floor(lastSuccessAtMs)),
      lastFailure,
      lastFailureAtMs: BigInt(Math.floor(lastFailureAtMs)),
    };
  }

  /** Something failed that is no sample of the link: a dial, mostly. `why` is a class (`failureClass`). */
  noted(why: string, atMs: number): void {
    this.#proof = { ...this.#proof, lastFailure: why, lastFailureAtMs: atMs };
  }

  /** A probe came back after `rttMs`; `atMs` is wall time. */
  answered(rttMs: number, atMs: number): void {
    this.#proof = { ...this.#proof, lastSuccessAtMs: atMs };
    this.#take({ kind: "ok", atMs, rttMs });
  }

  /** A probe did not come back in time, the link went down, or was down for a whole period. */
  failed(atMs: number, why?: string): void {
    if (why !== undefined) this.noted(why, atMs);
    // Both ends of a link start and dial in their own time: before the first answer, silence says nothing for a while.
    if (this.#observation === undefined && atMs - this.#startedAtMs < limits.linkStartGraceMs) return;
    this.#take({ kind: "failed", atMs, timeoutMs: limits.probeDeadlineMs });
  }

  #take(sample: LinkSample): void {
    this.#observation = observe(this.#observation, sample);
  }
}
