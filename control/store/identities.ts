/** Identities of people and programs: clients of a cluster, operators of the installation. Revoking is a status, for good. */

import { INSTALLATION } from "../../certs/spiffe.ts";
import { WeftError } from "../../lib/errors.ts";
import type { RowSource } from "./remembered-rows.ts";
import { isUniqueViolation, one, type Queryable, type Tx } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface IdentityRow {
  readonly id: string;
  readonly kind: "client" | "operator";
  /** Cluster id; `installation` for operators. */
  readonly scope: string;
  readonly organizationId: string;
  readonly name: string;
  readonly status: "active" | "revoked";
  readonly keyHash: string;
  readonly createdBy: string;
  readonly createdAtMs: number;
  readonly revokedAtMs: number | null;
  readonly mac: Uint8Array;
}

/** With the newest leaf that may act, for lists. */
export interface IdentityView extends IdentityRow {
  readonly certificateSerial: string | null;
  readonly certificateNotAfterMs: number | null;
}

const columns = `i.id, i.kind, i.scope, i.organization_id as "organizationId", i.name, i.status, i.key_hash as "keyHash",
  i.created_by as "createdBy", i.created_at_ms as "createdAtMs", i.revoked_at_ms as "revokedAtMs", i.mac`;

type NewIdentity = Omit<IdentityRow, "status" | "createdAtMs" | "revokedAtMs" | "mac">;

export function macFields(row: Omit<IdentityRow, "createdAtMs" | "revokedAtMs" | "mac">): MacField[] {
  return [row.id, row.kind, row.scope, row.organizationId, row.name, row.status, row.keyHash, row.createdBy];
}

/** An identity as snapshots are made from it. */
export type TrustedIdentity = Omit<IdentityRow, "createdAtMs" | "revokedAtMs">;

/** The identities of a cluster, by id. */
export const trustedIdentities: RowSource<TrustedIdentity> = {
  table: "identity",
  clusterColumn: "scope",
  ownerColumn: "id",
  orderColumns: [],
  columns: {
    id: "id",
    kind: "kind",
    scope: "scope",
    organizationId: "organization_id",
    name: "name",
    status: "status",
    keyHash: "key_hash",
    createdBy: "created_by",
    mac: "mac",
  },
  ownerOf: ({ id }) => id,
  judge: (seal, row) => requireAuthentic(seal, "identity", macFields(row), row.mac),
};

function authentic<Row extends IdentityRow>(seal: TrustSeal, rows: readonly Row[]): readonly Row[] {
  for (const row of rows) requireAuthentic(seal, "identity", macFields(row), row.mac);
  return rows;
}

/** Adds an active identity. Throws `already_exists` (IDENTITY_EXISTS): a name is never taken over, not even a revoked one. */
export async function insertIdentity(tx: Tx, seal: TrustSeal, identity: NewIdentity): Promise<void> {
  const { id, kind, scope, organizationId, name, keyHash, createdBy } = identity;
  try {
    await tx.query(
      `insert into identity (id, kind, scope, organization_id, name, key_hash, created_by, mac)
       values ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [
        id,
        kind,
        scope,
        organizationId,
        name,
        keyHash,
        createdBy,
        seal.mac("identity", macFields({ ...identity, status: "active" })),
      ],
    );
  } catch (thrown) {
    if (!isUniqueViolation(thrown)) throw thrown;
    const message = "an identity with this name exists; revoke it or choose another name";
    throw new WeftError("already_exists", message, { detail: "IDENTITY_EXISTS", cause: thrown });
  }
}

/** The identity with that id, authenticated, or undefined. */
export async function getIdentity(q: Queryable, seal: TrustSeal, id: string): Promise<IdentityRow | undefined> {
  return one(authentic(seal, await q.query<IdentityRow>(`select ${columns} from identity i where i.id = $1`, [id])));
}

/** Identities of the given scopes, oldest first; no scopes: all. */
export async function listIdentities(
  q: Queryable,
  seal: TrustSeal,
  scopes: readonly string[],
): Promise<readonly IdentityView[]> {
  const rows = await q.query<IdentityView>(
    `select ${columns}, c.serial as "certificateSerial", c.not_after_ms as "certificateNotAfterMs"
     from identity i
     left join certificate c on c.scope = i.scope and c.subject_kind = i.kind and c.subject_id = i.id
       and c.holder_id = i.id and c.status = 'current'
     where cardinality($1::text[]) = 0 or i.scope = any($1::text[])
     order by i.created_at_ms, i.id`,
    [scopes],
  );
  return authentic(seal, rows);
}

/** Locks every active operator, in one order: whoever changes one of them sees all of them. */
export async function lockActiveOperators(tx: Tx, seal: TrustSeal): Promise<readonly IdentityRow[]> {
  const text = `select ${columns} from identity i where i.scope = $1 and i.status = 'active' order by i.id for update`;
  return authentic(seal, await tx.query<IdentityRow>(text, [INSTALLATION]));
}

/** Marks an identity revoked. False when it was already. */
export async function markIdentityRevoked(tx: Tx, seal: TrustSeal, id: string): Promise<boolean> {
  const rows = await tx.query<IdentityRow>(`select ${columns} from identity i where i.id = $1 for update`, [id]);
  const row = one(authentic(seal, rows));
  if (row === undefined) throw identityNotFound();
  if (row.status === "revoked") return false;
  const mac = seal.mac("identity", macFields({ ...row, status: "revoked" }));
  await tx.query("update identity set status = 'revoked', revoked_at_ms = now_ms(), mac = $2 where id = $1", [id, mac]);
  return true;
}

/** Follows a renewal to another key. */
export async function setIdentityKey(tx: Tx, seal: TrustSeal, row: IdentityRow, keyHash: string): Promise<void> {
  const mac = seal.mac("identity", macFields({ ...row, keyHash }));
  await tx.query("update identity set key_hash = $2, mac = $3 where id = $1", [row.id, keyHash, mac]);
}

export function identityNotFound(): WeftError {
  return new WeftError("not_found", "no such identity", { detail: "IDENTITY_NOT_FOUND" });
}
