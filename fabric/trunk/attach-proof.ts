/**
 * The proof inside an Attach: HMAC-SHA-256 with the trunk's secret over a domain string, the sender's side, the TLS exporter
 * of the connection it travels on, and every other field. Whoever shows it knows the secret (the exporter of the trunk's
 * first connection, which never travels) and sits at the end of *this* connection; a proof cannot be reflected, moved to
 * another connection, or kept for other fields.
 */

import { createHmac, timingSafeEqual } from "node:crypto";
import type { Attach } from "./messages.ts";

/** Which end of the trunk wrote the Attach. */
export type Side = "initiator" | "acceptor";

/** What the TLS exporter is asked for (RFC 8446, 7.5). */
export const EXPORTER_LABEL = "EXPORTER-weft-trunk-v1";
export const EXPORTER_BYTES = 32;
export const TRUNK_ID_BYTES = 16;
export const PROOF_BYTES = 32;

const DOMAIN = Buffer.from("weft/attach/v1\0", "latin1");

/**
 * The proof for an Attach: domain, one byte of side (1 initiator, 2 acceptor), then the exporter, the trunk id, the ask and
 * its signature each behind a 4-byte big-endian length, then lane, generation and next expected sequence as 8-byte
 * big-endian numbers.
 */
export function attachProof(
  secret: Uint8Array,
  side: Side,
  exporter: Uint8Array,
  attach: Omit<Attach, "proof">,
): Buffer {
  const hmac = createHmac("sha256", secret).update(DOMAIN);
  hmac.update(Buffer.of(side === "initiator" ? 1 : 2));
  const number = Buffer.alloc(8);
  for (const part of [exporter, attach.trunkId, attach.ask, attach.askSignature]) {
    number.writeUInt32BE(part.length);
    hmac.update(number.subarray(0, 4)).update(part);
  }
  for (const value of [attach.lane, attach.generation, attach.nextExpectedSeq]) {
    number.writeBigUInt64BE(BigInt(value));
    hmac.update(number);
  }
  return hmac.digest();
}

/** Whether `attach` was written by `side` of the trunk with this secret, on the connection with this exporter. */
export function provesAttach(secret: Uint8Array, side: Side, exporter: Uint8Array, attach: Attach): boolean {
  if (attach.proof.length !== PROOF_BYTES || attach.trunkId.length !== TRUNK_ID_BYTES) return false;
  return timingSafeEqual(attachProof(secret, side, exporter, attach), attach.proof);
}
