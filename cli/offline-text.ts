/** Offline policies and how a node stands with them, as people read them. */

import { OfflineMode } from "../gen/weft/fabric/v1/role_pb.ts";
import type { OfflinePolicy } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import type { OfflineState, OfflineStatus } from "../gen/weft/node/v1/node_pb.ts";
import { limits } from "../lib/limits.ts";
import { enumName, when } from "./output.ts";

/** `90s`, `15m`, `8h`; negative: to the end of certificate and snapshot. */
export function durationText(ms: bigint | number): string {
  const value = Number(ms);
  if (value < 0) return "as long as certificate and snapshot last";
  const units = [
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1_000],
  ] as const;
  const [unit, size] = units.find(([, each]) => value >= each && value % each === 0) ?? ["ms", 1];
  return `${value / size}${unit}`;
}

/** A policy in one line, with the durations that count. */
export function offlineText(policy: Pick<OfflinePolicy, "mode" | "continueForMs" | "graceMs"> | undefined): string {
  const mode = policy?.mode ?? OfflineMode.UNSPECIFIED;
  const grace = durationText((policy?.graceMs ?? 0n) || limits.failClosedAfterMs);
  switch (mode) {
    case OfflineMode.CONTINUE:
      return "continue: everything, as long as certificate and snapshot last";
    case OfflineMode.UNSPECIFIED:
    case OfflineMode.CONTINUE_FOR:
      return `continue-for ${durationText((policy?.continueForMs ?? 0n) || limits.continueForDefaultMs)}`;
    case OfflineMode.EXISTING_ONLY:
      return `existing-only: nothing new after ${grace}`;
    default:
      return `${enumName(OfflineMode, mode)}: nothing after ${grace}`;
  }
}

function stateText({ mode, newChannels, existing, newUntilMs, existingUntilMs }: OfflineState): string {
  const until = (allowed: boolean, ms: bigint): string => (allowed ? `until ${when(ms)}` : `ended ${when(ms)}`);
  const name = mode === OfflineMode.UNSPECIFIED ? "" : `${enumName(OfflineMode, mode)}; `;
  return `${name}new ${until(newChannels, newUntilMs)}, existing ${until(existing, existingUntilMs)}`;
}

/** Rows of `weft node show`: since when nothing is heard, and what that leaves, for the cluster and what differs from it. */
export function offlineRows({ newestFeedMs, staleMs, offline, states }: OfflineStatus): string[][] {
  const since = offline ? `since ${when(newestFeedMs)}` : "no";
  return [
    ["offline", `${since}; newest feed ${durationText(Math.round(Number(staleMs) / 1_000) * 1_000)} old`],
    ...states.map((state) => [
      state.resourceId !== ""
        ? `offline, resource ${state.resourceId}`
        : state.organizationId !== ""
          ? `offline, paths of ${state.organizationId}`
          : "offline policy",
      stateText(state),
    ]),
  ];
}
