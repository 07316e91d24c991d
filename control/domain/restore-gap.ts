/** What a restore lost, as far as nodes can tell: the difference between where the backup stood and what they witnessed. */

import { closeAlert, openAlert } from "../store/alerts.ts";
import { type RestoreRow, silentMembers, type WitnessRow, witnessesOf } from "../store/restores.ts";
import type { Queryable } from "../store/sql.ts";

export interface RestoreGap {
  /** Audit records after the backup, up to the highest that a node has seen. */
  readonly auditRecords: number;
  readonly snapshotVersions: number;
  readonly feedPositions: number;
  readonly revocationsLearned: number;
  /** Nodes of this installation that the store does not know: approved after the backup. */
  readonly unknownNodeIds: readonly string[];
  /** Active members that have not told yet. */
  readonly silentNames: readonly string[];
}

/** Compares; what no node tells is not in it. */
export function gapOf(
  restore: Pick<RestoreRow, "backupAuditSeq" | "positions">,
  witnesses: readonly WitnessRow[],
  silentNames: readonly string[],
): RestoreGap {
  const highest = (values: readonly number[]): number => values.reduce((most, each) => Math.max(most, each), 0);
  const lost = (one: (witness: WitnessRow, backup: RestoreRow["positions"][number]) => number): number =>
    restore.positions
      .map((backup) =>
        highest(witnesses.filter((each) => each.clusterId === backup.clusterId).map((w) => one(w, backup))),
      )
      .reduce((sum, each) => sum + each, 0);
  return {
    auditRecords: Math.max(0, highest(witnesses.map(({ auditSeq }) => auditSeq)) - restore.backupAuditSeq),
    snapshotVersions: lost((witness, backup) =>
      witness.snapshotEpoch < backup.snapshotEpoch ? 0 : Math.max(0, witness.snapshotVersion - backup.snapshotVersion),
    ),
    feedPositions: lost((witness, backup) =>
      witness.feedEpoch < backup.feedEpoch ? 0 : Math.max(0, witness.feedSeq - backup.feedSeq),
    ),
    revocationsLearned: witnesses.reduce((sum, { learnedCount }) => sum + learnedCount, 0),
    unknownNodeIds: witnesses.filter(({ kind }) => kind === "unknown").map(({ nodeId }) => nodeId),
    silentNames,
  };
}

/** The gap of a restore as it is known now. */
export async function readGap(q: Queryable, restore: RestoreRow): Promise<RestoreGap> {
  const silent = await silentMembers(q, restore.id);
  return gapOf(
    restore,
    await witnessesOf(q, restore.id),
    silent.map(({ name }) => name),
  );
}

/** The gap in words. */
export function gapText(gap: RestoreGap): string {
  const some = (names: readonly string[]): string =>
    names.length <= 5 ? names.join(", ") : `${names.slice(0, 5).join(", ")} and ${names.length - 5} more`;
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
  const parts = [
    gap.auditRecords > 0 ? `lost: ${count(gap.auditRecords, "audit record")}` : "",
    gap.snapshotVersions > 0 ? `lost: ${count(gap.snapshotVersions, "version")} of the configuration` : "",
    gap.feedPositions > 0 ? `lost: ${count(gap.feedPositions, "change")} of the revocation feed` : "",
    gap.revocationsLearned > 0 ? `learned back from nodes: ${count(gap.revocationsLearned, "revocation")}` : "",
    gap.unknownNodeIds.length > 0 ? `approved after the backup, to be approved again: ${some(gap.unknownNodeIds)}` : "",
    gap.silentNames.length > 0 ? `have not told yet what they know: ${some(gap.silentNames)}` : "",
  ].filter((part) => part !== "");
  return parts.length === 0 ? "no node knows more than the backup" : parts.join("; ");
}

/** Keeps the alert of a restore up to date: open while anything is missing or somebody is silent. */
export async function tellGap(q: Queryable, restore: RestoreRow): Promise<void> {
  const gap = await readGap(q, restore);
  const key = { clusterId: "", kind: "restore-gap", object: `restore/${restore.id}` } as const;
  const lost = gap.auditRecords + gap.snapshotVersions + gap.feedPositions + gap.revocationsLearned;
  if (lost + gap.unknownNodeIds.length + gap.silentNames.length === 0) await closeAlert(q, key);
  else {
    const detail = `${gapText(gap)}; look with "weft db status", and when nothing is left to do: "weft db accept ${restore.id}"`;
    await openAlert(q, { ...key, detail });
  }
}
