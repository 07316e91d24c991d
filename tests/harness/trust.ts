/** A small trust domain for tests: one cluster's roots, leaves on demand, expectations that accept its members. */

import { createRoot, type IssuingCa, issueLeaf } from "../../certs/ca.ts";
import type { Expectation } from "../../certs/judge.ts";
import { generateP256, privateKeyPem } from "../../certs/keys.ts";
import { type LeafOf, leafOfKind, type RootsOf, rootsOfKind } from "../../certs/material.ts";
import { clusterSegment, type SpiffeKind, spiffeKinds } from "../../certs/spiffe.ts";
import { systemRandom } from "../../lib/random.ts";

export const TRUST_DOMAIN = "weft-test.internal";

export class TestTrust {
  readonly clusterId: string;
  readonly #cas: ReadonlyMap<SpiffeKind, IssuingCa>;

  private constructor(clusterId: string, cas: ReadonlyMap<SpiffeKind, IssuingCa>) {
    this.clusterId = clusterId;
    this.#cas = cas;
  }

  static async create(clusterId = "cl-one"): Promise<TestTrust> {
    const cas = new Map<SpiffeKind, IssuingCa>();
    for (const kind of spiffeKinds) {
      const clusterName = clusterSegment(kind, clusterId);
      cas.set(kind, await createRoot({ kind, clusterName, generation: 1, nowMs: Date.now(), random: systemRandom }));
    }
    return new TestTrust(clusterId, cas);
  }

  ca(kind: SpiffeKind): IssuingCa {
    const ca = this.#cas.get(kind);
    if (ca === undefined) throw new Error(`no ${kind} root`);
    return ca;
  }

  roots<K extends SpiffeKind>(kind: K): RootsOf<K> {
    return rootsOfKind(kind, [this.ca(kind).root.der]);
  }

  /** A leaf of `kind` with id `id`; `lifeMs` shortens it. */
  async leaf<K extends SpiffeKind>(kind: K, id: string, lifeMs?: number): Promise<LeafOf<K>> {
    const keys = generateP256();
    const named = kind === "node" || kind === "control" || kind === "pool";
    const issued = await issueLeaf(this.ca(kind), {
      id: { trustDomain: TRUST_DOMAIN, clusterId: clusterSegment(kind, this.clusterId), kind, id },
      spkiDer: keys.spkiDer,
      ...(named ? { dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"] } : {}),
      nowMs: Date.now(),
      random: systemRandom,
      ...(lifeMs === undefined ? {} : { lifeMs }),
    });
    return leafOfKind(kind, privateKeyPem(keys.privateKey), issued.certificateDer);
  }

  expect<K extends SpiffeKind>(kind: K, more: Partial<Expectation<K>> = {}): Expectation<K> {
    return {
      kind,
      trustDomain: TRUST_DOMAIN,
      clusterId: this.clusterId,
      roots: this.roots(kind),
      nowMs: () => Date.now(),
      ...more,
    };
  }
}
