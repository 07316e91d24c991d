/** Bounds of RPC surfaces: part of `limits` (lib/limits.ts), where everybody reads them. */

const KiB = 1024;
const MiB = 1024 * KiB;
const secondMs = 1_000;

export const rpcLimits = {
  rpcMessageMaxBytes: 1 * MiB,
  rpcDeadlineMaxMs: 30 * secondMs,
  accessMessageMaxBytes: 64 * KiB,
  joiningBodyMaxBytes: 64 * KiB,
  joiningStreamsMaxCount: 4,
  joiningSessionMaxMs: 30 * secondMs,
  joiningSessionsMaxCount: 1_024,
  joiningSessionsPerSourceMaxCount: 128,
  handshakesWaitingPerSourceMaxCount: 256,
  linkStreamsMaxCount: 100,
  rpcStreamsMaxCount: 100,
  rpcSessionMemoryMaxBytes: 64 * MiB,
  rpcStreamWindowBytes: 256 * KiB,
  rpcConnectionWindowBytes: 4 * MiB,
  rpcHeaderListMaxBytes: 8 * KiB,
  rpcSettingsMaxCount: 32,
  rpcStreamResetBurstCount: 200,
  rpcStreamResetPerSecond: 33,
  // Floods that end a session (rpc/flood-guard.ts): far above what any caller of ours does, or is allowed to.
  rpcSessionCallsBurstCount: 2_000,
  rpcSessionCallsPerSecond: 1_000,
  // As many header lists (rpcHeaderListMaxBytes) are kept for one caller.
  rpcOpenCallsPerCallerMaxCount: 512,
  rpcOpenCallsFloodShare: 1.25,
  // What open calls of one caller have sent as requests, beyond the first bytes of each (rpc/body-budget.ts).
  rpcBodiesPerCallerMaxBytes: 16 * MiB,
  rpcBodyFreeMaxBytes: 16 * KiB,
  linkStreamResetBurstCount: 500,
  linkOpenCallsPerCallerMaxCount: 8_192,
  linkCallsBurstCount: 8_000,
  linkCallsPerSecond: 4_000,
  joiningCallsBurstCount: 100,
  joiningCallsPerSecond: 5,
  joiningResetBurstCount: 20,
  joiningResetPerSecond: 5,
  rpcPingsBurstCount: 1_000,
  rpcPingsPerSecond: 100,
  rpcSettingsBurstCount: 100,
  rpcSettingsPerSecond: 10,
  rpcInvalidFramesMaxCount: 20,
  joiningSessionMaxBytes: 1 * MiB,
  rpcBytesLookMs: 200,
  rpcStrayMaxBytes: 256 * KiB,
  // Of one caller, forgotten one by one: a flood keeps it out for ten seconds.
  rpcFaultsMaxCount: 10,
  rpcFloodFaultsCount: 20,
  rpcFaultsPerSecond: 1,
  rpcIdleSessionMaxMs: 300 * secondMs,
  rpcErrorFlushMs: 1 * secondMs,
  // From the end of a session here to the end of the connection, whose other half is the peer's to end.
  rpcHangUpAfterMs: 10 * secondMs,
  doorsRefreshMs: 30 * secondMs,
  refusalsRecordedPerSecond: 5,
  refusalsRecordedBurstCount: 50,
  doorsLookAgainMs: 1 * secondMs,
  rpcKeepaliveMs: 30 * secondMs,
  rpcKeepaliveTimeoutMs: 10 * secondMs,
  rpcConnectDeadlineMs: 5 * secondMs,
  rpcRateKeysMaxCount: 10_000,
  rpcPerNodePerSecond: 50,
  rpcPerClientPerSecond: 50,
  rpcPerOperatorPerSecond: 200,
  rpcPerLinkPerSecond: 1_000,
  rpcInspectPerSecond: 50,

  // Metrics ports (rpc/metrics-port.ts): a scraper keeps one connection and asks every few seconds.
  metricsConnectionsMaxCount: 16,
  metricsRequestMaxMs: 5 * secondMs,
  metricsHeadersMaxBytes: 8 * KiB,
  // What control reads from its store for a scrape is kept for so long: scrapers cost the store no more than one does.
  metricsStoreKeptMs: 5 * secondMs,
} as const;
