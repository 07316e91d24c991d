/** Plain TCP listeners at entries. A removed one keeps its row, for the audit trail; its name and bind are free again. */

import { WeftError } from "../../lib/errors.ts";
import type { ListenerDraft } from "../domain/placement.ts";
import type { Queryable, Tx } from "./sql.ts";
import { isUniqueViolation, one } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface ListenerRow extends ListenerDraft {
  readonly id: string;
  readonly clusterId: string;
  readonly organizationId: string;
  readonly resourceId: string;
  readonly resourceName: string;
  readonly entryNodeId: string;
  readonly createdAtMs: number;
  readonly createdBy: string;
  readonly mac: Uint8Array;
}

export type NewListener = Omit<ListenerRow, "createdAtMs" | "mac" | "resourceName">;

export function macFields(row: NewListener): MacField[] {
  return [
    row.id,
    row.clusterId,
    row.organizationId,
    row.resourceId,
    row.entryNodeId,
    row.name,
    row.bindHost,
    row.bindPort,
    row.allowedSources.join(","),
    row.createdBy,
  ];
}

/** Inserts a listener; `already_exists` when its name or its bind is taken. */
export async function insertListener(tx: Tx, seal: TrustSeal, row: NewListener): Promise<void> {
  try {
    await tx.query(
      `insert into listener (id, cluster_id, organization_id, resource_id, entry_node_id, name, bind_host, bind_port,
         allowed_sources, created_by, mac)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9::text[], $10, $11)`,
      [
        row.id,
        row.clusterId,
        row.organizationId,
        row.resourceId,
        row.entryNodeId,
        row.name,
        row.bindHost,
        row.bindPort,
        row.allowedSources,
        row.createdBy,
        seal.mac("listener", macFields(row)),
      ],
    );
  } catch (cause) {
    if (isUniqueViolation(cause, "listener_socket")) {
      const message = "another listener of this entry has that address and port";
      throw new WeftError("already_exists", message, { detail: "LISTENER_BIND_TAKEN", cause });
    }
    if (!isUniqueViolation(cause)) throw cause;
    throw new WeftError("already_exists", "the organization has a listener of that name", {
      detail: "LISTENER_EXISTS",
      cause,
    });
  }
}

const selectText = `
  select l.id, l.cluster_id as "clusterId", l.organization_id as "organizationId", l.resource_id as "resourceId",
    r.name as "resourceName", l.entry_node_id as "entryNodeId", l.name, l.bind_host as "bindHost", l.bind_port as "bindPort",
    l.allowed_sources as "allowedSources", l.created_at_ms as "createdAtMs", l.created_by as "createdBy", l.mac
  from listener l join resource r on r.id = l.resource_id
  where l.cluster_id = $1 and l.removed_at_ms is null`;

/** The cluster's listeners by organization and name, authenticated. */
export async function listListeners(q: Queryable, seal: TrustSeal, clusterId: string): Promise<readonly ListenerRow[]> {
  const rows = await q.query<ListenerRow>(`${selectText} order by l.organization_id, l.name, l.id`, [clusterId]);
  for (const row of rows) requireAuthentic(seal, "listener", macFields(row), row.mac);
  return rows;
}

/** The listener with that id or (when unambiguous) name, authenticated; NOT_FOUND otherwise. */
export async function requireListener(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  idOrName: string,
): Promise<ListenerRow> {
  const [found, other] = await q.query<ListenerRow>(
    `${selectText} and (l.id = $2 or l.name = $2) order by (l.id = $2) desc, l.id limit 2`,
    [clusterId, idOrName],
  );
  if (found === undefined) {
    throw new WeftError("not_found", "no such listener in this cluster", { detail: "LISTENER_NOT_FOUND" });
  }
  if (other !== undefined && found.id !== idOrName) {
    const message = "several organizations have a listener of that name: give its id";
    throw new WeftError("failed_precondition", message, { detail: "AMBIGUOUS_NAME" });
  }
  requireAuthentic(seal, "listener", macFields(found), found.mac);
  return found;
}

/** Removes a listener; false when it was not there. */
export async function markListenerRemoved(tx: Tx, clusterId: string, listenerId: string): Promise<boolean> {
  const row = one(
    await tx.query<{ id: string }>(
      `update listener set removed_at_ms = now_ms() where cluster_id = $1 and id = $2 and removed_at_ms is null returning id`,
      [clusterId, listenerId],
    ),
  );
  return row !== undefined;
}
