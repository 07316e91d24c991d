/**
 * What a client believes, kept in step with rotations: entries hand on the trust bundle as the installation key signed it,
 * and a client that pins that key takes the roots of entries and pools from it, while the ones it has are still good.
 *
 * CT1. An entry cannot make a client believe anything: the bundle counts by the signature of the pinned installation key.
 * CT2. An older bundle never comes back. A client folder keeps the newest one; texts and functions are left alone.
 * CT3. An entry that answers at once, with nothing new, time and again, costs a client a call every so often and no more.
 */

import { join } from "node:path";
import type { Client } from "@connectrpc/connect";
import { issuerIn, rootsOf, taintedIssuers, verifyTrustBundle } from "../certs/bundle.ts";
import type { LeafOf, RootsOf } from "../certs/material.ts";
import type { PathService } from "../gen/weft/access/v1/access_pb.ts";
import type { TrustBundle } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import { messageOf } from "../lib/errors.ts";
import { readFileIfAny, replaceFile } from "../lib/files.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { ClientIdentity } from "./identity.ts";

export interface ClientTrustOptions {
  readonly read: () => ClientIdentity;
  /** The client folder, if that is where the identity is. */
  readonly folder: string | undefined;
  /** There is another bundle: own leaves may be from a root that is about to go. */
  readonly onNews?: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

interface Newer {
  readonly version: number;
  readonly entryRoots: RootsOf<"node">;
  readonly poolRoots: RootsOf<"pool">;
  readonly bundle: TrustBundle;
}

export class ClientTrust {
  readonly #options: ClientTrustOptions;
  #newer: Newer | undefined;

  constructor(options: ClientTrustOptions) {
    this.#options = options;
  }

  /** The identity as its owner keeps it, with the newest roots there are. */
  identity(): ClientIdentity {
    const own = this.#options.read();
    if (this.#newer === undefined || this.#newer.version <= own.bundleVersion) return own;
    const { version: bundleVersion, entryRoots, poolRoots } = this.#newer;
    return { ...own, bundleVersion, entryRoots, poolRoots };
  }

  /** Whether a leaf of this client is from a root that is about to go: another one is asked for now. */
  isTainted(leaf: Pick<LeafOf<"client">, "certificateDer">): boolean {
    if (this.#newer === undefined) return false;
    const tainted = taintedIssuers(this.#newer.bundle);
    return tainted.size > 0 && tainted.has(issuerIn(this.#newer.bundle, leaf.certificateDer) ?? "");
  }

  /**
   * Hears of every newer bundle from an entry until `signal` aborts. Never rejects: what is held stays. An entry that does not
   * keep it waiting is asked again after `limits.clientTrustRetryMs` (CT3).
   */
  async follow(entry: Pick<Client<typeof PathService>, "getClientTrust">, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    // At once for the first time, and whatever is held: roots are kept without what a rotation makes of them.
    for (let wait = false; !signal.aborted; wait = true) {
      try {
        const { installationKeyHash, bundleVersion } = this.identity();
        if (installationKeyHash === undefined) return;
        const request = { heldVersion: wait ? BigInt(bundleVersion) : 0n, wait };
        const askedMs = clock.monoMs();
        const answer = await entry.getClientTrust(request, { signal, timeoutMs: limits.clientTrustWithinMs });
        const wire = { bytes: answer.bundle, signature: answer.signature };
        const isTaken =
          answer.bundle.length > 0 &&
          this.#take(verifyTrustBundle(wire, answer.installationPublicKey, installationKeyHash));
        if (wait && !isTaken && clock.monoMs() - askedMs < limits.clientTrustRetryMs)
          await sleep(clock, limits.clientTrustRetryMs, signal);
      } catch (thrown) {
        if (signal.aborted) return;
        log.warn("newer roots could not be learnt", { error: messageOf(thrown) });
        await sleep(clock, limits.clientTrustRetryMs, signal);
      }
    }
  }

  /** Whether it was news. */
  #take(bundle: TrustBundle): boolean {
    const held = this.identity();
    const version = Number(bundle.version);
    const isOurs = bundle.clusterId === held.clusterId && bundle.trustDomain === held.trustDomain;
    if (!isOurs || version < held.bundleVersion || version === this.#newer?.version) return false;
    this.#newer = { version, entryRoots: rootsOf(bundle, "node"), poolRoots: rootsOf(bundle, "pool"), bundle };
    const { folder, onNews } = this.#options;
    if (folder !== undefined && version > held.bundleVersion) writeTrust(folder, bundle);
    onNews?.();
    return true;
  }
}

/** Puts the roots of a bundle into a client folder; its key and certificate stay as they are. */
export function writeTrust(folder: string, bundle: TrustBundle): void {
  const pem = (kind: "node" | "pool"): string =>
    rootsOf(bundle, kind)
      .roots.map((root) => root.pem)
      .join("");
  replaceFile(join(folder, "servers.pem"), pem("node"), 0o644);
  replaceFile(join(folder, "pools.pem"), pem("pool"), 0o644);
  const facts = join(folder, "client.json");
  const stored = JSON.parse(readFileIfAny(facts)?.toString() ?? "{}") as Record<string, unknown>;
  const next = { ...stored, bundleVersion: Number(bundle.version) };
  replaceFile(facts, `${JSON.stringify(next, null, 2)}\n`, 0o644);
}
