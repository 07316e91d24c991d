/** weft.admin.v1.AuditService. */

import type { ServiceImpl } from "@connectrpc/connect";
import { type AuditHead, type AuditRecord, ZERO_HASH } from "../../fabric/audit/chain.ts";
import type { AuditService, ExportAuditRequest } from "../../gen/weft/admin/v1/audit_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { auditHead, listAudit, readAudit } from "../store/audit.ts";
import { storeNowMs } from "../store/beats.ts";
import { requireCluster } from "../store/clusters.ts";
import { listWitnesses, type WitnessRow } from "../store/witnesses.ts";
import { invalid, type ServiceDeps } from "./service-context.ts";

const PAGE_DEFAULT_COUNT = 100;

export function auditService(deps: ServiceDeps): ServiceImpl<typeof AuditService> {
  return {
    async listAudit(request) {
      const clusterId = request.clusterId === "" ? "" : (await requireCluster(deps.sql, request.clusterId)).id;
      const afterSeq = seqOf("after_seq", request.afterSeq);
      const limit = Math.min(request.limit === 0 ? PAGE_DEFAULT_COUNT : request.limit, limits.listPageMaxCount);
      return { records: (await listAudit(deps.sql, { clusterId, afterSeq, limit })).map(auditMessage) };
    },
    exportAudit: (request) => exportAudit(deps, request),
  };
}

/**
 * The chain up to the head it had when the export began. Pages are read as fast as the caller takes them; nothing is held
 * between two of them, no transaction either: what is below a head never changes.
 */
async function* exportAudit(deps: ServiceDeps, request: ExportAuditRequest) {
  const { sql, authority } = deps;
  const afterSeq = seqOf("after_seq", request.afterSeq);
  // Witnesses first: what they saw is then at or below the head read after them.
  const witnesses = await allWitnesses(deps);
  const head = await auditHead(sql);
  const untilSeq = Math.min(head.seq, seqOf("until_seq", request.untilSeq) || head.seq);
  const before = await recordAt(deps, afterSeq);
  const { keyHash, trustDomain, epoch } = await authority.installation();
  yield part("chain", {
    installation: new Uint8Array(Buffer.from(keyHash, "hex")),
    trustDomain,
    epoch: BigInt(epoch),
    headSeq: BigInt(head.seq),
    headHash: Uint8Array.from(head.hash),
    beforeHash: Uint8Array.from(before.hash),
    atMs: BigInt(await storeNowMs(sql)),
  });
  for (let at = 0; at < witnesses.length; at += limits.listPageMaxCount) {
    const page = witnesses.slice(at, at + limits.listPageMaxCount);
    yield part("witnesses", { witnesses: page.map(witnessMessage) });
  }
  for (let at = afterSeq; ; ) {
    const rows = await readAudit(sql, { afterSeq: at, untilSeq, limit: limits.listPageMaxCount });
    const last = rows.at(-1);
    if (last === undefined) break;
    for (const page of pagesOf(rows)) yield part("records", { records: page.map(auditMessage) });
    at = last.seq;
  }
}

function part<Case extends string, Value>(name: Case, value: Value) {
  return { part: { case: name, value } } as const;
}

async function allWitnesses({ sql }: ServiceDeps): Promise<readonly WitnessRow[]> {
  const all: WitnessRow[] = [];
  for (let after = ""; ; ) {
    const page = await listWitnesses(sql, after, limits.listPageMaxCount);
    all.push(...page);
    const last = page.at(-1);
    if (last === undefined) return all;
    after = last.nodeId;
  }
}

/** The record an export continues after, which must be there. */
async function recordAt({ sql }: ServiceDeps, seq: number): Promise<AuditHead> {
  if (seq === 0) return { seq, hash: ZERO_HASH };
  const [record] = await readAudit(sql, { afterSeq: seq - 1, untilSeq: seq, limit: 1 });
  if (record !== undefined) return record;
  throw new WeftError("not_found", `the audit log has no record ${seq}`, { detail: "AUDIT_RECORD_NOT_FOUND" });
}

/** Parts of at most about `limits.auditExportPageBytes`: a message has a bound, a record's texts have theirs. */
function* pagesOf(rows: readonly AuditRecord[]): Generator<readonly AuditRecord[]> {
  let page: AuditRecord[] = [];
  let bytes = 0;
  for (const row of rows) {
    page.push(row);
    bytes += row.beforeJson.length + row.afterJson.length + row.actor.length + row.object.length + 200;
    if (bytes < limits.auditExportPageBytes) continue;
    yield page;
    [page, bytes] = [[], 0];
  }
  if (page.length > 0) yield page;
}

function seqOf(field: string, seq: bigint): number {
  if (seq > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid(field, "no such record");
  return Number(seq);
}

function witnessMessage(row: WitnessRow) {
  return {
    clusterId: row.clusterId,
    nodeId: row.nodeId,
    nodeName: row.nodeName,
    epoch: BigInt(row.epoch),
    seq: BigInt(row.seq),
    hash: Uint8Array.from(row.hash),
    reportedAtMs: BigInt(row.reportedAtMs),
  };
}

function auditMessage(row: AuditRecord) {
  return {
    seq: BigInt(row.seq),
    atMs: BigInt(row.atMs),
    actor: row.actor,
    clusterId: row.clusterId,
    organizationId: row.organizationId,
    action: row.action,
    object: row.object,
    before: row.beforeJson,
    after: row.afterJson,
    result: row.result,
    prevHash: Uint8Array.from(row.prevHash),
    hash: Uint8Array.from(row.hash),
  };
}
