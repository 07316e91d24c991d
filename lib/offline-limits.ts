/** Bounds of what goes on while control cannot be heard: part of `limits` (lib/limits.ts), where everybody reads them. */

const secondMs = 1_000;
const hourMs = 3_600_000;

export const offlineLimits = {
  // A signed date further ahead of a node's own time than this does not count (node/time-floor.ts).
  signedSkewMaxMs: 300 * secondMs,
  // Offline policies (fabric/offline.ts).
  failClosedAfterMs: 60 * secondMs,
  continueForDefaultMs: 8 * hourMs,
  continueForMaxMs: 24 * hourMs,
  offlineGraceMaxMs: 1 * hourMs,
  // Shorter, and one late feed would stop what is well.
  offlineBoundMinMs: 15 * secondMs,
  offlinePoliciesMaxCount: 1_000,
  offlineLookMs: 1 * secondMs,
  offlinePathLingerMs: 2 * secondMs,
  // Three feeds in a row are missing.
  offlineSaidAfterMs: 30 * secondMs,
  offlineNoteEveryMs: 10 * secondMs,
  // Of what has been noted, when that is more.
  offlineNoteShare: 1 / 100,

  // Snapshots that contradict each other, kept on a node.
  forkEvidenceMaxCount: 16,
  // Alerts about a node that came with an older snapshot than it had.
  rolledBackAlertMs: 24 * hourMs,
} as const;
