/**
 * What operators change about nodes, each in one transaction with its record: identity, membership, roles. Whatever nodes
 * see of it is bumped in the same transaction, so it reaches them with the next snapshot, within one heartbeat.
 *
 * Every transaction keeps one lock order: own rows, the cluster's row (snapshot, feed), the audit head.
 */

import { formatSpiffe } from "../../certs/spiffe.ts";
import { isAssignableRole, missingCapabilities } from "../../fabric/members.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { type AuditEntry, appendAudit } from "../store/audit.ts";
import { storeNowMs } from "../store/beats.ts";
import { revokeCertificates } from "../store/certificates.ts";
import type { StoreContext } from "../store/context.ts";
import { type MembershipStatus, setMembershipStatus } from "../store/memberships.ts";
import { markNodeRevoked, type NodeRow, requireNode } from "../store/nodes.ts";
import { addRevocations, type FeedPosition, feedPosition, type RevocationEntry } from "../store/revocations.ts";
import { assignRole, getRole, type RoleKey, type RoleRow, removeRole } from "../store/roles.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import type { Tx } from "../store/sql.ts";
import { capabilities, roles } from "../store/vocabulary.ts";

/** Who changes what, and why. */
export interface NodeOrder {
  readonly clusterId: string;
  /** Id or name. */
  readonly node: string;
  /** The operator's SPIFFE id. */
  readonly actor: string;
}

/**
 * Revokes an identity for good: its certificates (pool leaves it holds included), its keys and its name go into the feed,
 * the allowlist forgets it, every snapshot drops it. Repeating it changes nothing.
 */
export async function revokeNode(
  ctx: StoreContext,
  order: NodeOrder & { readonly reason: string; readonly trustDomain: string },
): Promise<FeedPosition> {
  const { clusterId, actor, reason } = order;
  return await ctx.sql.tx(async (tx) => {
    const node = await requireNode(tx, ctx.seal, clusterId, order.node);
    if (!(await markNodeRevoked(tx, ctx.seal, node.id))) return await positionOf(tx, clusterId);
    const entries = await revocationsOf(tx, ctx, node, order);
    const position = await addRevocations(tx, ctx, clusterId, entries);
    await bumpSnapshot(tx, ctx.hints, clusterId);
    await recordRevoked(tx, { actor, object: `node/${node.id}`, clusterId }, entries);
    await appendAudit(tx, {
      actor,
      action: "node.revoked",
      object: `node/${node.id}`,
      clusterId,
      before: { identityStatus: "active" },
      after: { identityStatus: "revoked", reason, feedEpoch: position.feedEpoch, feedSeq: position.feedSeq },
    });
    return position;
  });
}

/** One record names every leaf that a revocation ended. */
export async function recordRevoked(
  tx: Tx,
  about: Pick<AuditEntry, "actor" | "object" | "clusterId" | "organizationId">,
  entries: readonly { readonly serial?: string }[],
): Promise<void> {
  const serials = entries.flatMap(({ serial }) => serial ?? []).slice(0, limits.auditedSerialsMaxCount);
  if (serials.length === 0) return;
  await appendAudit(tx, { ...about, action: "certificate.revoked", before: { serials } });
}

async function positionOf(tx: Tx, clusterId: string): Promise<FeedPosition> {
  const position = await feedPosition(tx, clusterId);
  if (position === undefined) throw new WeftError("not_found", "no such cluster", { detail: "CLUSTER_NOT_FOUND" });
  return position;
}

/** One entry for the identity, one per valid leaf, one per key: whichever a verifier looks at first, it finds. */
async function revocationsOf(
  tx: Tx,
  ctx: StoreContext,
  node: NodeRow,
  order: { readonly actor: string; readonly reason: string; readonly trustDomain: string },
): Promise<readonly RevocationEntry[]> {
  const nowMs = await storeNowMs(tx);
  const revoked = await revokeCertificates(tx, ctx, { scope: node.clusterId, holderId: node.id });
  const valid = revoked.filter((row) => row.notAfterMs > nowMs);
  const spiffeId = formatSpiffe({
    trustDomain: order.trustDomain,
    clusterId: node.clusterId,
    kind: "node",
    id: node.id,
  });
  const about = { reason: order.reason, revokedBy: order.actor };
  // Long enough for a leaf that was being issued at this very moment.
  const lastMs = Math.max(nowMs + limits.leafLifeMs, ...valid.map((row) => row.notAfterMs));
  const keys = new Set([node.keyHash, ...valid.map((row) => row.keyHash)]);
  return [
    { ...about, spiffeId, notAfterMs: lastMs },
    ...[...keys].map((keyHash) => ({ ...about, spiffeId, keyHash, notAfterMs: lastMs })),
    ...valid.map((row) => ({
      ...about,
      spiffeId: row.spiffe,
      issuerKeyId: row.issuerKeyId,
      serial: row.serial,
      notAfterMs: row.notAfterMs,
    })),
  ];
}

/** Disables or enables a membership; the identity and its certificates stay as they are. */
export async function changeMembership(
  ctx: StoreContext,
  order: NodeOrder & { readonly status: MembershipStatus },
): Promise<void> {
  const { clusterId, actor, status } = order;
  await ctx.sql.tx(async (tx) => {
    const node = await requireNode(tx, ctx.seal, clusterId, order.node);
    requireUnrevoked(node);
    if (!(await setMembershipStatus(tx, ctx.seal, { clusterId, nodeId: node.id, status }))) return;
    await bumpSnapshot(tx, ctx.hints, clusterId);
    await appendAudit(tx, {
      actor,
      action: status === "active" ? "membership.enabled" : "membership.disabled",
      object: `node/${node.id}`,
      clusterId,
      before: { status: status === "active" ? "disabled" : "active" },
      after: { status },
    });
  });
}

function requireUnrevoked(node: NodeRow): void {
  if (node.identityStatus === "revoked") {
    throw new WeftError("failed_precondition", "this identity is revoked", { detail: "IDENTITY_REVOKED" });
  }
}

export interface RoleOrder extends NodeOrder {
  /** Stored text: "rdp-worker". */
  readonly role: string;
  /** Empty: every organization of the cluster. */
  readonly organizationId: string;
}

/** Gives a node a role it reports the capability for. Repeating it changes nothing. */
export async function grantRole(ctx: StoreContext, order: RoleOrder): Promise<RoleRow> {
  const { clusterId, actor, role, organizationId } = order;
  return await ctx.sql.tx(async (tx) => {
    const node = await requireNode(tx, ctx.seal, clusterId, order.node);
    requireUnrevoked(node);
    requireCapability(role, node.capabilities);
    const key: RoleKey = { clusterId, nodeId: node.id, role, organizationId };
    const added = await assignRole(tx, ctx, { ...key, assignedBy: actor });
    const row = await getRole(tx, ctx.seal, key);
    if (row === undefined) throw new WeftError("aborted", "the role was removed meanwhile", { retry: "now" });
    if (!added) return row;
    await bumpSnapshot(tx, ctx.hints, clusterId);
    await appendAudit(tx, {
      actor,
      action: "role.assigned",
      object: `node/${node.id}`,
      clusterId,
      organizationId,
      after: { role, organizationId },
    });
    return row;
  });
}

/** A role without its capability is refused at assignment (M-A5). */
export function requireCapability(role: string, reported: readonly string[]): void {
  const value = roles.value(role);
  if (!isAssignableRole(value)) {
    throw new WeftError("invalid_argument", "no such role", { detail: "INVALID_FIELD", metadata: { field: "role" } });
  }
  const missing = missingCapabilities(
    value,
    reported.map((each) => capabilities.value(each)),
  );
  if (missing.length === 0) return;
  const names = missing.map((each) => capabilities.text(each) ?? "").join(",");
  throw new WeftError("failed_precondition", "the node does not report the capability this role needs", {
    detail: "CAPABILITY_MISSING",
    metadata: { role, missing: names },
  });
}

/** Takes a role away, be it the last of its kind. NOT_FOUND when the node has no such assignment. */
export async function withdrawRole(ctx: StoreContext, order: RoleOrder): Promise<void> {
  const { clusterId, actor, role, organizationId } = order;
  await ctx.sql.tx(async (tx) => {
    const node = await requireNode(tx, ctx.seal, clusterId, order.node);
    if (!(await removeRole(tx, { clusterId, nodeId: node.id, role, organizationId }))) {
      throw new WeftError("not_found", "the node has no such role", { detail: "ROLE_NOT_FOUND" });
    }
    await bumpSnapshot(tx, ctx.hints, clusterId);
    await appendAudit(tx, {
      actor,
      action: "role.removed",
      object: `node/${node.id}`,
      clusterId,
      organizationId,
      before: { role, organizationId },
    });
  });
}
