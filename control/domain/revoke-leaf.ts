/**
 * The end of one leaf by an operator's hand: off the allowlist, and into every feed whose nodes might believe it. Its key
 * and its identity stay as they are; who wants those ended revokes the node or the identity.
 *
 * Refused: what is revoked or over already, control's own leaves, and the leaf the operator calls with. Whoever calls stays
 * able to, so that somebody always is.
 */

import { INSTALLATION } from "../../certs/spiffe.ts";
import { WeftError } from "../../lib/errors.ts";
import { appendAudit } from "../store/audit.ts";
import { storeNowMs } from "../store/beats.ts";
import { type CertificateRow, type LeafName, lockCertificate, revokeLeaf } from "../store/certificates.ts";
import type { StoreContext } from "../store/context.ts";
import { addRevocations, addRevocationsEverywhere, type FeedMark } from "../store/revocations.ts";

/** Who ends which leaf, and why. */
export interface LeafOrder extends LeafName {
  readonly clusterId: string;
  /** The operator's SPIFFE id, and the leaf that proves it. */
  readonly actor: string;
  readonly callingSerial: string;
  readonly reason: string;
}

function refused(detail: string, message: string): WeftError {
  return new WeftError("failed_precondition", message, { detail });
}

/** Throws `failed_precondition` with what to do instead. */
function requireRevocable(row: CertificateRow, nowMs: number, order: LeafOrder): void {
  if (row.subjectKind === "control")
    throw refused(
      "CERTIFICATE_CONTROL",
      "a control replica's certificate is not revoked one by one: end the replica, or replace the authority with weft ca rotate",
    );
  if (row.status === "revoked") throw refused("CERTIFICATE_REVOKED", "this certificate is revoked already");
  if (row.notAfterMs <= nowMs)
    throw refused("CERTIFICATE_EXPIRED", "this certificate has expired: nobody believes it any more");
  if (row.subjectKind === "operator" && row.serial === order.callingSerial)
    throw refused(
      "CERTIFICATE_IN_USE",
      "this is the certificate you call with; have another operator revoke it, or revoke the identity",
    );
}

/** Revokes one leaf in one transaction with feed and record. Throws `not_found` (CERTIFICATE_NOT_FOUND) or as above. */
export async function revokeOneLeaf(ctx: StoreContext, order: LeafOrder): Promise<readonly FeedMark[]> {
  const { actor, reason } = order;
  return await ctx.sql.tx(async (tx) => {
    const row = await lockCertificate(tx, ctx.seal, order);
    if (row === undefined || (row.scope !== order.clusterId && row.scope !== INSTALLATION)) throw certificateNotFound();
    requireRevocable(row, await storeNowMs(tx), order);
    await revokeLeaf(tx, ctx, row);
    const everywhere = row.scope === INSTALLATION;
    const { issuerKeyId, serial, spiffe: spiffeId, notAfterMs } = row;
    const entry = { issuerKeyId, serial, spiffeId, reason, revokedBy: actor, notAfterMs };
    const marks = everywhere
      ? await addRevocationsEverywhere(tx, ctx, [entry])
      : [{ clusterId: row.scope, ...(await addRevocations(tx, ctx, row.scope, [entry])) }];
    await appendAudit(tx, {
      actor,
      action: "certificate.revoked",
      object: `${row.subjectKind}/${row.subjectId}`,
      ...(everywhere ? {} : { clusterId: row.scope }),
      before: { serials: [row.serial], status: row.status, issuer: row.issuerKeyId },
      after: { status: "revoked", reason },
    });
    return marks;
  });
}

export function certificateNotFound(): WeftError {
  return new WeftError("not_found", "no such certificate; weft cert list --status all shows those there are", {
    detail: "CERTIFICATE_NOT_FOUND",
  });
}
