/** Bounds of revocation: part of `limits` (lib/limits.ts), where everybody reads them. */

const KiB = 1024;
const secondMs = 1_000;

export const feedLimits = {
  feedEveryMs: 10 * secondMs,
  feedPersistEveryMs: 300 * secondMs,
  // One statement: on the wire and parsed. Control refuses a revocation that would not fit any more.
  feedMaxBytes: 768 * KiB,
  revocationsMaxCount: 16_384,
  // A larger feed is shown to a neighbour only once it is known to be behind (node/feed-exchange.ts).
  feedAlongMaxBytes: 64 * KiB,
  // What a node counts, of all statements it ever verified: a whole feed of another epoch or branch besides its own.
  revocationsKeptMaxCount: 32_768,
  // Statements besides the own one that a node hands on because they revoke more.
  feedBranchesMaxCount: 4,
  // From this share of either bound on, an alert says that the feed fills; from the second on, that it is as good as full.
  feedFillingShare: 0.5,
  feedFullShare: 0.9,
  // How soon after a change of the feed a node beats, to say so: later than its sessions are judged again, not all at once,
  // and no more often than that.
  receiptDelayMs: 150,
  receiptSpreadMs: 250,
  receiptEveryMs: 500,
  // An unchanged receipt is said again with every so many beats: a control that lost its store has it within a minute.
  receiptRepeatBeatsCount: 12,
  receiptMaxBytes: 1_024,
  // A node that beats and has not taken up the feed for so long is told of.
  feedUnappliedAlertMs: 60 * secondMs,
  feedWatchMs: 10 * secondMs,
  // What `weft cert list` shows at once.
  certificatesPageMaxCount: 500,
  // Leaves of one key, and entries of the feed, that `weft cert show` names.
  certificateFactsMaxCount: 50,
} as const;
