/** Telling a server whose root is not known here from one that is away: what to do about it differs. */

const codes = new Set([
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_SIGNATURE_FAILURE",
]);

const causesMaxCount = 8;

/** Whether something failed because the other end showed a certificate of a root that is not known here. */
export function isUnknownRoot(thrown: unknown): boolean {
  for (let at = thrown, depth = 0; at instanceof Error && depth < causesMaxCount; at = at.cause, depth += 1) {
    const { code, detail } = at as { code?: unknown; detail?: unknown };
    if ((typeof code === "string" && codes.has(code)) || detail === "CERT_ISSUER") return true;
  }
  return false;
}
