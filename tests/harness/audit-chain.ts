/** Audit chains for tests, without a store. */

import { type AuditRecord, auditHash, ZERO_HASH } from "../../fabric/audit/chain.ts";

/** The record with the hash its fields give. */
export function rehashed(record: AuditRecord): AuditRecord {
  return { ...record, hash: auditHash(record) };
}

/** A right chain of `count` records; `tag` makes another one of the same length. */
export function chainOf(count: number, tag = ""): AuditRecord[] {
  const records: AuditRecord[] = [];
  for (let seq = 1; seq <= count; seq += 1) {
    const prevHash = records.at(-1)?.hash ?? ZERO_HASH;
    const record = {
      seq,
      atMs: 1_700_000_000_000 + seq,
      actor: `spiffe://weft-test.internal/cluster/installation/operator/op-${tag}${seq % 3}`,
      clusterId: seq % 2 === 0 ? "cl-one" : "",
      organizationId: "",
      action: "organization.created",
      object: `organization/org-${seq}`,
      beforeJson: "",
      afterJson: `{"name":"org-${seq}"}`,
      result: seq % 7 === 0 ? "refused:NOT_FOUND" : "ok",
      prevHash,
    };
    records.push({ ...record, hash: auditHash(record) });
  }
  return records;
}
