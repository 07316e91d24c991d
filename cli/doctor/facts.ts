/**
 * What `weft doctor` knows when it judges: facts as they were found, without an opinion. Gathered by the files beside this one,
 * judged by cli/doctor/judgements.ts. An empty list: there was nothing of that kind to look at.
 */

/** Where somebody looked. */
export interface PlaceFact {
  readonly kind: "operator context" | "node" | "control" | "client";
  /** The folder or file. */
  readonly at: string;
}

/** A configuration or an identity that cannot be used as it is. */
export interface ConfigurationFact {
  readonly file: string;
  readonly problems: readonly string[];
}

/** How far this host's clock is ahead of another one, as far as that could be told; or of a node's, as control measured it. */
export interface ClockFact {
  readonly whose: string;
  /** Whether it is the clock of this host that was compared with control's; else that of `whose`. */
  readonly own: boolean;
  /** Ahead of control's by at least and at most, milliseconds; negative: behind. */
  readonly aheadMs: { readonly min: number; readonly max: number };
}

export interface PortFact {
  readonly what: string;
  /** The setting that names it. */
  readonly setting: string;
  readonly host: string;
  readonly port: number;
  /** `unseen`: taken, by a process that this user cannot look at. */
  readonly state: "free" | "weft" | "taken" | "unseen" | "forbidden" | "no-address";
  /** Process id and program. */
  readonly holder?: string;
}

export interface SecretFact {
  readonly what: string;
  readonly path: string;
  readonly state: "fine" | "missing" | "mode" | "owner" | "no-file" | "unreadable";
  /** As `ls` counts it: 0644. */
  readonly mode?: string;
}

export interface NameFact {
  readonly host: string;
  /** Where it is written. */
  readonly usedBy: string;
  /** Why it does not resolve; absent: it does. */
  readonly code?: string;
}

/** One attempt to speak with control, or as a client with an entry. */
export interface DialFact {
  /** Absent: control. */
  readonly peer?: "entry";
  readonly address: string;
  readonly usedBy: string;
  readonly outcome: "answered" | "no-answer" | "unknown-root" | "dates" | "other-identity" | "refused";
  readonly why?: string;
}

export interface CertificateFact {
  readonly whose: string;
  readonly path: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly nowMs: number;
  /** How another one is had. */
  readonly fix: string;
}

export interface RoleFact {
  readonly node: string;
  readonly role: string;
  /** `ceiling`: control gives it, this host does not allow it. `missing`: something needs it and the node does not have it. */
  readonly state: "fine" | "ceiling" | "missing" | "none";
  /** What needs it, or the file that does not allow it. */
  readonly because: string;
}

export interface SnapshotFact {
  readonly node: string;
  readonly path: string;
  readonly ageMs: number;
  readonly restMs: number;
  /** Why a node would not take it. */
  readonly fault?: { readonly code: string; readonly why: string };
}

export interface DiskFact {
  readonly path: string;
  readonly what: string;
  readonly freeBytes: number;
  /** Files that can still be made; undefined where nobody counts them. */
  readonly freeFiles?: number;
  /** Why a small file could not be written there. */
  readonly writeCode?: string;
}

export interface StoreFact {
  readonly where: string;
  readonly found?: number;
  readonly expected?: number;
  /** Where to or from the store was moved; empty for one that stays. */
  readonly moved?: string;
  readonly primary?: boolean;
  /** Why nothing could be said about it. */
  readonly problem?: string;
}

export interface Facts {
  readonly places: readonly PlaceFact[];
  readonly configurations: readonly ConfigurationFact[];
  readonly clocks: readonly ClockFact[];
  readonly ports: readonly PortFact[];
  readonly secrets: readonly SecretFact[];
  readonly names: readonly NameFact[];
  readonly dials: readonly DialFact[];
  readonly certificates: readonly CertificateFact[];
  readonly roles: readonly RoleFact[];
  readonly snapshots: readonly SnapshotFact[];
  readonly disks: readonly DiskFact[];
  readonly stores: readonly StoreFact[];
}

export const noFacts: Facts = {
  places: [],
  configurations: [],
  clocks: [],
  ports: [],
  secrets: [],
  names: [],
  dials: [],
  certificates: [],
  roles: [],
  snapshots: [],
  disks: [],
  stores: [],
};

/** Facts of several places as one. */
export function together(all: readonly Partial<Facts>[]): Facts {
  const of = <Fact>(list: (facts: Partial<Facts>) => readonly Fact[] | undefined): Fact[] =>
    all.flatMap((facts) => list(facts) ?? []);
  return {
    places: of(({ places }) => places),
    configurations: of(({ configurations }) => configurations),
    clocks: of(({ clocks }) => clocks),
    ports: of(({ ports }) => ports),
    secrets: of(({ secrets }) => secrets),
    names: of(({ names }) => names),
    dials: of(({ dials }) => dials),
    certificates: of(({ certificates }) => certificates),
    roles: of(({ roles }) => roles),
    snapshots: of(({ snapshots }) => snapshots),
    disks: of(({ disks }) => disks),
    stores: of(({ stores }) => stores),
  };
}
