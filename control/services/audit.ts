/** weft.admin.v1.AuditService. */

import type { ServiceImpl } from "@connectrpc/connect";
import type { AuditService } from "../../gen/weft/admin/v1/audit_pb.ts";
import { limits } from "../../lib/limits.ts";
import { type AuditRow, listAudit } from "../store/audit.ts";
import { requireCluster } from "../store/clusters.ts";
import { invalid, type ServiceDeps } from "./service-context.ts";

const PAGE_DEFAULT_COUNT = 100;

export function auditService(deps: ServiceDeps): ServiceImpl<typeof AuditService> {
  return {
    async listAudit(request) {
      const clusterId = request.clusterId === "" ? "" : (await requireCluster(deps.sql, request.clusterId)).id;
      if (request.afterSeq > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid("after_seq", "no such record");
      const afterSeq = Number(request.afterSeq);
      const limit = Math.min(request.limit === 0 ? PAGE_DEFAULT_COUNT : request.limit, limits.listPageMaxCount);
      return { records: (await listAudit(deps.sql, { clusterId, afterSeq, limit })).map(auditMessage) };
    },
  };
}

function auditMessage(row: AuditRow) {
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
