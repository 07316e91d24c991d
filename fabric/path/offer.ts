/**
 * Path offers: what the initiating edge signs and every hop verifies before it agrees to carry a path.
 *
 * O1. ES256 over a domain string and the exact bytes; the received bytes are verified, then those bytes are parsed.
 * O2. A parsed offer has passed every check that needs no context: whoever holds one need not look at its form again.
 * O3. An offer lives at most `limits.offerLifeMs` and names every hop once.
 */

import type { KeyObject } from "node:crypto";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type CertificateFacts, readCertificate } from "../../certs/certificate.ts";
import { p256FromSpki, signEs256, verifyEs256 } from "../../certs/keys.ts";
import { decodeSigned } from "../../certs/signed.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { FarEdge, type PathOffer, PathOfferSchema, PathPurpose } from "../../gen/weft/relay/v1/relay_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { dateMs, isId, underDomain } from "../signed-bytes.ts";

const DOMAIN = "weft/path-offer/v1\0";
const TRUST_DOMAIN = /^[a-z0-9.-]{1,255}$/;
const HOPS_MIN = 2;
const TRUNK_ID_BYTES = 16;
const NONCE_BYTES = 16;
const SERIAL_MAX_BYTES = 20;
const HASH_BYTES = 32;

/** An offer as it travels. */
export interface SignedOffer {
  readonly offer: Uint8Array;
  readonly signature: Uint8Array;
}

/** A verified offer, the exact bytes' message and the certificate whose key signed it (not judged yet). */
export interface VerifiedOffer {
  readonly offer: PathOffer;
  readonly signer: CertificateFacts;
}

/** Which field of an offer is wrong, or undefined when its form is right (O2). */
export function offerFault(offer: PathOffer): string | undefined {
  const { hops } = offer;
  if (!TRUST_DOMAIN.test(offer.trustDomain)) return "OFFER_TRUST_DOMAIN";
  if (!isId(offer.clusterId)) return "OFFER_CLUSTER";
  if (hops.length < HOPS_MIN || hops.length > limits.offerHopsMaxCount) return "OFFER_HOPS";
  if (!hops.every(isId) || new Set(hops).size !== hops.length) return "OFFER_HOPS";
  if (offer.initiatorId !== hops[0]) return "OFFER_INITIATOR";
  if (offer.initiatorLeafSerial.length < 1 || offer.initiatorLeafSerial.length > SERIAL_MAX_BYTES)
    return "OFFER_SERIAL";
  if (!isNamed(PathPurpose, offer.purpose)) return "OFFER_PURPOSE";
  if (!isNamed(ChannelClass, offer.class)) return "OFFER_CLASS";
  if (offer.trunkId.length !== TRUNK_ID_BYTES) return "OFFER_TRUNK";
  if (offer.nonce.length !== NONCE_BYTES) return "OFFER_NONCE";
  const withoutOrganization = offer.purpose === PathPurpose.PROBE && offer.organizationId === "";
  if (!withoutOrganization && !isId(offer.organizationId)) return "OFFER_ORGANIZATION";
  return farEdgeFault(offer) ?? datesFault(offer);
}

/** A client's path names a pool and the ask it answers; a path between nodes names neither. */
function farEdgeFault(offer: PathOffer): string | undefined {
  if (!isNamed(FarEdge, offer.farEdge)) return "OFFER_FAR_EDGE";
  if (offer.farEdge === FarEdge.POOL) {
    if (!isId(offer.poolId)) return "OFFER_POOL";
    return offer.askHash.length === HASH_BYTES ? undefined : "OFFER_ASK_HASH";
  }
  if (offer.poolId !== "") return "OFFER_POOL";
  return offer.askHash.length === 0 ? undefined : "OFFER_ASK_HASH";
}

/** O3. */
function datesFault(offer: PathOffer): string | undefined {
  const issuedMs = dateMs(offer.issuedAtMs);
  const expiresMs = dateMs(offer.expiresAtMs);
  if (issuedMs === undefined || expiresMs === undefined) return "OFFER_DATES";
  return expiresMs > issuedMs && expiresMs - issuedMs <= limits.offerLifeMs ? undefined : "OFFER_DATES";
}

function isNamed(names: Readonly<Record<string, number>>, value: number): boolean {
  return value !== 0 && Object.values(names).includes(value);
}

/**
 * Encodes and signs an offer with the initiator's leaf key. Throws `invalid_argument` with the fault as detail when the
 * offer would be refused anywhere for its form.
 */
export function signOffer(leafKey: KeyObject, fields: MessageInitShape<typeof PathOfferSchema>): SignedOffer {
  const message = create(PathOfferSchema, fields);
  const fault = offerFault(message);
  if (fault !== undefined) throw new WeftError("invalid_argument", "not a valid path offer", { detail: fault });
  const offer = toBinary(PathOfferSchema, message);
  return { offer, signature: signEs256(leafKey, underDomain(DOMAIN, offer)) };
}

/**
 * Verifies the received bytes with the key of the certificate that came along, then parses those bytes (O1, O2). Who that
 * certificate is remains to be judged: `authorizeOffer` takes the verdict. Throws `invalid_argument` (OFFER_SIZE,
 * SIGNED_MALFORMED, OFFER_*) or `unauthenticated` (OFFER_CERTIFICATE, OFFER_SIGNATURE).
 */
export function verifyOffer(received: SignedOffer & { readonly initiatorCertificate: Uint8Array }): VerifiedOffer {
  if (received.offer.length > limits.offerMaxBytes || received.initiatorCertificate.length > limits.offerMaxBytes) {
    throw new WeftError("invalid_argument", "the path offer is too large", { detail: "OFFER_SIZE" });
  }
  const signer = readCertificate(received.initiatorCertificate);
  if (typeof signer === "string") throw refuse("OFFER_CERTIFICATE", "the initiator's certificate cannot be read");
  const key = p256FromSpki(signer.spkiDer);
  if (key === undefined || !verifyEs256(key, underDomain(DOMAIN, received.offer), received.signature)) {
    throw refuse("OFFER_SIGNATURE", "the path offer is not signed by its initiator");
  }
  const offer = decodeSigned(PathOfferSchema, received.offer);
  const fault = offerFault(offer);
  if (fault !== undefined) throw new WeftError("invalid_argument", "not a valid path offer", { detail: fault });
  return { offer, signer };
}

function refuse(detail: string, message: string): WeftError {
  return new WeftError("unauthenticated", message, { detail });
}
