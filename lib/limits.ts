/**
 * Every bound of the product, in one place. The last word of a name is its unit (Bytes, Ms, Count, PerSecond, Share).
 * How limits relate is asserted in tests/unit/lib/limits.test.ts.
 */

import { controlLimits } from "./control-limits.ts";
import { feedLimits } from "./feed-limits.ts";
import { offlineLimits } from "./offline-limits.ts";
import { rotationLimits } from "./rotation-limits.ts";
import { rpcLimits } from "./rpc-limits.ts";
import { traceLimits } from "./trace-limits.ts";
import { workloadLimits } from "./workload-limits.ts";

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
const secondMs = 1_000;
const hourMs = 3_600_000;

export const limits = {
  // First bytes of a connection on a node's public port.
  peekMaxBytes: 16 * KiB,
  peekDeadlineMs: 2 * secondMs,
  peekSocketsMaxCount: 1_024,
  peekPerSourceMaxCount: 64,
  handshakeDeadlineMs: 5 * secondMs,
  handshakesInFlightMaxCount: 32,

  // Leg tokens, offers, paths.
  legTokenLifeMs: 5 * secondMs,
  offerLifeMs: 10 * secondMs,
  offerHopsMaxCount: 6,
  offerMaxBytes: 4 * KiB,
  pendingPathsPerInitiatorMaxCount: 50,
  offersPerInitiatorPerSecond: 20,
  pathsMaxCount: 10_000,
  openPathDeadlineMs: 8 * secondMs,
  openPathHopMarginMs: 500,

  // Splices: user space per path is two buffers.
  // Room for what comes while bulk is gathered: 1 GB/s each way. Pages that nothing was read into take no memory.
  spliceBufferBytes: 1 * MiB,
  spliceBulkReadBytes: 32 * KiB,
  spliceBulkReadsCount: 8,
  spliceGatherMs: 1,
  spliceHighWaterBytes: 64 * KiB,
  spliceReadMaxBytes: 64 * KiB,
  spliceFlushAfterFinMs: 1 * secondMs,
  spliceSilenceMaxMs: 60 * secondMs,

  // Data plane of a node: dials, links, path setup.
  legTokensMaxCount: 4_096,
  pendingPathsPerCallerMaxCount: 200,
  livePathsPerInitiatorMaxCount: 2_000,
  offersPerCallerPerSecond: 200,
  offerBurstCount: 40,
  legDialDeadlineMs: 5 * secondMs,
  splicePassSweepMs: 1 * secondMs,
  spliceRateBurstMs: 100,
  openingPathsMaxCount: 4,
  openingPathsQueueMaxCount: 1_024,
  openingPathsLendMs: 250,
  handshakesPerSourceMaxCount: 2,
  strangerHandshakesMaxCount: 24,
  // Handshakes of strangers that come to nothing (rpc/failed-handshakes.ts): what one may take, and what a source may take
  // beyond that. A millisecond and a half of event loop goes with each KiB of a hostile chain.
  handshakeHonestMaxBytes: 4 * KiB,
  failedHandshakeBurstBytes: 32 * KiB,
  failedHandshakeBytesPerSecond: 2 * KiB,
  publicSocketsMaxCount: 30_000,
  probePayloadMaxBytes: 16 * KiB,
  probeDeadlineMs: 2 * secondMs,
  // Probes of routes (node/roles/route-probe.ts): of one entry at a time, and how long an egress keeps the end of one.
  routeProbesMaxCount: 4,
  routeProbeEchoesMaxCount: 1_000,
  routeProbeIntervalMinMs: 5,
  routeProbeIntervalMaxMs: 5 * secondMs,
  routeProbePathMaxMs: 600 * secondMs,
  linkDialDeadlineMs: 5 * secondMs,
  linkRenewSpreadMs: 30 * secondMs,
  linkPathsMaxCount: 2_000,
  linkCloseGraceMs: 500,
  feedExchangeDeadlineMs: 5 * secondMs,

  // HTTP/2 between edges: set once, never tuned; the lane window is the only loop.
  pathStreamWindowBytes: 32 * MiB,
  pathConnectionWindowBytes: 64 * MiB,
  pathSessionMemoryMaxBytes: 96 * MiB,

  // Trunks.
  batchTargetBytes: 64 * KiB,
  batchMaxBytes: 96 * KiB,
  batchesInFlightMaxCount: 2,
  framesPerBatchMaxCount: 4_096,
  interactiveWindowStartBytes: 256 * KiB,
  interactiveWindowMaxBytes: 1 * MiB,
  bulkWindowStartBytes: 512 * KiB,
  bulkWindowMaxBytes: 16 * MiB,
  controlHeadroomBytes: 64 * KiB,
  channelCreditStartBytes: 16 * KiB,
  channelCreditMaxBytes: 16 * MiB,
  channelsPerTrunkMaxCount: 10_000,
  channelWriteQueueMaxBytes: 256 * KiB,
  channelSendQueueBytes: 128 * KiB,
  channelStreamHighWaterBytes: 64 * KiB,
  channelsEndingMaxCount: 1_000,
  channelOpenMaxBytes: 4 * KiB,
  // What initiators may keep at one far edge. One peer: an entry for one organization, or one client in all its processes.
  acceptedTrunksMaxCount: 10_000,
  acceptedTrunksPerPeerMaxCount: 256,
  acceptedChannelsMaxCount: 60_000,
  acceptedChannelsPerPeerMaxCount: 20_000,
  trunkReceivePoolBytes: 64 * MiB,
  processReceivePoolBytes: 256 * MiB,
  holdInitiatorMs: 30 * secondMs,
  holdAcceptorMs: 45 * secondMs,
  idleTrunkPingMs: 15 * secondMs,
  attachDeadlineMs: 5 * secondMs,
  attachmentsPerTrunkMaxCount: 16,
  attachmentsPerPathMaxCount: 8,
  ackDelayMs: 4,
  ackEveryInteractiveBytes: 32 * KiB,
  ackEveryBulkBytes: 128 * KiB,
  writtenReportDelayMs: 100,
  // Several paths may truly die within the span; a batch that kills what carries it goes through them in milliseconds.
  movesWithoutAckMaxCount: 6,
  movesWithoutAckSpanMs: 2 * secondMs,
  // A far edge that only ever attaches: at a second each until a path counts as wedged, about as long as trunks are held.
  movesUnansweredMaxCount: 32,
  trunkCloseGraceMs: 1 * secondMs,

  // Messages: without the 4 bytes of length in front of each.
  messageMaxBytes: 64 * KiB,
  // Half of a channel's first credit, framed: one always fits once what was sent before is consumed.
  droppableMessageMaxBytes: 8 * KiB - 4,
  droppableQueueBytes: 64 * KiB,
  droppableReplayMaxAgeMs: 250,
  messageBlockBytes: 32 * KiB,

  // Credit nobody uses.
  creditIdleMs: 5 * secondMs,
  creditSweepMs: 1 * secondMs,

  // Survival of trunks: the detector and the keeping of standbys.
  silenceLookMs: 25,
  silencePingMs: 100,
  silenceDeadMs: 300,
  stuckDeadMs: 1 * secondMs,
  stuckDeadMaxMs: 30 * secondMs,
  stuckForgottenMs: 60 * secondMs,
  peerOwesLifeMs: 1 * secondMs,
  leftPathLingerMs: 1 * secondMs,
  standbyFirstMs: 200,
  standbyDelayMaxMs: 2 * secondMs,
  pathAgeMaxMs: 24 * hourMs,
  standbyImproveEveryMs: 5 * secondMs,
  // Longer than it takes until link states say the same; no longer, or relays that take part again are no spares.
  shunnedNodeMs: 5 * secondMs,
  thirdPathEveryMs: 1 * secondMs,
  pathAttemptDelayMs: 250,
  heldOpenWaitMs: 300,
  // All paths of a trunk silent for so long: the far edge, and not a path, is what does not answer.
  silentTrunkMs: 2 * secondMs,
  // What a trunk may cost its entry: far above what failures of a mesh ask for, far below what an entry may offer.
  trunkPathsPerMinute: 30,
  trunkPathsBurstCount: 60,
  pathMaxBytes: 256 * 1_024 * MiB,

  // Links and liveness.
  linkProbeMs: 1 * secondMs,
  /** Of so many samples of a link, one asks the neighbour how it is; the others only measure. */
  linkProbesPerAskCount: 4,
  callersPerStatementMaxCount: 250,
  /** Watchers of snapshots that are served by one statement. */
  watchersPerStatementMaxCount: 500,
  payloadsPerStatementMaxCount: 200,
  /** How often a replica that others disagree with makes a new version of a cluster's snapshots. */
  snapshotLeaveEveryMs: 60 * secondMs,
  /** How many times as long as its snapshots took a cluster waits for the next ones, once they took so much; and how long at most. */
  snapshotRestShare: 2,
  snapshotDebtMaxMs: 1 * secondMs,
  snapshotRestMaxMs: 2 * secondMs,
  /** Beats recorded by one statement; those that wait for the next one. */
  beatsPerStatementMaxCount: 250,
  beatQueueMaxCount: 20_000,
  beatEveryMs: 5 * secondMs,
  staleAfterMs: 15 * secondMs,
  offlineAfterMs: 60 * secondMs,
  missingAfterMs: 24 * hourMs,
  beatLogRetentionMs: 7 * 24 * hourMs,

  // Identity and trust.
  leafLifeMs: 24 * hourMs,
  // The shortest life control may be set to give leaves (control/config.ts): certificates count whole seconds.
  leafLifeMinMs: 5 * secondMs,
  operatorLeafLifeMs: 12 * hourMs,
  leafBackdateMs: 60 * secondMs,
  renewAtShare: 1 / 3,
  caLifeMs: 365 * 24 * hourMs,
  recoverWithinMs: 30 * 24 * hourMs,
  joinTokenLifeDefaultMs: 600 * secondMs,
  joinTokenLifeMaxMs: 24 * hourMs,
  joinTokenUsesMaxCount: 1_000,
  joinRequestLifeMs: 24 * hourMs,
  csrMaxBytes: 4 * KiB,
  certificateMaxBytes: 8 * KiB,
  leafNamesMaxCount: 64,
  judgedCertificatesMaxCount: 1_024,
  keyFileMaxBytes: 16 * KiB,
  identityFileMaxBytes: 4 * MiB,
  trustBundleMaxBytes: 64 * KiB,
  factsMaxBytes: 8 * KiB,
  joinAttemptsPerSourcePerSecond: 10,
  rejudgeEveryMs: 1 * secondMs,
  /** Between two rounds of judging all sessions because something changed. */
  rejudgeRestMs: 100,

  // Snapshots; the revocation feed is in lib/feed-limits.ts, what goes on without control in lib/offline-limits.ts.
  snapshotLifeMs: 24 * hourMs,
  snapshotRefreshMs: 1 * hourMs,
  snapshotMaxBytes: 4 * MiB,
  signingKeyStatementLifeMs: 7 * 24 * hourMs,

  // Leases.
  leaseTtlMinMs: 5 * secondMs,
  leaseTtlMaxMs: 24 * hourMs,
  leaseMarginMs: 1 * secondMs,
  leaseMarginShare: 1 / 10,
  leaseNameMaxBytes: 200,
  // Of one lease, the newest fences and who had them; renewals are a count in each.
  leaseTenuresKeptCount: 64,
  leasePageMaxCount: 500,
  // Exclusive resources: how long an entry's lease lasts unless the operator says otherwise (node/lease-holder.ts).
  exclusiveLeaseMs: 20 * secondMs,
  exclusiveLeaseMinMs: 3 * secondMs,
  exclusiveLeaseMaxMs: 600 * secondMs,
  leaseCallMaxMs: 3 * secondMs,
  // A refused entry does not ask again for every client that knocks.
  leaseHeldRestMs: 500,
  // Resources an egress remembers the highest fence of, for good.
  fencesMaxCount: 10_000,

  // Contracts, as they travel (signed, with the statement of the key), and the leases of service channels behind them.
  contractMaxBytes: 2 * KiB,
  serviceLeaseTtlMinMs: 1 * secondMs,
  serviceLeaseTtlDefaultMs: 1 * hourMs,
  serviceLeaseTtlMaxMs: 24 * hourMs,
  serviceLeasesMaxCount: 10_000,
  serviceLeaseRetentionMs: 30 * 24 * hourMs,
  // Hops look this often whether a contract they carry has run out, and ask control for a newer one this long before.
  contractLookMs: 250,
  contractAskAheadMs: 10 * secondMs,
  contractAskEveryMs: 2 * secondMs,

  // What operators place, what nodes report (control/domain/placement.ts, control/services/).
  unixPathMaxBytes: 100,
  listenerSourcesMaxCount: 64,
  reportedLinksMaxCount: 256,
  reportedWorkloadsMaxCount: 64,
  reportedListenersMaxCount: 256,
  reportedTextMaxBytes: 256,
  bootIdMaxBytes: 64,

  // Clients that are edges themselves (client/, node/roles/path-service.ts).
  locatorPeriodMs: 24 * hourMs,
  clientPathAttemptsMaxCount: 6,
  clientDialMs: 2 * secondMs,
  clientLegMs: 8 * secondMs,
  clientWayMs: 2 * secondMs,
  clientWayDelayMs: 500,
  clientEntryPingMs: 1 * secondMs,
  entryRestMs: 5 * secondMs,
  // Of the offers an entry may make (offersPerInitiatorPerSecond, offerBurstCount) and of its paths (livePathsPerInitiatorMaxCount).
  clientOffersPerSecond: 15,
  clientOffersBurstCount: 30,
  clientOffersPerOrganizationPerSecond: 10,
  clientOffersPerOrganizationBurstCount: 28,
  clientOffersPerClientPerSecond: 8,
  clientOffersPerClientBurstCount: 25,
  livePathsPerClientMaxCount: 500,
  livePathsPerClientOrganizationMaxCount: 1_000,
  clientEventsMaxCount: 16,
  forwardedConnectionsMaxCount: 10_000,

  // QoS policies and route intents.
  qosPriorityMaxCount: 64,
  qosRateMinBytesPerSecond: 64 * KiB,
  qosRateMaxBytesPerSecond: 1_000_000_000_000,
  qosBurstMinBytes: 128 * KiB,
  qosBurstDefaultMinBytes: 256 * KiB,
  qosBurstMaxBytes: 1 * GiB,
  qosLaneShare: 0.95,
  qosChunkBytes: 16 * KiB,
  qosSliceMs: 20,
  qosPoliciesMaxCount: 10_000,
  routeIntentsMaxCount: 1_000,

  // Entry.
  channelOpenMaxMs: 5 * secondMs,
  channelAnswerMaxMs: 8 * secondMs,
  accessFirstMessageMs: 5 * secondMs,
  listenerConnectionsMaxCount: 10_000,
  entryConnectionsMaxCount: 20_000,
  failedPathRestMs: 2 * secondMs,
  routeSampleEveryMs: 1 * secondMs,

  // Egress.
  targetConnectMs: 5 * secondMs,

  // Fabric: decisions of a hop, routes considered.
  offerSkewMaxMs: 5 * secondMs,
  replayWindowMaxCount: 20_000,
  routeRelaysMaxCount: 4,
  routeCandidatesMaxCount: 64,
  routeExplainedMaxCount: 512,
  peerMissingMs: 10 * secondMs,
  peerRestMs: 60 * secondMs,
  linkDownMaxShare: 0.2,
  linkStartGraceMs: 10 * secondMs,
  routeJournalMaxCount: 65_536,
  routeIdleEdgesMaxCount: 20_000,
  routePlannersMaxCount: 32,
  routeTablesMaxCount: 64,
  routeRankingsMaxCount: 256,
  routeGainShare: 0.2,
  routeGainMinMs: 1,
  routeGainSamplesCount: 3,
  observationHalfLifeMs: 10 * secondMs,
  reliabilityHalfLifeMs: 300 * secondMs,
  failureHalfLifeMs: 60 * secondMs,

  // Log lines that strangers can cause (lib/paced-log.ts).
  pacedLinesPerSecond: 1,
  pacedLinesBurstCount: 10,

  // Moves of trunks as they are told (edge/move-reports.ts): of one trunk, and of all trunks of a role.
  moveReportsPerSecond: 1,
  moveReportsBurstCount: 10,
  moveReportsInAllPerSecond: 100,
  moveReportsInAllBurstCount: 1_000,
  moveReportsLookMs: 1 * secondMs,

  // Shutdown.
  drainGraceMs: 5 * secondMs,
  ...controlLimits,
  ...feedLimits,
  ...offlineLimits,
  ...rotationLimits,
  ...rpcLimits,
  ...traceLimits,
  ...workloadLimits,
} as const;
