/**
 * What a client believes, kept in step with rotations: entries hand on the trust bundle as the installation key signed it,
 * and a client that pins that key takes the roots of entries and pools from it, while the ones it has are still good.
 *
 * CT1. An entry cannot make a client believe anything: the bundle counts by the signature of the pinned installation key.
 * CT2. An older bundle never comes back. A client folder keeps the newest one; texts and functions are left alone.
 */

import { join } from "node:path";
import type { Client } from "@connectrpc/connect";
import { issuerIn, rootsOf, taintedIssuers, verifyTrustBundle } from "../certs/bundle.ts";
import type { LeafOf, RootsOf } from "../certs/material.ts";
import type { PathService } from "../gen/weft/access/v1/access_pb.ts";
import type { TrustBundle } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { messageOf } from "../lib/errors.ts";
import { readFileIfAny, replaceFile } from "../lib/files.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { ClientIdentity } from "./identity.ts";

export interface ClientTrustOptions {
  readonly read: () => ClientIdentity;
  /** The client folder, if that is where the identity is. */
  readonly folder: string | undefined;
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

  /** Asks an entry for a newer bundle. Never rejects: what is held stays. */
  async learn(entry: Pick<Client<typeof PathService>, "getClientTrust">): Promise<void> {
    const held = this.identity();
    if (held.installationKeyHash === undefined) return;
    try {
      const heldVersion = BigInt(held.bundleVersion);
      const answer = await entry.getClientTrust({ heldVersion }, { timeoutMs: limits.clientTrustWithinMs });
      if (answer.bundle.length === 0) return;
      const wire = { bytes: answer.bundle, signature: answer.signature };
      this.#take(verifyTrustBundle(wire, answer.installationPublicKey, held.installationKeyHash), held);
    } catch (thrown) {
      this.#options.log.warn("newer roots could not be learnt", { error: messageOf(thrown) });
    }
  }

  #take(bundle: TrustBundle, held: ClientIdentity): void {
    const version = Number(bundle.version);
    const isOurs = bundle.clusterId === held.clusterId && bundle.trustDomain === held.trustDomain;
    if (!isOurs || version <= held.bundleVersion) return;
    this.#newer = { version, entryRoots: rootsOf(bundle, "node"), poolRoots: rootsOf(bundle, "pool"), bundle };
    if (this.#options.folder !== undefined) writeTrust(this.#options.folder, bundle);
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
