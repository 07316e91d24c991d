/**
 * Join tokens. Only the hash of a token's secret is stored.
 *
 * I3. A use is one UPDATE that counts it if, and only if, the token has uses left, has not expired and is not revoked: as
 *     many succeed as there are uses, on whatever replica.
 * I4. A token that approves what comes with it creates trust: its row is authenticated whenever it is used (M-A3).
 */

import { WeftError } from "../../lib/errors.ts";
import { one, type Queryable, type Tx } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface TokenRow {
  readonly id: string;
  readonly clusterId: string;
  /** Roles a request may ask for; empty: any. */
  readonly roles: readonly string[];
  readonly organizationIds: readonly string[];
  readonly expiresAtMs: number;
  readonly maxUses: number;
  readonly usedCount: number;
  readonly createdBy: string;
  readonly createdAtMs: number;
  readonly revokedAtMs: number | null;
  readonly autoApprove: boolean;
  /** What joining hosts' names begin with; empty: anything. */
  readonly namePrefix: string;
}

const columns = `id, cluster_id as "clusterId", roles, organization_ids as "organizationIds", expires_at_ms as "expiresAtMs",
  max_uses as "maxUses", used_count as "usedCount", created_by as "createdBy", created_at_ms as "createdAtMs",
  revoked_at_ms as "revokedAtMs", auto_approve as "autoApprove", name_prefix as "namePrefix"`;

/** What the MAC of a self-approving token covers: all that was decided when it was made. */
export function macFields(
  row: Pick<TokenRow, "id" | "clusterId" | "roles" | "organizationIds" | "expiresAtMs" | "maxUses" | "namePrefix">,
  secretHash: string,
): MacField[] {
  const { id, clusterId, roles, organizationIds, expiresAtMs, maxUses, namePrefix } = row;
  return [id, clusterId, secretHash, JSON.stringify([roles, organizationIds]), expiresAtMs, maxUses, namePrefix];
}

export interface NewToken {
  readonly id: string;
  readonly clusterId: string;
  /** SHA-256 of the secret, hex. */
  readonly secretHash: string;
  readonly roles: readonly string[];
  readonly organizationIds: readonly string[];
  readonly lifeMs: number;
  readonly maxUses: number;
  readonly createdBy: string;
  readonly autoApprove: boolean;
  readonly namePrefix: string;
}

/** Adds a token; its life begins now, by the store's clock. */
export async function insertToken(tx: Tx, seal: TrustSeal, token: NewToken): Promise<TokenRow> {
  const { id, clusterId, secretHash, roles, organizationIds, lifeMs, maxUses, createdBy, autoApprove, namePrefix } =
    token;
  const row = one(
    await tx.query<TokenRow>(
      `insert into join_token (id, cluster_id, secret_hash, roles, organization_ids, expires_at_ms, max_uses, created_by,
         auto_approve, name_prefix)
       values ($1, $2, $3, $4::text[], $5::text[], now_ms() + $6::bigint, $7, $8, $9, $10) returning ${columns}`,
      [
        id,
        clusterId,
        secretHash,
        roles,
        organizationIds,
        Math.floor(lifeMs),
        maxUses,
        createdBy,
        autoApprove,
        namePrefix,
      ],
    ),
  );
  if (row === undefined) throw new Error("an inserted token was not returned");
  if (autoApprove) {
    const mac = seal.mac("join_token", macFields(row, secretHash));
    await tx.query(`update join_token set mac = $2 where id = $1`, [id, mac]);
  }
  return row;
}

/** Tokens of a cluster, newest first. */
export async function listTokens(q: Queryable, clusterId: string): Promise<readonly TokenRow[]> {
  const text = `select ${columns} from join_token where cluster_id = $1 order by created_at_ms desc, id`;
  return await q.query<TokenRow>(text, [clusterId]);
}

/** Revokes a token, once. Throws `not_found` (TOKEN_NOT_FOUND). */
export async function revokeToken(tx: Tx, clusterId: string, tokenId: string): Promise<TokenRow> {
  const text = `update join_token set revoked_at_ms = coalesce(revoked_at_ms, now_ms()) where cluster_id = $1 and id = $2
    returning ${columns}`;
  const row = one(await tx.query<TokenRow>(text, [clusterId, tokenId]));
  if (row === undefined)
    throw new WeftError("not_found", "no such token in this cluster", { detail: "TOKEN_NOT_FOUND" });
  return row;
}

/** Which token a secret belongs to. */
export interface TokenClaim {
  readonly clusterId: string;
  readonly tokenId: string;
  readonly secretHash: string;
}

/** The unrevoked token of a claim, used up or not: for a retry with the same key. */
export async function claimedToken(q: Queryable, claim: TokenClaim): Promise<TokenRow | undefined> {
  const text = `select ${columns} from join_token where cluster_id = $1 and id = $2 and secret_hash = $3
    and revoked_at_ms is null`;
  return one(await q.query<TokenRow>(text, [claim.clusterId, claim.tokenId, claim.secretHash]));
}

/** Uses a token once (I3). Undefined when it may not be used, whyever. Throws `data_loss` for a forged one (I4). */
export async function useToken(tx: Tx, seal: TrustSeal, claim: TokenClaim): Promise<TokenRow | undefined> {
  const text = `update join_token set used_count = used_count + 1
    where cluster_id = $1 and id = $2 and secret_hash = $3 and revoked_at_ms is null and expires_at_ms > now_ms()
      and used_count < max_uses
    returning ${columns}, mac`;
  const params = [claim.clusterId, claim.tokenId, claim.secretHash];
  const row = one(await tx.query<TokenRow & { readonly mac: Uint8Array | null }>(text, params));
  if (row?.autoApprove === true) requireAuthentic(seal, "join_token", macFields(row, claim.secretHash), row.mac);
  return row;
}
