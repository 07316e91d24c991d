/**
 * The roots this node believes by: taken from its snapshots, live. A bundle counts when the installation key signed it and
 * it is newer than the one held; what it changes reaches every door, link, path and call through the identity's listeners.
 *
 * BK1. A bundle is on disk before it is believed, and believed before it is acknowledged.
 * BK2. An older bundle never comes back; one of the same version with other content is refused and said.
 * BK3. A leaf of a tainted root is replaced soon, at a random time within `limits.taintedRenewSpreadMs`.
 */

import { bundleHash, issuerIn, taintedIssuers, verifyTrustBundle } from "../certs/bundle.ts";
import { signBundleAck } from "../certs/bundle-ack.ts";
import { keyHash, keyPairFromPem, sameBytes } from "../certs/keys.ts";
import type { SignedTrustBundle, TrustBundle } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import type { BundleAcknowledgement } from "../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { messageOf } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import { bundleBytes, type ReplaceableIdentityHolder } from "./identity-store.ts";
import type { NodeEvents, NodeIdentity, SnapshotHolder, Unsubscribe } from "./ports.ts";
import type { RenewalPort } from "./renewal-trigger.ts";

export interface BundleKeeperDeps {
  readonly identity: ReplaceableIdentityHolder;
  readonly snapshot: SnapshotHolder;
  /** The pinned installation key, SPKI DER. */
  readonly installationKeySpki: Uint8Array;
  readonly renewal: RenewalPort;
  readonly log: Log;
  readonly events: NodeEvents;
}

/** An acknowledgement as a beat carries it. */
export type SentAck = Omit<BundleAcknowledgement, "$typeName" | "$unknown">;

export class BundleKeeper {
  readonly #deps: BundleKeeperDeps;
  readonly #stop: Unsubscribe;
  /** What control is known to have. */
  #heard: SentAck | undefined;

  constructor(deps: BundleKeeperDeps) {
    this.#deps = deps;
    this.#stop = deps.snapshot.onChange(({ signedBundle }) => this.#offered(signedBundle));
    this.#offered(deps.snapshot.current()?.signedBundle);
    this.#wishForFreshLeaves();
  }

  /** Verifies a bundle and believes by it when it is newer (BK1, BK2). Never throws. */
  offer(signed: SignedTrustBundle): "applied" | "known" | "refused" {
    const { identity, installationKeySpki } = this.#deps;
    const held = identity.current();
    if (held.signedBundle !== undefined && sameBytes(held.signedBundle.bytes, signed.bundle)) return "known";
    try {
      const wire = { bytes: Uint8Array.from(signed.bundle), signature: Uint8Array.from(signed.signature) };
      const bundle = verifyTrustBundle(wire, installationKeySpki, keyHash(installationKeySpki));
      if (bundle.clusterId !== held.clusterId || bundle.trustDomain !== held.trustDomain)
        return this.#refuse("of another cluster");
      if (bundle.version < held.bundle.version) return "known";
      const isSame = sameBytes(wire.bytes, bundleBytes(held));
      if (bundle.version === held.bundle.version && !isSame) return this.#refuse("an equal version with other content");
      identity.replace({ ...held, bundle, signedBundle: wire });
      if (isSame) return "known";
      this.#deps.events.emit("trust_changed", { version: String(bundle.version) });
      this.#deps.log.info("trust bundle taken", { version: Number(bundle.version) });
      this.#wishForFreshLeaves();
      return "applied";
    } catch (thrown) {
      return this.#refuse(messageOf(thrown));
    }
  }

  /** What the next beat says; undefined while control has it. `taintedInUse`: as of now. */
  ack(taintedInUse: string[]): SentAck | undefined {
    const held = this.#deps.identity.current();
    const { version } = held.bundle;
    if (this.#heard?.version === version && this.#heard.taintedInUse.join() === taintedInUse.join()) return undefined;
    const hash = bundleHash(bundleBytes(held));
    const { clusterId, nodeId } = held;
    const said = { clusterId, nodeId, version: Number(version), hash, taintedInUse };
    const signature = signBundleAck(keyPairFromPem(held.leaf.keyPem).privateKey, said);
    return { version, hash, signature, taintedInUse };
  }

  /** Control answered a beat: `sent` went with it, and it has the acknowledgement of `version`. */
  answered(sent: SentAck | undefined, version: bigint): void {
    if (sent !== undefined && version === sent.version) this.#heard = sent;
    // Another replica, or one that was started anew, knows less: it is told again.
    else if (version < this.#deps.identity.current().bundle.version) this.#heard = undefined;
  }

  close(): void {
    this.#stop();
  }

  #offered(signed: SignedTrustBundle | undefined): void {
    if (signed !== undefined) this.offer(signed);
  }

  #wishForFreshLeaves(): void {
    const held = this.#deps.identity.current();
    if (hasTaintedLeaf(held) || !isLeafTrusted(held))
      this.#deps.renewal.renewNow("tainted", limits.taintedRenewSpreadMs);
  }

  #refuse(reason: string): "refused" {
    this.#deps.log.error("a trust bundle was refused", { reason });
    return "refused";
  }
}

/** Whether a leaf this node holds is from a root that is about to go. */
export function hasTaintedLeaf({ leaf, poolLeaves, bundle }: NodeIdentity): boolean {
  const tainted = taintedIssuers(bundle);
  if (tainted.size === 0) return false;
  return [leaf, ...poolLeaves.values()].some(({ certificateDer }) =>
    tainted.has(issuerIn(bundle, certificateDer) ?? ""),
  );
}

/** Whether the bundle still knows the root that a leaf is from. */
export function isLeafTrusted({ leaf, bundle }: NodeIdentity): boolean {
  return issuerIn(bundle, leaf.certificateDer) !== undefined;
}

/** Which of these issuers are about to go, in order: issuers of the leaves that connections live under. */
export function taintedAmong(bundle: TrustBundle, issuers: Iterable<string>): string[] {
  const tainted = taintedIssuers(bundle);
  if (tainted.size === 0) return [];
  return [...new Set(issuers)].filter((issuer) => tainted.has(issuer)).sort();
}
