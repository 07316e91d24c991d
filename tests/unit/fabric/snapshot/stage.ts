/** An installation key and online signers for snapshots and feeds. */

import {
  certifySigningKey,
  createInstallationKey,
  type SigningUse,
  signingKeyId,
} from "../../../../certs/installation.ts";
import { generateEd25519, type KeyPair } from "../../../../certs/keys.ts";
import type { OnlineSigner } from "../../../../fabric/snapshot/sign.ts";

export const nowMs = 1_800_000_000_000;
export const installation = createInstallationKey();

export function signer(use: SigningUse, clusterId = "cl-a", by: KeyPair = installation, atMs = nowMs): OnlineSigner {
  const key = generateEd25519();
  const statement = certifySigningKey(by.privateKey, { clusterId, signingSpki: key.spkiDer, use, nowMs: atMs });
  return { keyId: signingKeyId(key.spkiDer), privateKey: key.privateKey, statement };
}

export function detailOf(act: () => unknown): string {
  try {
    act();
    return "none";
  } catch (thrown) {
    return (thrown as { detail?: string }).detail ?? String(thrown);
  }
}
