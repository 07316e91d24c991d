/** Bounds of the control plane: part of `limits` (lib/limits.ts), where everybody reads them. */

const KiB = 1024;
const MiB = 1024 * KiB;
const secondMs = 1_000;
const hourMs = 3_600_000;

export const controlLimits = {
  // Nodes as operators watch them: alerts (control/store/alerts.ts), groups, health.
  alertObjectCharactersMaxCount: 256,
  alertDetailCharactersMaxCount: 500,
  alertRetentionMs: 30 * 24 * hourMs,
  groupsMaxCount: 1_000,
  groupDepthMaxCount: 8,
  nodeWatchMs: 5 * secondMs,
  // Further off, and a node's offers and proofs begin to be refused (offerSkewMaxMs); an alert closes at half of it.
  clockSkewAlertMs: 2 * secondMs,
  // A replica of control compares its clock with the store's this often; further off, it says that it does not serve: half of
  // what certificates are backdated by (leafBackdateMs).
  replicaClockEveryMs: 10 * secondMs,
  replicaClockStopMs: 30 * secondMs,
  // A clock that goes this much faster or slower than the store's gets an alert before it is far off; it closes at half of it.
  clockDriftAlertShare: 0.001,
  // Node side (node/clock-watch.ts): beats kept, and how many of them, over what time, say how fast a clock goes.
  clockSamplesMaxCount: 120,
  clockSamplesMinCount: 8,
  clockDriftSpanMinMs: 60 * secondMs,
  loadAlertShare: 0.95,
  loadAlertEndShare: 0.8,
  loadAlertOverMs: 60 * secondMs,
  // What was placed on a node that fell silent: left alone so long, then taken from it in all lists.
  placementWaitMs: 30 * secondMs,
  placementTtlMs: 300 * secondMs,
  reconciledMaxCount: 200,
  // The log of beats ends where either bound is reached, beatLogRetentionMs or this.
  beatLogMaxCount: 20_000_000,

  // The audit chain (fabric/audit/): what a witness keeps, how an export is read and sent, how often witnesses are asked.
  auditWitnessHeadsMaxCount: 64,
  auditedSerialsMaxCount: 100,
  auditObjectMaxCount: 300,
  auditLineMaxBytes: 16 * MiB,
  auditExportPageBytes: 256 * KiB,
  auditWitnessCheckMs: 10 * secondMs,
  // How often every trust row is read again, whether anybody asks for it or not (control/jobs/audit-watch.ts).
  trustSweepEveryMs: 300 * secondMs,
  // Refused calls that are written down (control/rpc/refusals.ts), besides refusalsRecordedPerSecond of one caller: of all
  // strangers together, of all known callers together, per replica. The rest is counted in one record a minute.
  refusalsOfStrangersPerSecond: 1,
  refusalsOfStrangersBurstCount: 100,
  refusalsOfKnownPerSecond: 2,
  refusalsOfKnownBurstCount: 500,
  refusalsCountedEveryMs: 60 * secondMs,
  // A forged trust row is told once; at most this many are remembered as told.
  forgedRowsToldMaxCount: 1_000,

  // Certificates used after another took their place (control/domain/clone-alarm.ts): its holder may have been dialling when
  // that happened; how often one is looked at again; how long without a use until its alert closes.
  leafReuseGraceMs: 10 * secondMs,
  leafReuseLookMs: 10 * secondMs,
  leafReuseQuietMs: 24 * hourMs,
  leafReusesKeptCount: 10_000,

  // How long the first call under a renewed certificate waits for answers to those under the one before; what an entry grants
  // control to renew a client's.
  rpcHandOverMs: 2 * secondMs,
  clientRenewMs: 10 * secondMs,

  // How often what snapshots show is looked after.
  graphRefreshMs: 10 * secondMs,
  graphMaterialShare: 0.2,
  healthRefreshMs: 1 * secondMs,
  deafAfterMs: 30 * secondMs,
  watchPollMs: 5 * secondMs,
  snapshotPayloadRetentionMs: 1 * hourMs,
  revocationLingerMs: 1 * hourMs,
  retentionSweepMs: 60 * secondMs,
  sweepRowsMaxCount: 10_000,

  // Stores.
  statementTimeoutMs: 5 * secondMs,
  poolConnectionsMaxCount: 10,
  listPageMaxCount: 500,
  storeConnectTimeoutMs: 5 * secondMs,
  storeAnswerMarginMs: 2 * secondMs,
  storeIdleConnectionMs: 60 * secondMs,
  idleTransactionTimeoutMs: 10 * secondMs,
  migrationLockWaitMs: 60 * secondMs,
  txAttemptsMaxCount: 10,
  storeProbeMs: 2 * secondMs,
  storeLookEveryMs: 2 * secondMs,
  storeStartWithinMs: 120 * secondMs,
  joinStartWithinMs: 120 * secondMs,
  storeStartRetryFirstMs: 250,
  storeStartRetryMaxMs: 2 * secondMs,

  // A store as a whole: copies, backups, what nodes tell after a restore.
  storeCopyBatchCount: 200,
  storeCopyStatementTimeoutMs: 600 * secondMs,
  backupLineMaxBytes: 64 * MiB,
  backupPieceBytes: 256 * KiB,
  keptFeedsMaxCount: 4,
  restoreAnswersWaitMs: 600 * secondMs,
  restoreWitnessesMaxCount: 20_000,
  restoreHoldStaleMaxMs: 1 * secondMs,

  // Control: hints, the allowlist cache, enrollment.
  hintTopicEveryMs: 50,
  hintReconnectMaxMs: 2 * secondMs,
  hintTopicMaxBytes: 128,
  hintBytesPerSecond: 1 * MiB,
  hintsPendingMaxCount: 1_000,
  allowlistStaleMaxMs: 1 * secondMs,
  allowlistEntriesMaxCount: 20_000,
  proofSkewMaxMs: 300 * secondMs,
  joinPollEveryMs: 2 * secondMs,
  joinListItemsMaxCount: 32,
  /** Tokens that approve by themselves. */
  autoApproveLifeMaxMs: 1 * hourMs,
  autoApproveUsesMaxCount: 100,
  joinTokenMaxBytes: 512,
  regionMaxBytes: 63,
  jobEveryMs: 60 * secondMs,
} as const;
