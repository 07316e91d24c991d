/**
 * The installation key (Ed25519): the one key a node pins, by hash, when it joins. It certifies, for a while and for one
 * purpose each, the online keys that sign snapshots, feeds and contracts.
 *
 * N1. A signing key signs only what its statement names, in the cluster it names, while its dates hold.
 * N2. A statement's key id is the hash of the key it carries: it cannot vouch for another.
 * N3. A key the trust bundle calls retired is refused from the moment it says, whatever its statement still promises.
 */

import type { KeyObject } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  type SignedSigningKey,
  SignedSigningKeySchema,
  SigningKeyStatementSchema,
  SigningPurpose,
} from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { ed25519FromSpki, generateEd25519, type KeyPair, keyHash } from "./keys.ts";
import { decodeSigned, signDomain, verifyDomain } from "./signed.ts";

const DOMAIN = "weft/signing-key/v1\0";

export type SigningUse = "snapshot" | "feed" | "contract";

const purposes = {
  snapshot: SigningPurpose.SNAPSHOT,
  feed: SigningPurpose.FEED,
  contract: SigningPurpose.CONTRACT,
} as const satisfies Record<SigningUse, SigningPurpose>;

export interface StatementRequest {
  readonly clusterId: string;
  readonly signingSpki: Uint8Array;
  readonly use: SigningUse;
  readonly nowMs: number;
  /** Default `limits.signingKeyStatementLifeMs`. */
  readonly lifeMs?: number;
}

export interface CertifiedSigningKey {
  readonly keyId: string;
  readonly publicKey: KeyObject;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A fresh installation key. Made once, by `control init`. */
export function createInstallationKey(): KeyPair {
  return generateEd25519();
}

/** What join tokens carry and nodes pin: SHA-256 of the installation key's SPKI, lower-case hex. */
export function installationKeyHash(installationSpki: Uint8Array): string {
  return keyHash(installationSpki);
}

/** The key id of a signing key (N2). */
export function signingKeyId(signingSpki: Uint8Array): string {
  return keyHash(signingSpki);
}

/** Certifies a signing key with the installation key. Throws `invalid_argument` (SIGNING_KEY) unless it is Ed25519. */
export function certifySigningKey(installationKey: KeyObject, request: StatementRequest): SignedSigningKey {
  const { clusterId, signingSpki, use, nowMs } = request;
  if (ed25519FromSpki(signingSpki) === undefined) {
    throw new WeftError("invalid_argument", "not an Ed25519 key", { detail: "SIGNING_KEY" });
  }
  const statement = toBinary(
    SigningKeyStatementSchema,
    create(SigningKeyStatementSchema, {
      clusterId,
      keyId: signingKeyId(signingSpki),
      publicKeySpki: signingSpki,
      purpose: purposes[use],
      notBeforeMs: BigInt(Math.floor(nowMs - limits.leafBackdateMs)),
      notAfterMs: BigInt(Math.floor(nowMs + (request.lifeMs ?? limits.signingKeyStatementLifeMs))),
    }),
  );
  return create(SignedSigningKeySchema, { statement, signature: signDomain(installationKey, DOMAIN, statement) });
}

/**
 * The signing key a statement certifies for this cluster, use and time (N1, N2). `nowMs` is max(clock, newest signed time).
 * Throws `unauthenticated` with detail STATEMENT_SIGNATURE, STATEMENT_SCOPE, STATEMENT_KEY, STATEMENT_DATES or
 * STATEMENT_RETIRED (N3), or `invalid_argument` (SIGNED_MALFORMED).
 */
export function verifySigningKey(
  signed: SignedSigningKey,
  expect: {
    readonly installationSpki: Uint8Array;
    readonly clusterId: string;
    readonly use: SigningUse;
    readonly nowMs: number;
    /** By key id, as the newest trust bundle has it (certs/bundle.ts, `retiredSigningKeys`). */
    readonly retired?: ReadonlyMap<string, number>;
  },
): CertifiedSigningKey {
  const installation = ed25519FromSpki(expect.installationSpki);
  if (installation === undefined || !verifyDomain(installation, signed.signature, DOMAIN, signed.statement)) {
    throw refuse("STATEMENT_SIGNATURE", "the signing key is not certified by this installation");
  }
  const statement = decodeSigned(SigningKeyStatementSchema, signed.statement);
  if (statement.clusterId !== expect.clusterId || statement.purpose !== purposes[expect.use]) {
    throw refuse("STATEMENT_SCOPE", "the signing key is certified for something else");
  }
  const publicKey = ed25519FromSpki(statement.publicKeySpki);
  if (publicKey === undefined || statement.keyId !== signingKeyId(statement.publicKeySpki)) {
    throw refuse("STATEMENT_KEY", "the signing key's statement is inconsistent");
  }
  const notBeforeMs = Number(statement.notBeforeMs);
  const notAfterMs = Number(statement.notAfterMs);
  if (!(expect.nowMs >= notBeforeMs && expect.nowMs < notAfterMs)) {
    throw refuse("STATEMENT_DATES", "the signing key's statement is not valid now");
  }
  if (expect.nowMs >= (expect.retired?.get(statement.keyId) ?? Number.POSITIVE_INFINITY)) {
    throw refuse("STATEMENT_RETIRED", "the signing key was replaced and counts no more");
  }
  return { keyId: statement.keyId, publicKey, notBeforeMs, notAfterMs };
}

function refuse(detail: string, message: string): WeftError {
  return new WeftError("unauthenticated", message, { detail });
}
