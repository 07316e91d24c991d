/** What the probes of one link say so far: a holder of the routing engine's observation, which does all the arithmetic. */

import { type LinkObservation, type LinkSample, observe } from "../fabric/routing/observe.ts";
import { limits } from "../lib/limits.ts";

export class LinkMeter {
  readonly #startedAtMs: number;
  #observation: LinkObservation | undefined;

  /** `startedAtMs`: wall time from which on the link is wanted. */
  constructor(startedAtMs: number) {
    this.#startedAtMs = startedAtMs;
  }

  /** Undefined until something was measured. */
  get observation(): LinkObservation | undefined {
    return this.#observation;
  }

  /** A probe came back after `rttMs`; `atMs` is wall time. */
  answered(rttMs: number, atMs: number): void {
    this.#take({ kind: "ok", atMs, rttMs });
  }

  /** A probe did not come back in time, the link went down, or was down for a whole period. */
  failed(atMs: number): void {
    // Both ends of a link start and dial in their own time: before the first answer, silence says nothing for a while.
    if (this.#observation === undefined && atMs - this.#startedAtMs < limits.linkStartGraceMs) return;
    this.#take({ kind: "failed", atMs, timeoutMs: limits.probeDeadlineMs });
  }

  #take(sample: LinkSample): void {
    this.#observation = observe(this.#observation, sample);
  }
}
