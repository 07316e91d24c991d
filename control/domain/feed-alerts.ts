/**
 * What is wrong with the revocation feed of a cluster, as alerts: it fills (before a revocation is refused), nodes sign that
 * it contradicts itself, that they can take no more, or that they have not applied it though they are there.
 */

import { limits } from "../../lib/limits.ts";
import { type Alert, type AlertKind, syncAlerts } from "../store/alerts.ts";
import { appendAudit } from "../store/audit.ts";
import { type ReceiptStateRow, receiptStates } from "../store/feed-receipts.ts";
import { type FeedFill, feedFill, unappliedNodes } from "../store/revocations.ts";
import type { Sql } from "../store/sql.ts";
import type { FeedSource } from "./feed.ts";
import { contradictionOf, type FeedPlace } from "./feed-receipts.ts";

const kinds = [
  "feed-filling",
  "feed-full",
  "feed-forked",
  "feed-overflow",
  "feed-unapplied",
] as const satisfies readonly AlertKind[];

type Wanted = Omit<Alert, "clusterId">;

/** How full a feed is, as an alert; nothing below `limits.feedFillingShare` of both bounds. */
export function fillAlerts({ clusterId, count, bytes }: FeedFill): readonly Wanted[] {
  const share = Math.max(count / limits.revocationsMaxCount, bytes / limits.feedMaxBytes);
  if (share < limits.feedFillingShare) return [];
  const full = share >= limits.feedFullShare;
  const detail = `${count} revocations are ${Math.floor(share * 100)} % of what the feed holds; at 100 % no more are taken: ${
    full
      ? "replace the authority (weft ca rotate), which ends all of its certificates"
      : "they lapse with the certificates they concern"
  }`;
  return [{ kind: full ? "feed-full" : "feed-filling", object: `cluster/${clusterId}`, detail }];
}

/** What nodes sign that should not be. */
export function receiptAlerts(rows: readonly ReceiptStateRow[], now: FeedPlace): readonly Wanted[] {
  return rows.flatMap((row) => {
    const object = `node/${row.nodeId}`;
    const contradiction = contradictionOf(row, now);
    const next =
      "somebody else signs with the key of the feed: replace it (weft ca rotate --kind signing --purpose feed), then take feed-fork-*.bin away there";
    return [
      ...(contradiction === undefined
        ? []
        : [{ kind: "feed-forked" as const, object, detail: `${contradiction}; ${next}` }]),
      ...(row.overflowing === true
        ? [
            {
              kind: "feed-overflow" as const,
              object,
              detail: `${row.nodeName} was shown more than ${limits.revocationsKeptMaxCount} revocations and takes no more; ${next}`,
            },
          ]
        : []),
    ];
  });
}

/** One look at a cluster's feed, whichever replica does it. */
export async function watchFeed(sql: Sql, feeds: FeedSource, clusterId: string): Promise<void> {
  // Before the position: what a node holds by then, control has issued.
  const rows = await receiptStates(sql, clusterId);
  const now = await feeds.current(clusterId);
  const late = await unappliedNodes(sql, clusterId, limits.feedUnappliedAlertMs);
  const fill = await feedFill(sql, clusterId);
  const wanted: Wanted[] = [
    ...fill.flatMap(fillAlerts),
    ...receiptAlerts(rows, now),
    ...late.map(({ nodeId, nodeName }) => ({
      kind: "feed-unapplied" as const,
      object: `node/${nodeId}`,
      detail: `${nodeName} beats and has not said that it applied the newest revocations; is its version current, and its disk writable?`,
    })),
  ];
  await sql.tx(async (tx) => {
    const { opened } = await syncAlerts(tx, clusterId, kinds, wanted);
    for (const { kind, object } of opened) {
      if (kind !== "feed-forked") continue;
      const row = rows.find(({ nodeId }) => object === `node/${nodeId}`);
      const { feedEpoch, feedSeq, forks, forkedEpoch, forkedSeq, forkedHash } = row ?? {};
      const after = { feedEpoch, feedSeq, forks, forkedEpoch, forkedSeq, forkedHash, control: now.feedSeq };
      await appendAudit(tx, { actor: "system", action: "feed.forked", object, clusterId, after });
    }
  });
}
