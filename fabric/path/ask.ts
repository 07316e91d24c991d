/**
 * Client asks: what a client that is an edge itself signs. Entries read it, the far edge sees it inside the end-to-end
 * TLS, relays see its hash at most.
 *
 * K1. ES256 over a domain string and the exact bytes by the client's leaf key; verified as received, then parsed.
 */

import { createHash, type KeyObject } from "node:crypto";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { p256FromSpki, signEs256, verifyEs256 } from "../../certs/keys.ts";
import { decodeSigned } from "../../certs/signed.ts";
import { type ClientAsk, ClientAskSchema } from "../../gen/weft/access/v1/access_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { dateMs, isId, underDomain } from "../signed-bytes.ts";

const DOMAIN = "weft/ask/v1\0";
const ID_BYTES = 16;

export interface SignedAsk {
  readonly ask: Uint8Array;
  readonly signature: Uint8Array;
}

/** Which field of an ask is wrong, or undefined when its form is right. */
export function askFault(ask: ClientAsk): string | undefined {
  if (!isId(ask.clusterId)) return "ASK_CLUSTER";
  if (!isId(ask.clientId)) return "ASK_CLIENT";
  if (!isId(ask.resource)) return "ASK_RESOURCE";
  if (ask.trunkId.length !== ID_BYTES) return "ASK_TRUNK";
  if (ask.nonce.length !== ID_BYTES) return "ASK_NONCE";
  const issuedMs = dateMs(ask.issuedAtMs);
  const expiresMs = dateMs(ask.expiresAtMs);
  if (issuedMs === undefined || expiresMs === undefined) return "ASK_DATES";
  return expiresMs > issuedMs && expiresMs - issuedMs <= limits.offerLifeMs ? undefined : "ASK_DATES";
}

/** Encodes and signs an ask. Throws `invalid_argument` with the fault as detail. */
export function signAsk(leafKey: KeyObject, fields: MessageInitShape<typeof ClientAskSchema>): SignedAsk {
  const message = create(ClientAskSchema, fields);
  const fault = askFault(message);
  if (fault !== undefined) throw new WeftError("invalid_argument", "not a valid ask", { detail: fault });
  const ask = toBinary(ClientAskSchema, message);
  return { ask, signature: signEs256(leafKey, underDomain(DOMAIN, ask)) };
}

/**
 * The ask, if the client with this key (SPKI, DER, of a judged certificate) signed exactly these bytes and it is about
 * that cluster, client and time (K1). Throws `invalid_argument` (ASK_*, SIGNED_MALFORMED), `unauthenticated`
 * (ASK_SIGNATURE) or `permission_denied` (ASK_WRONG_CLUSTER, ASK_WRONG_CLIENT, ASK_OUT_OF_DATE).
 */
export function verifyAsk(
  received: SignedAsk,
  expect: {
    readonly clientSpki: Uint8Array;
    readonly clusterId: string;
    readonly clientId: string;
    readonly nowMs: number;
  },
): ClientAsk {
  if (received.ask.length > limits.offerMaxBytes) throw refuse("invalid_argument", "ASK_SIZE");
  const key = p256FromSpki(expect.clientSpki);
  if (key === undefined || !verifyEs256(key, underDomain(DOMAIN, received.ask), received.signature)) {
    throw refuse("unauthenticated", "ASK_SIGNATURE");
  }
  const ask = decodeSigned(ClientAskSchema, received.ask);
  const fault = askFault(ask);
  if (fault !== undefined) throw refuse("invalid_argument", fault);
  if (ask.clusterId !== expect.clusterId) throw refuse("permission_denied", "ASK_WRONG_CLUSTER");
  if (ask.clientId !== expect.clientId) throw refuse("permission_denied", "ASK_WRONG_CLIENT");
  const early = Number(ask.issuedAtMs) - limits.offerSkewMaxMs > expect.nowMs;
  const late = expect.nowMs >= Number(ask.expiresAtMs) + limits.offerSkewMaxMs;
  if (early || late) throw refuse("permission_denied", "ASK_OUT_OF_DATE");
  return ask;
}

/** What an offer carries of an ask: SHA-256 of its signed bytes and signature. */
export function askHash(signed: SignedAsk): Uint8Array {
  return createHash("sha256").update(underDomain(DOMAIN, signed.ask)).update(signed.signature).digest();
}

function refuse(reason: "invalid_argument" | "unauthenticated" | "permission_denied", detail: string): WeftError {
  return new WeftError(reason, "the ask is refused", { detail });
}
