/** The bounds of workloads, as a part of `limits` (lib/limits.ts): read them from there. */

const KiB = 1024;
const MiB = 1024 * KiB;
const secondMs = 1_000;
const hourMs = 3_600_000;

export const workloadLimits = {
  // Workloads: what may be asked for (control/domain/workload-spec.ts).
  workloadsPerNodeMaxCount: 32,
  workloadWordsMaxCount: 64,
  workloadWordMaxBytes: 4 * KiB,
  workloadSpecMaxBytes: 16 * KiB,
  workloadVersionMaxBytes: 128,
  workloadBackoffFloorMs: 100,
  workloadBackoffMinDefaultMs: 1 * secondMs,
  workloadBackoffMaxDefaultMs: 60 * secondMs,
  workloadBackoffMaxMs: 1 * hourMs,
  workloadRestartsDefaultCount: 10,
  workloadRestartsMaxCount: 1_000,
  workloadWindowDefaultMs: 600 * secondMs,
  workloadWindowMaxMs: 24 * hourMs,
  workloadGraceDefaultMs: 10 * secondMs,
  workloadGraceMaxMs: 600 * secondMs,
  workloadHealthPeriodFloorMs: 200,
  workloadHealthPeriodDefaultMs: 10 * secondMs,
  workloadHealthTimeoutDefaultMs: 2 * secondMs,
  workloadHealthMaxMs: 600 * secondMs,
  workloadHealthFailuresDefaultCount: 3,
  workloadHealthFailuresMaxCount: 100,
  workloadStartWithinDefaultMs: 60 * secondMs,

  // Workloads: what an agent keeps and does (node/workloads/). Of a log: in memory, on disk (twice this), and how fast.
  workloadLogMemoryBytes: 256 * KiB,
  workloadLogFileBytes: 1 * MiB,
  workloadLogLineMaxBytes: 4 * KiB,
  workloadLogBytesPerSecond: 256 * KiB,
  workloadLogBurstBytes: 1 * MiB,
  workloadLogBatchMaxBytes: 64 * KiB,
  workloadVariableFileMaxBytes: 64 * KiB,
  workloadGroupLookMs: 40,
  workloadJudgeEveryMs: 10 * secondMs,
  workloadReportDelayMs: 300,
  // When the agent itself ends, whatever the workload's own grace is.
  workloadAgentGraceMs: 3 * secondMs,
} as const;
