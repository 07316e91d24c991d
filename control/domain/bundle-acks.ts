/**
 * Acknowledgements of trust bundles as they arrive with beats: believed when the key of a leaf of that node that may act
 * signed them, and when they are about the bundle that control has published.
 */

import { bundleHash } from "../../certs/bundle.ts";
import { type BundleAck, verifyBundleAck } from "../../certs/bundle-ack.ts";
import { readCertificate } from "../../certs/certificate.ts";
import { sameBytes } from "../../certs/keys.ts";
import type { BundleAcknowledgement } from "../../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { limits } from "../../lib/limits.ts";
import { keepAck } from "../store/bundle-acks.ts";
import { liveCertificates } from "../store/certificates.ts";
import type { StoreContext } from "../store/context.ts";
import type { Authority } from "./authority.ts";
import { subjectOf } from "./issue.ts";

export interface AckDeps extends StoreContext {
  readonly authority: Pick<Authority, "bundle">;
}

interface Published {
  readonly version: number;
  readonly hash: Uint8Array;
}

/** What this process knows of acknowledgements; the rows are what counts. */
export class BundleAcks {
  readonly #deps: AckDeps;
  readonly #published = new Map<string, Published>();
  /** By node id: the version in the store, as far as this process has heard. */
  readonly #kept = new Map<string, number>();

  constructor(deps: AckDeps) {
    this.#deps = deps;
  }

  /** The newest version a node has acknowledged, as far as this process knows; 0: of none. */
  versionOf(nodeId: string): number {
    return this.#kept.get(nodeId) ?? 0;
  }

  /**
   * Takes an acknowledgement and returns the version that is kept. One that proves nothing is logged and changes nothing;
   * one about another version than the published one is no fault: the node hears of the newer one soon. Each is written:
   * what this process heard last may be older than what the node told another replica since.
   */
  async take(clusterId: string, nodeId: string, said: BundleAcknowledgement): Promise<number> {
    const version = Number(said.version);
    const inUse = said.taintedInUse;
    // Of each kind of root there are two at most.
    if (inUse.length > limits.taintedInUseMaxCount || inUse.some((keyId) => !/^[0-9a-f]{64}$/.test(keyId)))
      return this.versionOf(nodeId);
    const ack: BundleAck = { clusterId, nodeId, version, hash: said.hash, taintedInUse: inUse };
    const published = await this.#current(clusterId, version);
    if (published.version !== version) return this.versionOf(nodeId);
    if (!sameBytes(published.hash, said.hash)) {
      this.#deps.log.warn("a node believes by another trust bundle than was published", { node: nodeId });
      return this.versionOf(nodeId);
    }
    const certificateDer = await this.#signer(ack, said.signature);
    if (certificateDer === undefined) {
      this.#deps.log.warn("a node's acknowledgement is not signed by a leaf of it", { node: nodeId });
      return this.versionOf(nodeId);
    }
    await keepAck(this.#deps.sql, this.#deps.seal, {
      ...{ clusterId, nodeId, bundleVersion: version, bundleHash: said.hash, signature: said.signature },
      ...{ certificateDer, taintedInUse: inUse },
    });
    this.#kept.set(nodeId, version);
    return version;
  }

  async #signer(ack: BundleAck, signature: Uint8Array): Promise<Uint8Array | undefined> {
    const { sql, seal } = this.#deps;
    const live = await liveCertificates(sql, seal, subjectOf("node", ack.clusterId, ack.nodeId));
    for (const row of [live.current, live.next]) {
      const facts = row === undefined ? undefined : readCertificate(row.certificateDer);
      if (facts === undefined || typeof facts === "string") continue;
      if (verifyBundleAck(facts.spkiDer, ack, signature)) return facts.der;
    }
    return undefined;
  }

  async #current(clusterId: string, wanted: number): Promise<Published> {
    const kept = this.#published.get(clusterId);
    if (kept !== undefined && kept.version >= wanted) return kept;
    const bundle = await this.#deps.authority.bundle(clusterId);
    const published = { version: Number(bundle.message.version), hash: bundleHash(bundle.bytes) };
    this.#published.set(clusterId, published);
    return published;
  }
}
