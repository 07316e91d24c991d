import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { parseSpiffe } from "../../../../certs/spiffe.ts";
import { WorkloadState } from "../../../../gen/weft/control/v1/control_pb.ts";
import { NodeRole } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { SnapshotSchema } from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WorkloadKind } from "../../../../gen/weft/fabric/v1/workload_pb.ts";
import { limits } from "../../../../lib/limits.ts";
import type { NodeIdentity, RevocationSubject } from "../../../../node/ports.ts";
import { workloadReports } from "../../../../node/workloads/reports.ts";
import type { SupervisedStatus } from "../../../../node/workloads/supervised.ts";
import { currentWishes } from "../../../../node/workloads/wishes.ts";

const spiffe = "spiffe://weft-test.internal/cluster/cl-a/node/nd-1";
const leaf = { keyHash: "ab12", id: parseSpiffe(spiffe) };
const identity = { current: () => ({ leaf }) as unknown as NodeIdentity };
const workloads = [{ name: "web", spec: { kind: WorkloadKind.NATIVE } }];
const snapshot = create(SnapshotSchema, { workloads, notAfterMs: 1n });
const ports = (
  isRevoked: (subject: RevocationSubject) => boolean,
  current: typeof snapshot | undefined = snapshot,
) => ({
  identity,
  snapshot: { current: () => current },
  feed: { isRevoked },
});

describe("M-A7 what a node is asked to run", () => {
  it("is what its snapshot says, however old, and nothing before the first", () => {
    expect(currentWishes(ports(() => false)).map(({ name }) => name)).toEqual(["web"]);
    expect(currentWishes({ ...ports(() => false), snapshot: { current: () => undefined } })).toEqual([]);
  });

  it("LAW-I4 is nothing for a node that heard of its own revocation, by key or by name", () => {
    expect(currentWishes(ports(({ keyHashHex }) => keyHashHex === "ab12"))).toEqual([]);
    expect(currentWishes(ports((subject) => subject.spiffe === spiffe))).toEqual([]);
  });
});

describe("M-A7 what a node reports", () => {
  const status: SupervisedStatus = {
    ...{ name: "web", kind: "native", state: "backoff", reason: "ended by itself: exit 1", version: "2" },
    ...{ fingerprint: "f0", pid: 0, sinceMs: 1, restarts: 3, lastEnd: "exit 1" },
  };
  const facts = { version: "1.0", failedListeners: 0, supervised: [status] };
  const withRoles = (...roles: NodeRole[]) =>
    create(SnapshotSchema, {
      self: { roles: roles.map((role) => ({ role })) },
      workloads: [
        { name: "entry", spec: { kind: WorkloadKind.BUILTIN } },
        { name: "relay", spec: { kind: WorkloadKind.BUILTIN } },
      ],
    });

  it("built-ins run with the agent's version; what is wished for and not there is degraded", () => {
    const reports = workloadReports({ ...facts, snapshot: withRoles(NodeRole.RELAY, NodeRole.STORAGE) });
    expect(reports).toMatchObject([
      { name: "relay", kind: WorkloadKind.BUILTIN, state: WorkloadState.RUNNING, version: "1.0" },
      { name: "role-11", state: WorkloadState.DEGRADED, reason: "this agent does not run the role" },
      { name: "entry", kind: WorkloadKind.BUILTIN, state: WorkloadState.DEGRADED },
      { name: "web", kind: WorkloadKind.NATIVE, state: WorkloadState.BACKOFF, restarts: 3n, fingerprint: "f0" },
    ]);
  });

  it("entries whose listeners failed are degraded", () => {
    const [entry] = workloadReports({ ...facts, failedListeners: 2, snapshot: withRoles(NodeRole.ENTRY) });
    expect(entry).toMatchObject({ state: WorkloadState.DEGRADED, reason: "2 listeners failed" });
  });

  it("fits what control takes, whatever a reason holds", () => {
    const reason = `\u202e\n${"é\u{1F600}".repeat(400)}`;
    const supervised = Array.from({ length: 200 }, (_, n) => ({ ...status, name: `w-${n}`, reason }));
    const reports = workloadReports({ ...facts, supervised, snapshot: withRoles() });
    expect(reports).toHaveLength(limits.reportedWorkloadsMaxCount);
    for (const { reason: sent = "" } of reports) {
      expect(sent.length).toBeLessThanOrEqual(limits.reportedTextMaxBytes);
      expect(sent).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
    }
  });
});
