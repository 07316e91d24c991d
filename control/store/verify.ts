/**
 * Is a store what controls of this installation wrote? The audit chain from its first record to its head, and the MAC of
 * every row that carries one, whether anybody asks for it today or not.
 */

import { type AuditVerdict, verifyAudit } from "./audit.ts";
import { type AuthorityRow, authorityFields, type SigningKeyRow, signingFields } from "./authorities.ts";
import { ackFields, type BundleAckRow } from "./bundle-acks.ts";
import { tableShapes } from "./catalog.ts";
import { type CertificateRow, macFields as certificateFields } from "./certificates.ts";
import { type NewWorkload, macFields as workloadFields } from "./desired-workloads.ts";
import { type IdentityRow, macFields as identityFields } from "./identities.ts";
import { type InstallationRow, macFields as installationFields } from "./installation.ts";
import { macFields as listenerFields, type NewListener } from "./listeners.ts";
import { type MembershipRow, macFields as membershipFields } from "./memberships.ts";
import { type NodeRow, macFields as nodeFields } from "./nodes.ts";
import { type NewOfflinePolicy, macFields as offlineFields } from "./offline-policies.ts";
import { type PoolNodeRow, type PoolRow, poolFields, poolNodeFields } from "./pools.ts";
import { type NewQosPolicy, macFields as qosFields } from "./qos-policies.ts";
import { type NewResource, macFields as resourceFields } from "./resources.ts";
import { type RevocationRow, macFields as revocationFields } from "./revocations.ts";
import { type RoleRow, macFields as roleFields } from "./roles.ts";
import {
  type ExemptionRow,
  exemptionFields,
  type RetiredKeyRow,
  type RotationRow,
  retiredFields,
  rotationFields,
} from "./rotations.ts";
import { macFields as intentFields, type NewRouteIntent } from "./route-intents.ts";
import { macFields as leaseFields, type ServiceLeaseRow } from "./service-leases.ts";
import { type PayloadRow, macFields as payloadFields } from "./snapshots.ts";
import type { Queryable } from "./sql.ts";
import { type TermRow, macFields as termFields } from "./terms.ts";
import { type TokenRow, macFields as tokenFields } from "./tokens.ts";
import type { MacField, TrustSeal } from "./trust.ts";

type Row = Readonly<Record<string, unknown>> & { readonly mac: Uint8Array };

/** A rule takes a row with the names code uses, `cluster_id` as `clusterId`. */
const rule =
  <Shape>(fields: (row: Shape) => readonly MacField[]) =>
  (row: Row): readonly MacField[] =>
    fields(row as unknown as Shape);

/** What the MAC of a row of each table covers. A table with a `mac` column that is not here is said to be unknown. */
export const trustTables: Readonly<Record<string, (row: Row) => readonly MacField[]>> = {
  installation: rule<InstallationRow>(installationFields),
  authority: rule<AuthorityRow>(authorityFields),
  signing_key: rule<SigningKeyRow>(signingFields),
  rotation: rule<RotationRow>(rotationFields),
  rotation_exemption: rule<ExemptionRow>(exemptionFields),
  bundle_ack: rule<BundleAckRow>(ackFields),
  retired_signing_key: rule<RetiredKeyRow>(retiredFields),
  identity: rule<IdentityRow>(identityFields),
  certificate: rule<CertificateRow>(certificateFields),
  node: rule<NodeRow>(nodeFields),
  membership: rule<MembershipRow>(membershipFields),
  role_assignment: rule<RoleRow>(roleFields),
  revocation: rule<RevocationRow>(revocationFields),
  pool: rule<PoolRow>(poolFields),
  pool_node: rule<PoolNodeRow>(poolNodeFields),
  resource: rule<NewResource>(resourceFields),
  listener: rule<NewListener>(listenerFields),
  qos_policy: rule<NewQosPolicy>(qosFields),
  route_intent: rule<NewRouteIntent>(intentFields),
  offline_policy: rule<NewOfflinePolicy>(offlineFields),
  service_lease: rule<ServiceLeaseRow>(leaseFields),
  workload: rule<NewWorkload>(workloadFields),
  term: rule<TermRow>(termFields),
  join_token: rule<TokenRow & { readonly secretHash: string }>((row) => tokenFields(row, row.secretHash)),
  snapshot_payload: rule<PayloadRow>(payloadFields),
};

export interface StoreVerdict {
  readonly ok: boolean;
  readonly audit: AuditVerdict;
  /** Rows whose MAC is right, by table. */
  readonly authentic: Readonly<Record<string, number>>;
  /** Tables with rows that are not what was written, and how many. */
  readonly altered: Readonly<Record<string, number>>;
  /** Tables with MACs that this program cannot judge. */
  readonly unknown: readonly string[];
}

/** Verifies everything. Reads page by page; run it in one transaction when somebody may be writing. */
export async function verifyStore(q: Queryable, seal: TrustSeal): Promise<StoreVerdict> {
  const authentic: Record<string, number> = {};
  const altered: Record<string, number> = {};
  const unknown: string[] = [];
  for (const { name, columns } of await tableShapes(q)) {
    if (!columns.some((column) => column.name === "mac")) continue;
    const fields = trustTables[name];
    if (fields === undefined) unknown.push(name);
    else {
      const [good, bad] = await verifyTable(q, seal, name, fields);
      authentic[name] = good;
      if (bad > 0) altered[name] = bad;
    }
  }
  const audit = await verifyAudit(q);
  return { ok: audit.ok && Object.keys(altered).length === 0, audit, authentic, altered, unknown };
}

/**
 * Reads every trust row of the tables there are and judges its MAC; returns how many are not what was written. Kept
 * payloads of snapshots are left out: they are judged when they are used, and soon forgotten.
 */
export async function verifyTrustRows(q: Queryable, seal: TrustSeal): Promise<number> {
  let altered = 0;
  for (const [name, fields] of Object.entries(trustTables)) {
    if (name === "snapshot_payload") continue;
    const [, bad] = await verifyTable(q, seal, name, fields);
    altered += bad;
  }
  return altered;
}

const pageRows = 500;

async function verifyTable(
  q: Queryable,
  seal: TrustSeal,
  table: string,
  fields: (row: Row) => readonly MacField[],
): Promise<readonly [good: number, bad: number]> {
  let good = 0;
  let bad = 0;
  // Names of tables are this file's own words. Only tokens that approve by themselves have a MAC. A row's place stands in for a key: they differ from table to table.
  for (let after = "(0,0)"; ; ) {
    const rows = await q.query<Row & { readonly place: string }>(
      `select *, ctid::text as place from ${table} where mac is not null and ctid > $1::tid order by ctid limit ${pageRows}`,
      [after],
    );
    for (const row of rows) {
      const camel = Object.fromEntries(Object.entries(row).map(([name, value]) => [camelCase(name), value]));
      if (seal.verify(table, fields(camel as Row), row.mac)) good += 1;
      else bad += 1;
    }
    const last = rows.at(-1);
    if (last === undefined) return [good, bad];
    after = last.place;
  }
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
