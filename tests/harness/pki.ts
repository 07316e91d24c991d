/** A whole installation's worth of roots, and leaves from them, for tests. */

import { createRoot, type IssuedLeaf, type IssuingCa, issueLeaf } from "../../certs/ca.ts";
import type { Expectation } from "../../certs/judge.ts";
import { generateP256, type KeyPair, privateKeyPem } from "../../certs/keys.ts";
import { type LeafOf, leafOfKind, type RootsOf, rootsOfKind } from "../../certs/material.ts";
import { clusterSegment, type SpiffeKind, spiffeKinds } from "../../certs/spiffe.ts";
import { systemClock } from "../../lib/clock.ts";
import { systemRandom } from "../../lib/random.ts";

export interface LeafWishes {
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly lifeMs?: number;
  readonly nowMs?: number;
  readonly keys?: KeyPair;
}

export class TestPki {
  readonly trustDomain = "weft.test";
  readonly clusterId: string;
  readonly cas: Record<SpiffeKind, IssuingCa>;
  readonly #roots = new Map<SpiffeKind, RootsOf<SpiffeKind>>();

  constructor(clusterId: string, cas: Record<SpiffeKind, IssuingCa>) {
    this.clusterId = clusterId;
    this.cas = cas;
  }

  /** The roots of one kind; the same object at each call. */
  roots<K extends SpiffeKind>(kind: K): RootsOf<K> {
    const roots = this.#roots.get(kind) ?? rootsOfKind(kind, [this.cas[kind].root.der]);
    this.#roots.set(kind, roots);
    return roots as RootsOf<K>;
  }

  /** A leaf issued the regular way, as bytes. */
  async issue(kind: SpiffeKind, id: string, wishes: LeafWishes = {}): Promise<{ issued: IssuedLeaf; keys: KeyPair }> {
    const { keys = generateP256(), nowMs = systemClock.nowMs(), ...rest } = wishes;
    const issued = await issueLeaf(this.cas[kind], {
      id: { trustDomain: this.trustDomain, clusterId: clusterSegment(kind, this.clusterId), kind, id },
      spkiDer: keys.spkiDer,
      nowMs,
      random: systemRandom,
      ...rest,
    });
    return { issued, keys };
  }

  /** A leaf with its key, ready for `tlsOptions`. */
  async leaf<K extends SpiffeKind>(kind: K, id: string, wishes: LeafWishes = {}): Promise<LeafOf<K>> {
    const { issued, keys } = await this.issue(kind, id, wishes);
    return leafOfKind(kind, privateKeyPem(keys.privateKey), issued.certificateDer);
  }

  /** Whom to expect: any member of `kind`, unless `over` says more. */
  expect<K extends SpiffeKind>(kind: K, over: Partial<Expectation<K>> = {}): Expectation<K> {
    return {
      kind,
      trustDomain: this.trustDomain,
      clusterId: this.clusterId,
      roots: this.roots(kind),
      nowMs: () => systemClock.nowMs(),
      ...over,
    };
  }
}

/** Fresh roots of every kind. */
export async function makePki(clusterId = "c1"): Promise<TestPki> {
  const nowMs = systemClock.nowMs();
  const pairs = await Promise.all(
    spiffeKinds.map(async (kind) => {
      const clusterName = clusterSegment(kind, clusterId);
      return [kind, await createRoot({ kind, clusterName, generation: 1, nowMs, random: systemRandom })] as const;
    }),
  );
  return new TestPki(clusterId, Object.fromEntries(pairs) as Record<SpiffeKind, IssuingCa>);
}
