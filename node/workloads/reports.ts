/** What a node reports of its workloads: the roles it runs itself, and what it supervises. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { type WorkloadReportSchema, WorkloadState } from "../../gen/weft/control/v1/control_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { Snapshot } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WorkloadKind } from "../../gen/weft/fabric/v1/workload_pb.ts";
import { limits } from "../../lib/limits.ts";
import type { WorkloadPhase } from "./machine.ts";
import type { SupervisedStatus } from "./supervised.ts";

export type Report = MessageInitShape<typeof WorkloadReportSchema>;

export interface ReportFacts {
  readonly snapshot: Snapshot | undefined;
  /** Of the agent: the version of what it runs itself. */
  readonly version: string;
  /** Listeners of this entry that could not be bound. */
  readonly failedListeners: number;
  readonly supervised: readonly SupervisedStatus[];
}

const roleNames: Readonly<Partial<Record<NodeRole, string>>> = {
  [NodeRole.ENTRY]: "entry",
  [NodeRole.RELAY]: "relay",
  [NodeRole.EGRESS]: "egress",
};

const states = {
  stopped: WorkloadState.STOPPED,
  starting: WorkloadState.STARTING,
  running: WorkloadState.RUNNING,
  unhealthy: WorkloadState.UNHEALTHY,
  backoff: WorkloadState.BACKOFF,
  stopping: WorkloadState.STOPPING,
  failed: WorkloadState.FAILED,
  degraded: WorkloadState.DEGRADED,
} as const satisfies Record<WorkloadPhase, WorkloadState>;

/** A text as reports may carry it: plain and short. */
function plainReason(text: string): string {
  const plain = text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, " ");
  return Array.from(plain)
    .slice(0, limits.reportedTextMaxBytes / 2)
    .join("");
}

/** One role for several organizations is one workload. */
function builtIns({ snapshot, version, failedListeners }: ReportFacts): Report[] {
  const roles = [...new Set((snapshot?.self?.roles ?? []).map(({ role }) => role))].sort((a, b) => a - b);
  const row = { kind: WorkloadKind.BUILTIN, version };
  return roles.map((role) => {
    const name = roleNames[role];
    const reason =
      name === undefined
        ? "this agent does not run the role"
        : role === NodeRole.ENTRY && failedListeners > 0
          ? `${failedListeners} listeners failed`
          : "";
    const state = reason === "" ? WorkloadState.RUNNING : WorkloadState.DEGRADED;
    return { ...row, name: name ?? `role-${role}`, role, state, reason };
  });
}

/** Built-ins that are wished for and not there: the role was not assigned, or the ceiling took it away. */
function missingBuiltIns({ snapshot, version }: ReportFacts, there: readonly Report[]): Report[] {
  return (snapshot?.workloads ?? [])
    .filter(({ spec, name }) => spec?.kind === WorkloadKind.BUILTIN && !there.some((each) => each.name === name))
    .map(({ name }) => ({
      kind: WorkloadKind.BUILTIN,
      name,
      version,
      state: WorkloadState.DEGRADED,
      reason: "this node does not have the role, or its ceiling refuses it",
    }));
}

/** Everything a node reports, at most what control takes. */
export function workloadReports(facts: ReportFacts): Report[] {
  const roles = builtIns(facts);
  const supervised = facts.supervised.map(({ name, kind, state, reason, version, restarts, fingerprint }) => ({
    name,
    kind: kind === "container" ? WorkloadKind.CONTAINER : WorkloadKind.NATIVE,
    state: states[state],
    reason: plainReason(reason),
    version,
    restarts: BigInt(restarts),
    fingerprint,
  }));
  return [...roles, ...missingBuiltIns(facts, roles), ...supervised].slice(0, limits.reportedWorkloadsMaxCount);
}
