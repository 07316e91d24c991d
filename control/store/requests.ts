/** Join requests: what a host asked for, and what an operator decided. */

import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { GrantRow } from "../domain/placement.ts";
import type { AddressRow } from "./nodes.ts";
import { one, type Queryable, type Tx } from "./sql.ts";

export type RequestStateText = "pending" | "approved" | "rejected" | "expired";

export interface RequestRow {
  /** 130 random bits. */
  readonly id: string;
  readonly clusterId: string;
  readonly tokenId: string;
  readonly keyHash: string;
  readonly csr: Uint8Array;
  /** A wish until approved. */
  readonly nodeName: string;
  readonly capabilities: readonly string[];
  readonly requestedRoles: readonly GrantRow[];
  readonly addresses: readonly AddressRow[];
  readonly dialOutOnly: boolean;
  readonly region: string;
  readonly facts: Readonly<Record<string, string>>;
  /** `expired` also for a pending one whose time is over, whether or not somebody has written it down. */
  readonly state: RequestStateText;
  readonly reason: string;
  readonly reviewer: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly reviewedAtMs: number | null;
  readonly nodeId: string | null;
}

const columns = `id, cluster_id as "clusterId", token_id as "tokenId", key_hash as "keyHash", csr, node_name as "nodeName",
  capabilities, requested_roles as "requestedRoles", addresses, dial_out_only as "dialOutOnly", region, facts,
  case when state = 'pending' and expires_at_ms <= now_ms() then 'expired' else state end as state, reason, reviewer,
  created_at_ms as "createdAtMs", expires_at_ms as "expiresAtMs", reviewed_at_ms as "reviewedAtMs", node_id as "nodeId"`;

export type NewRequest = Omit<
  RequestRow,
  "state" | "reason" | "reviewer" | "createdAtMs" | "expiresAtMs" | "reviewedAtMs" | "nodeId"
>;

/** Adds a pending request. The same token and key cannot have two: a unique index. */
export async function insertRequest(tx: Tx, request: NewRequest): Promise<void> {
  await tx.query(
    `insert into join_request (id, cluster_id, token_id, key_hash, csr, node_name, capabilities, requested_roles, addresses,
       dial_out_only, region, facts, expires_at_ms)
     values ($1, $2, $3, $4, $5, $6, $7::text[], $8::jsonb, $9::jsonb, $10, $11, $12::jsonb, now_ms() + $13::bigint)`,
    [
      request.id,
      request.clusterId,
      request.tokenId,
      request.keyHash,
      request.csr,
      request.nodeName,
      request.capabilities,
      JSON.stringify(request.requestedRoles),
      JSON.stringify(request.addresses),
      request.dialOutOnly,
      request.region,
      JSON.stringify(request.facts),
      limits.joinRequestLifeMs,
    ],
  );
}

/** The request a token and key made, or undefined. */
export async function requestOfKey(q: Queryable, tokenId: string, keyHash: string): Promise<RequestRow | undefined> {
  const text = `select ${columns} from join_request where token_id = $1 and key_hash = $2`;
  return one(await q.query<RequestRow>(text, [tokenId, keyHash]));
}

/** The request with that id in the cluster, or undefined. */
export async function getRequest(q: Queryable, clusterId: string, id: string): Promise<RequestRow | undefined> {
  return one(
    await q.query<RequestRow>(`select ${columns} from join_request where cluster_id = $1 and id = $2`, [clusterId, id]),
  );
}

/** The request with that id in the cluster. Throws `not_found` (REQUEST_NOT_FOUND). */
export async function requireRequest(q: Queryable, clusterId: string, id: string): Promise<RequestRow> {
  const row = await getRequest(q, clusterId, id);
  if (row === undefined) throw requestNotFound();
  return row;
}

/** Locks a pending request. Throws `not_found`, or `failed_precondition` (REQUEST_DECIDED) when it is not pending any more. */
export async function lockPending(tx: Tx, clusterId: string, id: string): Promise<RequestRow> {
  const text = `select ${columns} from join_request where cluster_id = $1 and id = $2 for update`;
  const row = one(await tx.query<RequestRow>(text, [clusterId, id]));
  if (row === undefined) throw requestNotFound();
  if (row.state === "pending") return row;
  const options = { detail: "REQUEST_DECIDED", metadata: { state: row.state } };
  throw new WeftError("failed_precondition", `the request is ${row.state} already`, options);
}

/** Requests of a cluster, newest first; undefined state: all. */
export async function listRequests(
  q: Queryable,
  clusterId: string,
  state: RequestStateText | undefined,
): Promise<readonly RequestRow[]> {
  const text = `select * from (select ${columns} from join_request where cluster_id = $1) request
    where $2 = '' or state = $2 order by "createdAtMs" desc, id limit ${limits.listPageMaxCount}`;
  return await q.query<RequestRow>(text, [clusterId, state ?? ""]);
}

/** Writes a decision on a locked pending request. */
export async function decideRequest(
  tx: Tx,
  id: string,
  decision: {
    readonly state: "approved" | "rejected";
    readonly reviewer: string;
    readonly reason: string;
    readonly nodeId: string | null;
  },
): Promise<RequestRow> {
  const text = `update join_request set state = $2, reviewer = $3, reason = $4, node_id = $5, reviewed_at_ms = now_ms()
    where id = $1 and state = 'pending' returning ${columns}`;
  const row = one(
    await tx.query<RequestRow>(text, [id, decision.state, decision.reviewer, decision.reason, decision.nodeId]),
  );
  if (row === undefined) throw new Error("a locked pending request was decided by somebody else");
  return row;
}

/** Writes down which pending requests have run out; returns them. */
export async function expireRequests(tx: Tx): Promise<readonly { id: string; clusterId: string }[]> {
  return await tx.query<{ id: string; clusterId: string }>(
    `update join_request set state = 'expired' where state = 'pending' and expires_at_ms <= now_ms()
     returning id, cluster_id as "clusterId"`,
  );
}

/**
 * Remembers that a signed message has acted; false when it had before. A unique row decides, so a message acts once on
 * whatever replica.
 */
export async function acceptProofOnce(tx: Tx, proofHash: string, lifeMs: number): Promise<boolean> {
  const text = `insert into seen_proof (proof_hash, expires_at_ms) values ($1, now_ms() + $2::bigint)
    on conflict (proof_hash) do nothing returning proof_hash`;
  return (await tx.query(text, [proofHash, lifeMs])).length === 1;
}

/** Forgets proofs whose own date refuses them by now. */
export async function forgetProofs(q: Queryable): Promise<void> {
  await q.query("delete from seen_proof where expires_at_ms <= now_ms()");
}

function requestNotFound(): WeftError {
  return new WeftError("not_found", "no such request in this cluster", { detail: "REQUEST_NOT_FOUND" });
}
