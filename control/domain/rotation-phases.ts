/**
 * The rotation of one kind of root as a table: what each phase makes of the two roots, and what comes after it.
 *
 * PH1. In every phase exactly one root signs, and it has been trusted by everybody since the phase before: no leaf is ever
 *      issued from a root that somebody who counts does not believe.
 * PH2. A root is dropped only after the phase in which its leaves were called tainted, or before it ever signed.
 * PH3. Every phase can be left backwards until it is done, and ends with the root signing that signed before.
 * PH4. Each phase has a trust bundle of its own, and ends when everybody who counts has acknowledged that one.
 */

import type { AuthorityRow } from "../store/authorities.ts";

export const rotationPhases = ["publish", "sign", "taint", "drop", "restore", "revert", "withdraw"] as const;

export type RotationPhase = (typeof rotationPhases)[number];
export type RotationEnd = "done" | "rolled-back";
export type RootState = AuthorityRow["status"];

export interface PhaseRule {
  /** The root that signed before the rotation. */
  readonly old: RootState;
  /** The root that was made for it. */
  readonly next: RootState;
  /** Whose leaves are to be replaced: the phase ends when nobody holds one any more. */
  readonly tainted?: "old" | "next";
  readonly onward: RotationPhase | RotationEnd;
  /** Where a rollback leads; absent: it goes back already. */
  readonly back?: RotationPhase;
}

export const phaseRules: Readonly<Record<RotationPhase, PhaseRule>> = {
  publish: { old: "active", next: "next", onward: "sign", back: "withdraw" },
  sign: { old: "old", next: "active", onward: "taint", back: "revert" },
  taint: { old: "old", next: "active", tainted: "old", onward: "drop", back: "revert" },
  drop: { old: "dropped", next: "active", onward: "done", back: "restore" },
  restore: { old: "next", next: "active", onward: "revert" },
  revert: { old: "active", next: "old", tainted: "next", onward: "withdraw" },
  withdraw: { old: "active", next: "dropped", onward: "rolled-back" },
};

/** Whether a word is a phase that is gone through, not an end. */
export function isPhase(word: string): word is RotationPhase {
  return (rotationPhases as readonly string[]).includes(word);
}

/** Somebody a phase may wait for. */
export interface Holder {
  readonly kind: "node" | "client" | "operator" | "control";
  readonly id: string;
  readonly name: string;
  /** Nodes and control replicas: the bundle they believe by; absent for those who acknowledge nothing. */
  readonly acknowledged?: number;
  /** Of the bundle that the phase needs here. */
  readonly required?: number;
  /** Issuers of the leaves of the rotation's kind that may act now. */
  readonly issuers: readonly string[];
  /** Nodes: tainted roots that connections there still rely on. */
  readonly taintedInUse: readonly string[];
}

export interface Straggler extends Pick<Holder, "kind" | "id" | "name"> {
  readonly waitsFor: "acknowledgement" | "leaf" | "connections";
}

export interface Gate {
  readonly phase: RotationPhase;
  readonly oldKeyId: string;
  readonly nextKeyId: string;
  /** Exempted subjects. */
  readonly exempt: ReadonlySet<string>;
}

/** Whom the phase waits for; empty: it is complete. A pure function of what was said and written. */
export function stragglersOf(gate: Gate, holders: readonly Holder[]): readonly Straggler[] {
  const { tainted } = phaseRules[gate.phase];
  const taintedKeyId = tainted === undefined ? undefined : tainted === "old" ? gate.oldKeyId : gate.nextKeyId;
  return holders.flatMap((holder): Straggler[] => {
    if (gate.exempt.has(holder.id)) return [];
    const { kind, id, name, required } = holder;
    if (required !== undefined && (holder.acknowledged ?? 0) < required)
      return [{ kind, id, name, waitsFor: "acknowledgement" }];
    if (taintedKeyId === undefined) return [];
    if (holder.issuers.includes(taintedKeyId)) return [{ kind, id, name, waitsFor: "leaf" }];
    return holder.taintedInUse.includes(taintedKeyId) ? [{ kind, id, name, waitsFor: "connections" }] : [];
  });
}
