/**
 * Certificate authorities and signing keys at rest: sealed for exactly their row, and the row authenticated, so that a
 * writer of the database can neither add a root nor swap two.
 */

import type { KeyObject } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { caPrivateKeyPem, type IssuingCa, openCa } from "../../certs/ca.ts";
import type { SigningUse } from "../../certs/installation.ts";
import { type KeyPair, keyPairFromPem, privateKeyPem } from "../../certs/keys.ts";
import { INSTALLATION, type SpiffeKind } from "../../certs/spiffe.ts";
import { type SignedSigningKey, SignedSigningKeySchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { openedKey } from "./opened-keys.ts";
import { one, type Queryable, type Tx } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface AuthorityRow {
  /** A cluster id, or `installation`. */
  readonly scope: string;
  readonly kind: SpiffeKind;
  readonly generation: number;
  /** `active` signs; `next` and `old` are only trusted; `dropped` is neither. */
  readonly status: "active" | "next" | "old" | "dropped";
  readonly keyId: string;
  readonly certificateDer: Uint8Array;
  readonly sealedKey: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly createdAtMs: number;
  readonly mac: Uint8Array;
}

const authorityColumns = `scope, kind, generation, status, key_id as "keyId", certificate_der as "certificateDer",
  sealed_key as "sealedKey", not_before_ms as "notBeforeMs", not_after_ms as "notAfterMs", created_at_ms as "createdAtMs", mac`;

export function authorityFields(row: Omit<AuthorityRow, "mac">): MacField[] {
  const { scope, kind, generation, status, keyId, certificateDer, sealedKey, notBeforeMs, notAfterMs, createdAtMs } =
    row;
  return [scope, kind, generation, status, keyId, certificateDer, sealedKey, notBeforeMs, notAfterMs, createdAtMs];
}

const caPlace = (scope: string, kind: string, keyId: string, version: number) =>
  ({ cluster: scope, purpose: `ca/${kind}`, id: keyId, version }) as const;

/** Stores a root and its sealed key: as the active one of its scope and kind, or as the next. */
export async function insertAuthority(
  tx: Tx,
  seal: TrustSeal,
  authority: {
    readonly scope: string;
    readonly generation: number;
    readonly ca: IssuingCa;
    readonly nowMs: number;
    readonly status?: "active" | "next";
  },
): Promise<void> {
  const { scope, generation, ca, nowMs, status = "active" } = authority;
  const { keyId, der, notBeforeMs, notAfterMs } = ca.root;
  const plain = Buffer.from(caPrivateKeyPem(ca), "utf8");
  const row: Omit<AuthorityRow, "mac"> = {
    scope,
    kind: ca.kind,
    generation,
    status,
    keyId,
    certificateDer: der,
    sealedKey: seal.seal(caPlace(scope, ca.kind, keyId, generation), plain),
    notBeforeMs,
    notAfterMs,
    createdAtMs: Math.floor(nowMs),
  };
  await tx.query(
    `insert into authority (scope, kind, generation, status, key_id, certificate_der, sealed_key, not_before_ms,
       not_after_ms, created_at_ms, mac) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
    [
      scope,
      row.kind,
      generation,
      row.status,
      keyId,
      row.certificateDer,
      row.sealedKey,
      notBeforeMs,
      notAfterMs,
      row.createdAtMs,
      seal.mac("authority", authorityFields(row)),
    ],
  );
}

/** Every root of the scope that is still trusted, authenticated, by kind and generation. */
export async function trustedAuthorities(
  q: Queryable,
  seal: TrustSeal,
  scope: string,
): Promise<readonly AuthorityRow[]> {
  const rows = await q.query<AuthorityRow>(
    `select ${authorityColumns} from authority where scope = $1 and status <> 'dropped' order by kind, generation`,
    [scope],
  );
  for (const row of rows) requireAuthentic(seal, "authority", authorityFields(row), row.mac);
  return rows;
}

/** Every root there ever was in a scope, dropped ones too, authenticated, by kind and generation. */
export async function allAuthorities(q: Queryable, seal: TrustSeal, scope: string): Promise<readonly AuthorityRow[]> {
  const rows = await q.query<AuthorityRow>(
    `select ${authorityColumns} from authority where scope = $1 order by kind, generation`,
    [scope],
  );
  for (const row of rows) requireAuthentic(seal, "authority", authorityFields(row), row.mac);
  return rows;
}

/**
 * Gives roots of one scope and kind their places. Whoever signs no more first: there is never a second active one.
 * Throws `data_loss` when a row is not authentic; the caller holds what orders writers of these rows.
 */
export async function setAuthorityStates(
  tx: Tx,
  seal: TrustSeal,
  scope: string,
  states: ReadonlyMap<string, AuthorityRow["status"]>,
): Promise<void> {
  const rows = (await allAuthorities(tx, seal, scope)).filter(({ keyId }) => states.has(keyId));
  const order = (row: AuthorityRow): number => (states.get(row.keyId) === "active" ? 1 : 0);
  for (const row of [...rows].sort((a, b) => order(a) - order(b))) {
    const status = states.get(row.keyId) ?? row.status;
    if (status === row.status) continue;
    const mac = seal.mac("authority", authorityFields({ ...row, status }));
    await tx.query("update authority set status = $2, mac = $3 where key_id = $1", [row.keyId, status, mac]);
  }
}

/** Whether a key is that of any authority of the installation. */
export async function isAuthorityKey(q: Queryable, keyHash: string): Promise<boolean> {
  return (await q.query("select 1 as found from authority where key_id = $1", [keyHash])).length > 0;
}

/** Which root signs, or undefined; whoever issues reads the authenticated row itself. */
export async function activeKeyId(q: Queryable, scope: string, kind: SpiffeKind): Promise<string | undefined> {
  const text = `select key_id as "keyId" from authority where scope = $1 and kind = $2 and status = 'active'`;
  return one(await q.query<{ keyId: string }>(text, [scope, kind]))?.keyId;
}

/** The issuer of `kind` in `scope`, from its authenticated row. Throws `failed_precondition` (AUTHORITY_MISSING). */
export async function activeCa(q: Queryable, seal: TrustSeal, scope: string, kind: SpiffeKind): Promise<IssuingCa> {
  const row = one(
    await q.query<AuthorityRow>(
      `select ${authorityColumns} from authority where scope = $1 and kind = $2 and status = 'active'`,
      [scope, kind],
    ),
  );
  if (row === undefined) {
    throw new WeftError("failed_precondition", "there is no authority to issue from", { detail: "AUTHORITY_MISSING" });
  }
  requireAuthentic(seal, "authority", authorityFields(row), row.mac);
  const place = caPlace(scope, kind, row.keyId, row.generation);
  return openedKey(seal, place, { sealed: row.sealedKey, beside: row.certificateDer }, (pem) =>
    openCa(kind, row.certificateDer, Buffer.from(pem).toString("utf8")),
  );
}

export interface SigningKeyRow {
  readonly clusterId: string;
  readonly purpose: SigningUse;
  readonly generation: number;
  readonly keyId: string;
  readonly publicKeySpki: Uint8Array;
  readonly sealedKey: Uint8Array;
  readonly statement: Uint8Array;
  readonly statementSignature: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly mac: Uint8Array;
}

const signingColumns = `cluster_id as "clusterId", purpose, generation, key_id as "keyId",
  public_key_spki as "publicKeySpki", sealed_key as "sealedKey", statement, statement_signature as "statementSignature",
  not_before_ms as "notBeforeMs", not_after_ms as "notAfterMs", mac`;

export function signingFields(row: Omit<SigningKeyRow, "mac">): MacField[] {
  const { clusterId, purpose, generation, keyId, publicKeySpki, sealedKey, notBeforeMs, notAfterMs } = row;
  return [
    clusterId,
    purpose,
    generation,
    keyId,
    publicKeySpki,
    sealedKey,
    row.statement,
    row.statementSignature,
    notBeforeMs,
    notAfterMs,
  ];
}

const signingPlace = (clusterId: string, purpose: string, keyId: string, version: number) =>
  ({ cluster: clusterId, purpose: `signing/${purpose}`, id: keyId, version }) as const;

/** Stores a signing key and its statement as the active one of its cluster and purpose. */
export async function insertSigningKey(
  tx: Tx,
  seal: TrustSeal,
  key: {
    readonly clusterId: string;
    readonly purpose: SigningUse;
    readonly generation: number;
    readonly keys: KeyPair;
    readonly signed: SignedSigningKey;
    readonly notBeforeMs: number;
    readonly notAfterMs: number;
  },
): Promise<void> {
  const { clusterId, purpose, generation, keys, signed, notBeforeMs, notAfterMs } = key;
  const plain = Buffer.from(privateKeyPem(keys.privateKey), "utf8");
  const row: Omit<SigningKeyRow, "mac"> = {
    clusterId,
    purpose,
    generation,
    keyId: keys.keyHash,
    publicKeySpki: keys.spkiDer,
    sealedKey: seal.seal(signingPlace(clusterId, purpose, keys.keyHash, generation), plain),
    statement: signed.statement,
    statementSignature: signed.signature,
    notBeforeMs,
    notAfterMs,
  };
  await tx.query(
    `insert into signing_key (cluster_id, purpose, generation, key_id, public_key_spki, sealed_key, statement,
       statement_signature, not_before_ms, not_after_ms, mac) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
    [
      clusterId,
      purpose,
      generation,
      row.keyId,
      row.publicKeySpki,
      row.sealedKey,
      row.statement,
      row.statementSignature,
      notBeforeMs,
      notAfterMs,
      seal.mac("signing_key", signingFields(row)),
    ],
  );
}

export interface ActiveSigningKey {
  readonly row: SigningKeyRow;
  readonly privateKey: KeyObject;
  readonly signed: SignedSigningKey;
}

export function signingKeyMissing(): WeftError {
  return new WeftError("failed_precondition", "there is no key to sign with", { detail: "SIGNING_KEY_MISSING" });
}

/** The key that signs for a cluster and purpose, authenticated. Throws `failed_precondition` (SIGNING_KEY_MISSING). */
export async function activeSigningKey(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  purpose: SigningUse,
  lock = false,
): Promise<ActiveSigningKey> {
  const found = await findSigningKey(q, seal, clusterId, purpose, lock);
  if (found === undefined) throw signingKeyMissing();
  return found;
}

/** The same, or undefined when there is none. */
export async function findSigningKey(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  purpose: SigningUse,
  lock = false,
): Promise<ActiveSigningKey | undefined> {
  const row = one(
    await q.query<SigningKeyRow>(
      `select ${signingColumns} from signing_key where cluster_id = $1 and purpose = $2 and status = 'active'
       ${lock ? "for update" : ""}`,
      [clusterId, purpose],
    ),
  );
  if (row === undefined) return undefined;
  requireAuthentic(seal, "signing_key", signingFields(row), row.mac);
  const place = signingPlace(clusterId, purpose, row.keyId, row.generation);
  const { privateKey } = openedKey(seal, place, { sealed: row.sealedKey }, keyPairOf);
  const signed = create(SignedSigningKeySchema, { statement: row.statement, signature: row.statementSignature });
  return { row, privateKey, signed };
}

function keyPairOf(pem: Uint8Array): KeyPair {
  return keyPairFromPem(Buffer.from(pem).toString("utf8"));
}

/** Puts a newer statement for the same key in place of the old one. */
export async function replaceStatement(
  tx: Tx,
  seal: TrustSeal,
  old: SigningKeyRow,
  next: { readonly signed: SignedSigningKey; readonly notBeforeMs: number; readonly notAfterMs: number },
): Promise<void> {
  const { signed, notBeforeMs, notAfterMs } = next;
  const row = { ...old, statement: signed.statement, statementSignature: signed.signature, notBeforeMs, notAfterMs };
  await tx.query(
    `update signing_key set statement = $2, statement_signature = $3, not_before_ms = $4, not_after_ms = $5, mac = $6
     where key_id = $1`,
    [
      old.keyId,
      row.statement,
      row.statementSignature,
      notBeforeMs,
      notAfterMs,
      seal.mac("signing_key", signingFields(row)),
    ],
  );
}

/** The next signing key of a cluster and purpose signs from now on; the one before it is only kept. */
export async function replaceSigningKey(
  tx: Tx,
  seal: TrustSeal,
  old: SigningKeyRow,
  key: Omit<Parameters<typeof insertSigningKey>[2], "clusterId" | "purpose" | "generation">,
): Promise<void> {
  await tx.query("update signing_key set status = 'old' where key_id = $1", [old.keyId]);
  const { clusterId, purpose, generation } = old;
  await insertSigningKey(tx, seal, { clusterId, purpose, generation: generation + 1, ...key });
}

/** Every signing key of a cluster with its status, authenticated, by purpose and generation. */
export async function listSigningKeys(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
): Promise<readonly (SigningKeyRow & { readonly status: "active" | "old" })[]> {
  const rows = await q.query<SigningKeyRow & { readonly status: "active" | "old" }>(
    `select ${signingColumns}, status from signing_key where cluster_id = $1 order by purpose, generation`,
    [clusterId],
  );
  for (const row of rows) requireAuthentic(seal, "signing_key", signingFields(row), row.mac);
  return rows;
}

/** The scope whose root issues `kind` for a cluster. */
export function issuingScope(kind: SpiffeKind, clusterId: string): string {
  return kind === "operator" ? INSTALLATION : clusterId;
}
