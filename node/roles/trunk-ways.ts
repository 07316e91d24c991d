/**
 * What an egress remembers of accepted trunks for the sake of contracts: by which entries their paths came, and which
 * isolated flow they carry. A trunk that has come by two entries, at whatever times, came by none in particular: what it
 * carries may have been in flight on either.
 */

import type { TrunkRunner } from "../../edge/trunk-runner.ts";

export class TrunkWays {
  readonly #entries = new WeakMap<TrunkRunner, Set<string>>();
  readonly #flows = new WeakMap<TrunkRunner, string>();

  /** A path was attached that this entry opened. True when the trunk had others, all by other entries. */
  came(trunk: TrunkRunner, entryNodeId: string): boolean {
    const entries = this.#entries.get(trunk) ?? new Set<string>();
    this.#entries.set(trunk, entries);
    const isNew = entries.size > 0 && !entries.has(entryNodeId);
    entries.add(entryNodeId);
    return isNew;
  }

  /** The one entry that all paths of a trunk came by; empty when there were several, or none yet. */
  entryOf(trunk: TrunkRunner): string {
    const [only = "", ...others] = this.#entries.get(trunk) ?? [];
    return others.length === 0 ? only : "";
  }

  /** Whether a trunk may carry a channel of a flow: its first channel says whose trunk it is. */
  takesFlow(trunk: TrunkRunner, flowIsolationId: string): boolean {
    const flow = this.#flows.get(trunk) ?? flowIsolationId;
    this.#flows.set(trunk, flow);
    return flow === flowIsolationId;
  }
}
