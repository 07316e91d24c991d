/** weft.admin.v1.CertificateService: every leaf as operators see it, the end of one, and how far nodes are with the feed. */

import type { ServiceImpl } from "@connectrpc/connect";
import { INSTALLATION } from "../../certs/spiffe.ts";
import { normalSerialHex } from "../../fabric/signed-bytes.ts";
import type {
  CertificateService,
  GetCertificateRequest,
  ListCertificatesRequest,
  ListFeedReceiptsRequest,
  RevokeCertificateRequest,
} from "../../gen/weft/admin/v1/certificate_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Caller } from "../../rpc/caller.ts";
import type { FeedSource } from "../domain/feed.ts";
import { hasApplied } from "../domain/feed-receipts.ts";
import { healthOf } from "../domain/health.ts";
import { certificateNotFound, revokeOneLeaf } from "../domain/revoke-leaf.ts";
import {
  certificatesBySerial,
  coveringRevocations,
  type ListedCertificate,
  type ListedStatus,
  listCertificates,
  listedStatuses,
  livingOfKey,
} from "../store/certificate-list.ts";
import { requireCluster } from "../store/clusters.ts";
import { type ReceiptStateRow, receiptStates } from "../store/feed-receipts.ts";
import { getIdentity } from "../store/identities.ts";
import { nodeStatuses } from "../store/nodes.ts";
import { poolsOfNode } from "../store/pools.ts";
import { listRoles } from "../store/roles.ts";
import { healths } from "../store/vocabulary.ts";
import { grantMessage } from "./node-messages.ts";
import { counter } from "./reports.ts";
import { callerOf, invalid, plainText, recordingRefusal, type ServiceDeps } from "./service-context.ts";

const KINDS = ["", "node", "control", "client", "pool", "operator"];
const HEX = /^[0-9a-fA-F]{1,64}$/;
const NAME_MAX_CHARS = 128;

export interface CertificateServiceDeps extends ServiceDeps {
  readonly feeds: FeedSource;
}

export function certificateService(deps: CertificateServiceDeps): ServiceImpl<typeof CertificateService> {
  return {
    listCertificates: (request) => list(deps, request),
    getCertificate: (request) => show(deps, request),
    revokeCertificate: (request, context) => revoke(deps, request, callerOf(context)),
    listFeedReceipts: (request) => receipts(deps, request),
  };
}

async function list(deps: CertificateServiceDeps, request: ListCertificatesRequest) {
  const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
  if (!KINDS.includes(request.kind)) throw invalid("kind", "node, control, client, pool or operator");
  const limit = Math.min(request.limit || limits.certificatesPageMaxCount, limits.certificatesPageMaxCount);
  const rows = await listCertificates(deps.sql, deps.seal, {
    ...{ clusterId, kind: request.kind, status: statusOf(request.status) },
    subject: plainText("subject", request.subject, NAME_MAX_CHARS),
    expiringWithinMs: counter("expiring_within_ms", request.expiringWithinMs),
    limit: limit + 1,
  });
  const nowMs = deps.clock.nowMs();
  return {
    certificates: rows.slice(0, limit).map((row) => certificateMessage(row, nowMs)),
    truncated: rows.length > limit,
  };
}

function statusOf(text: string): ListedStatus {
  const status = listedStatuses.find((each) => each === (text || "live"));
  if (status === undefined) throw invalid("status", listedStatuses.join(", "));
  return status;
}

/** The one leaf that is meant. Throws `not_found`, or `failed_precondition` when several issuers used the serial. */
async function find(
  deps: CertificateServiceDeps,
  { clusterId, serial, issuerKeyId }: Pick<GetCertificateRequest, "clusterId" | "serial" | "issuerKeyId">,
): Promise<ListedCertificate> {
  if (!HEX.test(serial)) throw invalid("serial", "a serial is hexadecimal");
  if (issuerKeyId !== "" && !HEX.test(issuerKeyId)) throw invalid("issuer_key_id", "a key id is hexadecimal");
  const about = { clusterId, serial: normalSerialHex(serial), issuerKeyId: issuerKeyId.toLowerCase() };
  const [row, ...others] = await certificatesBySerial(deps.sql, deps.seal, about);
  if (row === undefined) throw certificateNotFound();
  if (others.length > 0)
    throw new WeftError("failed_precondition", "several issuers used this serial; name the issuer", {
      detail: "CERTIFICATE_AMBIGUOUS",
      metadata: { issuers: [row, ...others].map((each) => each.issuerKeyId).join(",") },
    });
  return row;
}

async function show(deps: CertificateServiceDeps, request: GetCertificateRequest) {
  const { sql, seal, clock } = deps;
  const { id: clusterId } = await requireCluster(sql, request.clusterId);
  const row = await find(deps, { ...request, clusterId });
  const most = limits.certificateFactsMaxCount;
  const isNode = row.subjectKind === "node" || row.subjectKind === "pool";
  const holder = isNode ? (await nodeStatuses(sql, clusterId, row.holderId)).get(row.holderId) : undefined;
  const identity = row.subjectKind === "client" ? await getIdentity(sql, seal, row.subjectId) : undefined;
  const same = await livingOfKey(sql, seal, clusterId, row, most);
  return {
    certificate: certificateMessage(row, clock.nowMs()),
    roles: isNode ? (await listRoles(sql, seal, clusterId, row.holderId)).map(grantMessage) : [],
    organizationId: identity?.organizationId ?? "",
    poolIds: isNode ? (await poolsOfNode(sql, seal, clusterId, row.holderId)).map(({ poolId }) => poolId) : [],
    sameKey: same.map((each) => certificateMessage(each, clock.nowMs())),
    ...(typeof holder?.beatAgeMs === "number" ? { holderBeatAgeMs: BigInt(holder.beatAgeMs) } : {}),
    subjectStatus: row.identityStatus ?? "",
    revokedBy: (await coveringRevocations(sql, clusterId, row, most)).map((entry) => ({
      ...{ what: entry.what, reason: entry.reason, actor: entry.revokedBy, revokedAtMs: BigInt(entry.revokedAtMs) },
      ...{ feedEpoch: BigInt(entry.feedEpoch), feedSeq: BigInt(entry.feedSeq) },
    })),
  };
}

async function revoke(deps: CertificateServiceDeps, request: RevokeCertificateRequest, caller: Caller) {
  const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
  const actor = caller.spiffe;
  const reason = plainText("reason", request.reason, limits.reportedTextMaxBytes);
  const { issuerKeyId, serial, subjectKind, subjectId } = await find(deps, { ...request, clusterId });
  const about = { actor, action: "certificate.revoked", object: `${subjectKind}/${subjectId}`, clusterId };
  return await recordingRefusal(deps, { ...about, after: { serial, reason } }, async () => {
    const callingSerial = normalSerialHex(caller.serialHex ?? "");
    const marks = await revokeOneLeaf(deps, { clusterId, issuerKeyId, serial, actor, callingSerial, reason });
    return {
      certificate: certificateMessage(await find(deps, { clusterId, serial, issuerKeyId }), deps.clock.nowMs()),
      feeds: marks.map(feedPositionMessage),
    };
  });
}

/** A position of a feed as a message. */
export function feedPositionMessage(at: {
  readonly clusterId: string;
  readonly feedEpoch: number;
  readonly feedSeq: number;
}) {
  return { clusterId: at.clusterId, epoch: BigInt(at.feedEpoch), seq: BigInt(at.feedSeq) };
}

async function receipts(deps: CertificateServiceDeps, request: ListFeedReceiptsRequest) {
  const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
  const asked = { feedEpoch: counter("feed_epoch", request.feedEpoch), feedSeq: counter("feed_seq", request.feedSeq) };
  // Before the position: what a node holds by then, control has issued.
  const rows = await receiptStates(deps.sql, clusterId);
  const now = await deps.feeds.current(clusterId);
  const wanted = asked.feedEpoch === 0 ? now : asked;
  return {
    feedEpoch: BigInt(wanted.feedEpoch),
    feedSeq: BigInt(wanted.feedSeq),
    nodes: rows.map((row) => receiptMessage(row, hasApplied(row, wanted, now))),
  };
}

function receiptMessage(row: ReceiptStateRow, applied: boolean) {
  const { beatAgeMs, statement, signature } = row;
  const health = healthOf({ beatAgeMs: beatAgeMs ?? undefined, draining: row.draining ?? false });
  return {
    ...{ nodeId: row.nodeId, nodeName: row.nodeName, applied, health: healths.value(health) },
    ...{ feedEpoch: BigInt(row.feedEpoch ?? 0), feedSeq: BigInt(row.feedSeq ?? 0) },
    appliedAtMs: BigInt(row.appliedAtMs ?? 0),
    ...(beatAgeMs === null ? {} : { beatAgeMs: BigInt(beatAgeMs) }),
    ...(statement === null || signature === null
      ? {}
      : { receipt: { statement, signature, keyHash: Uint8Array.from(Buffer.from(row.keyHash ?? "", "hex")) } }),
  };
}

/** Whom a leaf can be shown to. Clients keep no feed: what they believe, they believe until it ends. */
function acceptedBy(row: ListedCertificate, nowMs: number): string[] {
  if (row.notAfterMs <= nowMs) return [];
  const active = row.identityStatus !== "revoked" && !row.revokedInFeed;
  const allowed = row.status === "current" || row.status === "next";
  return [
    ...(active && allowed && (row.subjectKind === "node" || row.subjectKind === "operator") ? ["control"] : []),
    ...(active && row.status !== "revoked" && row.subjectKind !== "pool" ? ["nodes"] : []),
    ...(row.subjectKind === "node" || row.subjectKind === "pool" ? ["clients"] : []),
  ];
}

function certificateMessage(row: ListedCertificate, nowMs: number) {
  const expired = row.status !== "revoked" && row.notAfterMs <= nowMs;
  return {
    ...{ issuerKeyId: row.issuerKeyId, serial: row.serial, kind: row.subjectKind, keyHash: row.keyHash },
    ...{ subjectId: row.subjectId, subjectName: row.subjectName ?? "", spiffeId: row.spiffe },
    ...{ holderId: row.holderId, holderName: row.holderName ?? row.subjectName ?? "" },
    clusterId: row.scope === INSTALLATION ? "" : row.scope,
    status: expired ? "expired" : row.status,
    issuedAtMs: BigInt(row.issuedAtMs),
    notBeforeMs: BigInt(row.notBeforeMs),
    notAfterMs: BigInt(row.notAfterMs),
    supersededAtMs: BigInt(row.supersededAtMs ?? 0),
    revokedAtMs: BigInt(row.revokedAtMs ?? 0),
    acceptedBy: acceptedBy(row, nowMs),
  };
}
