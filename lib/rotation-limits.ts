/** Bounds of rotations of authorities and signing keys: part of `limits` (lib/limits.ts), where everybody reads them. */

const secondMs = 1_000;
const hourMs = 3_600_000;

export const rotationLimits = {
  // How often each replica looks whether a phase is complete, and how old a phase is before an alert says whom it waits for.
  rotationLookMs: 1 * secondMs,
  rotationStalledAfterMs: 60 * secondMs,
  // A replica that has not said for so long which roots it believes is not waited for: it looks every doorsRefreshMs.
  replicaLiveMs: 75 * secondMs,
  taintedInUseMaxCount: 16,
  rotationStragglersMaxCount: 100,
  rotationsListedMaxCount: 100,
  rotationReasonMaxCount: 500,
  // Nodes told at once do not all answer, renew and connect anew at once.
  bundleAckSpreadMs: 500,
  taintedRenewSpreadMs: 3 * secondMs,
  taintedLinkSpreadMs: 2 * secondMs,
  // A link that was replaced is given this long to end with its calls, from the next try on: paths leave it meanwhile.
  taintedLinkGraceMs: 5 * secondMs,
  // With somebody exempted, connections that rely on a tainted root are waited for this long: they may be with them.
  taintedConnectionsMaxMs: 60 * secondMs,
  // How often a path or link under a tainted root is replaced until both ends show another.
  taintedPathEveryMs: 5 * secondMs,
  // How long the key before is still taken. Contracts live for up to a day; snapshots are renewed every hour.
  snapshotKeyOverlapMs: 2 * hourMs,
  feedKeyOverlapMs: 1 * hourMs,
  contractKeyOverlapMs: 24 * hourMs,
  signingKeyOverlapMinMs: 1 * secondMs,
  // How often an operator's command looks for newer roots.
  contextRootsEveryMs: 60 * secondMs,
  contextRootsWithinMs: 2 * secondMs,
  // How long an entry keeps a client waiting for newer roots; how long the roots that clients verify by are only published, at
  // least, so that whoever waits has heard of them before they are in use; how soon a client asks again after a failure.
  clientTrustWaitMs: 20 * secondMs,
  clientsHearMs: 2 * secondMs,
  clientTrustRetryMs: 2 * secondMs,
  // A node that hears nothing of control for so long asks whether roots were rotated meanwhile (node/trust-heal.ts).
  trustHealAfterMs: 10 * secondMs,
  trustHealEveryMs: 5 * secondMs,
  trustHealWithinMs: 5 * secondMs,
  clientTrustWithinMs: 28 * secondMs,
} as const;
