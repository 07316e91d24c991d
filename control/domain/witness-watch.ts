/**
 * Holds what nodes witnessed of the audit chain against the chain (REVIEW-16): a store whose log was cut or written anew
 * contradicts them. Each node that does so is an alert that stays open while it says so, and one audit record.
 */

import { limits } from "../../lib/limits.ts";
import { type AlertKey, type AlertKind, openAlertsOf, syncAlerts } from "../store/alerts.ts";
import { appendAudit } from "../store/audit.ts";
import type { Sql } from "../store/sql.ts";
import { type ContradictionRow, contradictedWitnesses } from "../store/witnesses.ts";

const kinds = ["audit-cut", "audit-forked", "audit-gap"] as const satisfies readonly AlertKind[];

/** What a contradicted report is: of an epoch before a restore it is a gap, whatever is there now. */
function kindOf(row: ContradictionRow): (typeof kinds)[number] {
  if (row.epoch < row.installationEpoch) return "audit-gap";
  return row.chainHash === null ? "audit-cut" : "audit-forked";
}

function detailOf(row: ContradictionRow): string {
  const hash = Buffer.from(row.hash).toString("hex").slice(0, 16);
  const there =
    row.chainHash === null
      ? `the log ends at ${row.headSeq}`
      : `the log has ${Buffer.from(row.chainHash).toString("hex").slice(0, 16)} there`;
  const next = kindOf(row) === "audit-gap" ? "from before a restore" : "export the log and run weft audit verify";
  return `${row.nodeName} saw record ${row.seq} as ${hash} in epoch ${row.epoch}; ${there}; ${next}`;
}

/** One look, for all clusters, whichever replica does it; returns how many nodes contradict the chain. */
export async function watchWitnesses(sql: Sql): Promise<number> {
  const found = await contradictedWitnesses(sql, limits.listPageMaxCount);
  const open = await openAlertsOf(sql, undefined, kinds);
  const clusterIds = new Set([...found, ...open].map((each: ContradictionRow | AlertKey) => each.clusterId));
  for (const clusterId of [...clusterIds].sort()) {
    const own = found.filter((row) => row.clusterId === clusterId);
    const wanted = own.map((row) => ({ kind: kindOf(row), object: `node/${row.nodeId}`, detail: detailOf(row) }));
    await sql.tx(async (tx) => {
      const { opened } = await syncAlerts(tx, clusterId, kinds, wanted);
      for (const { kind, object } of opened) {
        const row = own.find((each) => `node/${each.nodeId}` === object);
        if (row === undefined) continue;
        const { seq, epoch, headSeq } = row;
        const after = { kind, seq, epoch, headSeq, witnessed: row.hash, chain: row.chainHash ?? "" };
        await appendAudit(tx, { actor: "system", action: "audit.contradicted", object, clusterId, after });
      }
    });
  }
  return found.length;
}
