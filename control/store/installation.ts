/**
 * The installation: one row, made once by `control init`, with the key everything else hangs on.
 *
 * - A second init is refused by the row's own key, whatever starts at the same time.
 * - A control that finds sealed data and another sealing key stops: it neither reads nor replaces anything.
 */

import type { KeyObject } from "node:crypto";
import { type KeyPair, keyPairFromPem, privateKeyPem } from "../../certs/keys.ts";
import { INSTALLATION } from "../../certs/spiffe.ts";
import { WeftError } from "../../lib/errors.ts";
import { openedKey } from "./opened-keys.ts";
import { isUniqueViolation, one, type Queryable, type Tx } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export type InstallationMode = "production" | "dev";

export interface InstallationRow {
  readonly trustDomain: string;
  readonly epoch: number;
  readonly mode: InstallationMode;
  /** Ed25519, SPKI DER. */
  readonly publicKeySpki: Uint8Array;
  readonly sealedKey: Uint8Array;
  readonly sealingKeyId: string;
  readonly mac: Uint8Array;
}

export interface Installation {
  readonly trustDomain: string;
  readonly epoch: number;
  readonly mode: InstallationMode;
  readonly publicKeySpki: Uint8Array;
  /** SHA-256 of the public key: what join tokens carry and nodes pin. */
  readonly keyHash: string;
  readonly privateKey: KeyObject;
}

const columns = `trust_domain as "trustDomain", epoch, mode, public_key_spki as "publicKeySpki", sealed_key as "sealedKey",
  sealing_key_id as "sealingKeyId", mac`;

export function macFields(row: Omit<InstallationRow, "mac">): MacField[] {
  return [row.trustDomain, row.epoch, row.mode, row.publicKeySpki, row.sealedKey, row.sealingKeyId];
}

const keyPlace = (trustDomain: string) =>
  ({ cluster: INSTALLATION, purpose: "installation-key", id: trustDomain, version: 1 }) as const;

/** Makes the one row. Throws `already_exists` (INSTALLATION_EXISTS). */
export async function insertInstallation(
  tx: Tx,
  seal: TrustSeal,
  installation: { readonly trustDomain: string; readonly mode: InstallationMode; readonly keys: KeyPair },
): Promise<void> {
  const { trustDomain, mode, keys } = installation;
  const plain = Buffer.from(privateKeyPem(keys.privateKey), "utf8");
  const sealedKey = seal.seal(keyPlace(trustDomain), plain);
  const row = { trustDomain, epoch: 1, mode, publicKeySpki: keys.spkiDer, sealedKey, sealingKeyId: seal.keyId };
  try {
    await tx.query(
      `insert into installation (trust_domain, epoch, mode, public_key_spki, sealed_key, sealing_key_id, mac)
       values ($1, $2, $3, $4, $5, $6, $7)`,
      [
        trustDomain,
        row.epoch,
        mode,
        row.publicKeySpki,
        sealedKey,
        seal.keyId,
        seal.mac("installation", macFields(row)),
      ],
    );
  } catch (thrown) {
    if (!isUniqueViolation(thrown)) throw thrown;
    const options = { detail: "INSTALLATION_EXISTS", cause: thrown };
    throw new WeftError("already_exists", "this store already has an installation", options);
  }
}

/**
 * Raises the epoch, the first half of every fence, snapshot and feed given out from then on: past the one it has, and to
 * `atLeast`. Returns it. The audit record is the caller's. Throws like `loadInstallation` for a row that is not authentic.
 */
export async function raiseEpoch(tx: Tx, seal: TrustSeal, atLeast = 1): Promise<number> {
  const row = one(await tx.query<InstallationRow>(`select ${columns} from installation for update`));
  if (row === undefined) throw notInitialized();
  requireAuthentic(seal, "installation", macFields(row), row.mac);
  const epoch = Math.max(row.epoch + 1, atLeast);
  await tx.query("update installation set epoch = $1, mac = $2", [
    epoch,
    seal.mac("installation", macFields({ ...row, epoch })),
  ]);
  return epoch;
}

function notInitialized(): WeftError {
  return new WeftError("failed_precondition", "control has not been initialized", { detail: "NOT_INITIALIZED" });
}

/** Whether `control init` has been run on this store. */
export async function isInitialized(q: Queryable): Promise<boolean> {
  return (await q.query("select 1 as found from installation")).length > 0;
}

/**
 * The installation and its key. Throws `failed_precondition` (NOT_INITIALIZED, SEALING_KEY_WRONG) or `data_loss`
 * (TRUST_ROW_UNAUTHENTIC, SEALED_FORGED).
 */
export async function loadInstallation(q: Queryable, seal: TrustSeal): Promise<Installation> {
  const row = one(await q.query<InstallationRow>(`select ${columns} from installation`));
  if (row === undefined) throw notInitialized();
  if (row.sealingKeyId !== seal.keyId) {
    const message = "the store was sealed under another sealing key";
    throw new WeftError("failed_precondition", message, { detail: "SEALING_KEY_WRONG" });
  }
  requireAuthentic(seal, "installation", macFields(row), row.mac);
  const { privateKey, spkiDer, keyHash } = openedKey(
    seal,
    keyPlace(row.trustDomain),
    { sealed: row.sealedKey },
    (pem) => keyPairFromPem(Buffer.from(pem).toString("utf8")),
  );
  const { trustDomain, epoch, mode } = row;
  return { trustDomain, epoch, mode, publicKeySpki: spkiDer, keyHash, privateKey };
}
