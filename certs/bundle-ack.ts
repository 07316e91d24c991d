/**
 * A node's word that it believes by a trust bundle: what a rotation waits for. Signed by the leaf key, over cluster, node,
 * version and content, so that nobody else's word counts and an old one stands for nothing newer.
 */

import type { KeyObject } from "node:crypto";
import { p256FromSpki, signEs256, verifyEs256 } from "./keys.ts";

/** What is acknowledged, and by whom. */
export interface BundleAck {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly version: number;
  /** SHA-256 of the bundle's exact bytes. */
  readonly hash: Uint8Array;
  /** Key ids (hex, in order) of tainted roots that connections at the node still rely on. */
  readonly taintedInUse: readonly string[];
}

function covered(ack: BundleAck): Uint8Array {
  const { clusterId, nodeId, version, taintedInUse, hash } = ack;
  const text = `weft/bundle-ack/v1\0${clusterId}\0${nodeId}\0${version}\0${taintedInUse.join(" ")}\0`;
  return Buffer.concat([Buffer.from(text, "utf8"), hash]);
}

/** ES256 (P1363) by the leaf's key. */
export function signBundleAck(leafKey: KeyObject, ack: BundleAck): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(signEs256(leafKey, covered(ack)));
}

/** Whether the holder of this key said so. Never throws. */
export function verifyBundleAck(leafSpki: Uint8Array, ack: BundleAck, signature: Uint8Array): boolean {
  const key = p256FromSpki(leafSpki);
  return key !== undefined && verifyEs256(key, covered(ack), signature);
}
