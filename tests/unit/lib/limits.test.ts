/** What holds between limits: a change of one that breaks another shows here. */

import { it } from "vitest";
import { assert } from "../../../lib/errors.ts";
import { KiB, limits } from "../../../lib/limits.ts";

it("limits of trunks and sessions agree with each other", () => {
  assert(limits.staleAfterMs >= 3 * limits.beatEveryMs, "a node must miss three beats before it is stale");
  assert(limits.offlineAfterMs > limits.staleAfterMs, "stale comes before offline");
  assert(limits.holdAcceptorMs > limits.holdInitiatorMs, "the initiator gives up first");
  assert(limits.pathConnectionWindowBytes >= 2 * limits.bulkWindowMaxBytes, "HTTP/2 windows must never be the limit");
  assert(limits.pathStreamWindowBytes >= 2 * limits.bulkWindowMaxBytes, "HTTP/2 windows must never be the limit");
  assert(
    limits.pathSessionMemoryMaxBytes > limits.pathConnectionWindowBytes,
    "session memory covers the connection window",
  );
  assert(
    limits.batchMaxBytes >= limits.batchTargetBytes + 16 * KiB,
    "a batch may overshoot its target by one small frame",
  );
  assert(
    limits.channelWriteQueueMaxBytes >=
      limits.channelSendQueueBytes + limits.channelStreamHighWaterBytes + limits.channelCreditStartBytes,
    "what a producer can write to a channel that stalled at once",
  );
  assert(
    limits.messageMaxBytes <= limits.accessMessageMaxBytes,
    "a target's message fits into one message to a client",
  );
  assert(
    2 * (limits.droppableMessageMaxBytes + 4) <= limits.channelCreditStartBytes,
    "the largest droppable message goes out under the floor of credit",
  );
  assert(
    limits.batchTargetBytes + limits.droppableMessageMaxBytes + 4 + 16 * KiB <= limits.batchMaxBytes,
    "a whole droppable message may overshoot a batch's target",
  );
  assert(limits.messageBlockBytes <= limits.channelSendQueueBytes, "a block of messages fits into a channel's queue");
  assert(2 * limits.ackEveryBulkBytes <= limits.bulkWindowStartBytes, "acks come before the window is full");
  assert(
    2 * limits.ackEveryInteractiveBytes <= limits.interactiveWindowStartBytes,
    "acks come before the window is full",
  );
  assert(
    limits.rpcSessionMemoryMaxBytes >= limits.rpcStreamsMaxCount * limits.rpcStreamWindowBytes,
    "session memory covers every stream window of an RPC session",
  );
});

it("limits of trust, links and routes agree with each other", () => {
  assert(
    limits.rpcStreamWindowBytes <= limits.rpcConnectionWindowBytes,
    "one stream never needs more than its connection",
  );
  assert(limits.rpcKeepaliveTimeoutMs < limits.rpcKeepaliveMs, "a ping is judged before the next is sent");
  assert(limits.interactiveWindowMaxBytes <= limits.bulkWindowMaxBytes, "interactive never holds more than bulk");
  assert(limits.feedEveryMs * 3 <= limits.failClosedAfterMs, "a feed must be missed several times before closing");
  assert(
    limits.allowlistStaleMaxMs <= limits.rejudgeEveryMs,
    "a revocation told to one replica reaches the others within a second",
  );
  assert(
    limits.channelAnswerMaxMs > limits.targetConnectMs && limits.channelAnswerMaxMs > limits.channelOpenMaxMs,
    "a target that is slow to answer is told of as such",
  );
  assert(
    limits.listenerConnectionsMaxCount < limits.entryConnectionsMaxCount,
    "one listener never takes what the others of its entry need",
  );
  assert(limits.linkDownMaxShare * (limits.routeRelaysMaxCount + 1) <= 1, "a path is down at most all of the time");
  assert(limits.routeRelaysMaxCount + 2 <= limits.offerHopsMaxCount, "a route fits into an offer");
  assert(limits.deafAfterMs >= 3 * limits.graphRefreshMs, "a replica must miss several looks before it counts as deaf");
  assert(limits.deafAfterMs < limits.offlineAfterMs, "an unheard minute must not look like an offline node");
  assert(2 * limits.snapshotRefreshMs < limits.snapshotLifeMs, "a snapshot is renewed long before it ends");
  assert(
    limits.feedPersistEveryMs <= limits.signedSkewMaxMs,
    "what the disk holds of the newest date still counts after a restart with the clock set back",
  );
  assert(limits.watchPollMs < limits.feedEveryMs, "a lost hint never delays a regular feed");
  assert(
    limits.openPathDeadlineMs - (limits.offerHopsMaxCount - 2) * limits.openPathHopMarginMs > limits.legDialDeadlineMs,
    "even the last hop of a path has time to be dialled back",
  );
  assert(
    limits.strangerHandshakesMaxCount < limits.handshakesInFlightMaxCount,
    "links and paths have handshakes of their own",
  );
});

it("contracts fit where they travel, and end before what vouches for them", () => {
  const { batchMaxBytes, batchTargetBytes, channelOpenMaxBytes, contractMaxBytes } = limits;
  assert(batchMaxBytes >= batchTargetBytes + channelOpenMaxBytes + contractMaxBytes, "an open may overshoot a batch");
  assert(
    limits.serviceLeaseTtlMaxMs < limits.signingKeyStatementLifeMs / 2,
    "the key of a contract is certified for longer than any contract holds",
  );
  assert(limits.serviceLeaseTtlDefaultMs <= limits.serviceLeaseTtlMaxMs, "the default is allowed");
  assert(2 * limits.contractLookMs <= limits.serviceLeaseTtlMinMs, "the shortest lease is looked at in time");
});

it("watching nodes is in time for what it watches, and patient with it", () => {
  assert(limits.nodeWatchMs <= limits.graphRefreshMs / 2, "a look is never later than health is published");
  assert(
    limits.placementWaitMs < limits.offlineAfterMs - limits.staleAfterMs,
    "who stays stale is fenced before it is offline",
  );
  assert(limits.placementTtlMs > limits.offlineAfterMs, "a node that restarts keeps what was placed on it");
  assert(limits.clockSkewAlertMs < limits.offerSkewMaxMs, "a warning comes before offers are refused");
  assert(limits.loadAlertEndShare < limits.loadAlertShare, "a load at the bound does not flap");
  assert(limits.beatLogMaxCount > limits.sweepRowsMaxCount, "the log keeps more than a sweep deletes");
  // What control/store/migrations/0010_nodes.sql takes.
  assert(
    limits.alertObjectCharactersMaxCount <= 256 && limits.alertDetailCharactersMaxCount <= 500,
    "an alert fits into its row",
  );
});

it("clients, organizations and clients in all leave room for the next wider of them", () => {
  assert(
    limits.clientOffersPerClientPerSecond < limits.clientOffersPerOrganizationPerSecond,
    "a client, its organization",
  );
  assert(limits.clientOffersPerOrganizationPerSecond < limits.clientOffersPerSecond, "an organization, all clients");
  assert(limits.clientOffersPerSecond < limits.offersPerInitiatorPerSecond, "clients, their entry's own trunks");
  assert(limits.clientOffersPerClientBurstCount < limits.clientOffersPerOrganizationBurstCount, "a client's burst");
  assert(limits.clientOffersPerOrganizationBurstCount < limits.clientOffersBurstCount, "an organization's burst");
  assert(limits.clientOffersBurstCount < limits.offerBurstCount, "the burst of all clients");
  assert(limits.livePathsPerClientMaxCount < limits.livePathsPerClientOrganizationMaxCount, "paths of a client");
  assert(limits.livePathsPerClientOrganizationMaxCount < limits.livePathsPerInitiatorMaxCount, "paths of clients");
  assert(limits.acceptedChannelsPerPeerMaxCount * 2 < limits.acceptedChannelsMaxCount, "channels of one peer");
  assert(limits.acceptedChannelsPerPeerMaxCount >= limits.channelsPerTrunkMaxCount, "a trunk may be full");
  assert(limits.acceptedTrunksPerPeerMaxCount < limits.acceptedTrunksMaxCount, "trunks of one peer");
});

it("limits of traces agree with each other and with shutdown", () => {
  assert(limits.traceQueueMaxCount >= 2 * limits.traceBatchMaxCount, "one batch waits while another is sent");
  assert(limits.traceCloseMaxMs < limits.drainGraceMs, "a receiver that hangs must not be what a shutdown waits for");
  assert(limits.tracesJoinedBurstCount < limits.traceQueueMaxCount, "what others ask for fits beside what is our own");
});
