/**
 * Approving a request: node, membership, roles and first leaf in one transaction, from what is stored and what the host
 * signed. Who may approve, and what they saw, is for the caller to know.
 */

import { judgeCsr } from "../../certs/csr.ts";
import { isAssignableRole, missingCapabilities } from "../../fabric/members.ts";
import { WeftError } from "../../lib/errors.ts";
import { randomLabel } from "../../lib/random.ts";
import type { AuditEntry } from "../store/audit.ts";
import type { ClusterRow } from "../store/clusters.ts";
import type { StoreContext } from "../store/context.ts";
import { type AddressRow, insertNode } from "../store/nodes.ts";
import { decideRequest, type RequestRow } from "../store/requests.ts";
import { assignRole } from "../store/roles.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import { isUniqueViolation, type Tx } from "../store/sql.ts";
import { canonicalJson } from "../store/trust.ts";
import { capabilities, roles } from "../store/vocabulary.ts";
import { type Issuer, issueAndRecord, nodeLeafOrder, requireFreshKey } from "./issue.ts";
import type { GrantRow } from "./placement.ts";

/** What is approved, and by whom. */
export interface Approval {
  readonly cluster: ClusterRow;
  readonly actor: string;
  readonly keyHash: string;
  readonly addresses: readonly AddressRow[];
  readonly grants: readonly GrantRow[];
  readonly name: string;
}

/** A request as it was approved, and the records of every part of it but the approval itself. */
export interface Approved {
  readonly request: RequestRow & { readonly nodeId: string };
  /** For the caller to append together with its own, last: whoever appends makes everybody else wait. */
  readonly records: readonly AuditEntry[];
}

/**
 * Makes the node of a locked, pending request. Throws
 * `failed_precondition` (REQUEST_CHANGED, CAPABILITY_MISSING), `already_exists` (NODE_NAME_TAKEN), `invalid_argument` (KEY_IN_USE).
 */
export async function approvePending(
  tx: Tx,
  issuer: Issuer,
  pending: RequestRow,
  approval: Approval,
): Promise<Approved> {
  const { ctx } = issuer;
  const { cluster, actor, grants, name } = approval;
  const { spkiDer, keyHash } = judgeCsr(pending.csr);
  requireUnchanged(pending, keyHash, approval);
  await requireFreshKey(tx, keyHash);
  for (const grant of grants) requireCapabilities(grant, pending.capabilities);
  const node = {
    id: `nd-${randomLabel(ctx.random, 16)}`,
    clusterId: cluster.id,
    name,
    keyHash,
    linkLabel: `link-${randomLabel(ctx.random, 26)}`,
    addresses: pending.addresses,
    dialOutOnly: pending.dialOutOnly,
    region: pending.region,
    capabilities: pending.capabilities,
    requestId: pending.id,
  };
  await insertNamedNode(tx, ctx, node);
  for (const { role, organizationId } of grants) {
    await assignRole(tx, ctx, { clusterId: cluster.id, nodeId: node.id, role, organizationId, assignedBy: actor });
  }
  const leaf = await issueAndRecord(tx, issuer, nodeLeafOrder(cluster, node, spkiDer, "current"));
  const decision = { state: "approved", reviewer: actor, reason: "", nodeId: node.id } as const;
  const decided = await decideRequest(tx, pending.id, decision);
  // Late, and before the records: everybody locks the cluster's row, then the audit head.
  await bumpSnapshot(tx, ctx.hints, cluster.id);
  const about = { actor, object: `node/${node.id}`, clusterId: cluster.id };
  const after = { serial: leaf.serialHex, keyHash, notAfterMs: leaf.notAfterMs };
  const records = [
    ...grants.map((grant) => ({
      ...{ ...about, action: "role.assigned", organizationId: grant.organizationId, after: grant },
    })),
    { ...about, action: "certificate.issued", after },
  ];
  return { request: { ...decided, nodeId: node.id }, records };
}

/** A role needs what the host reports; reporting alone gives nothing. */
function requireCapabilities(grant: GrantRow, reported: readonly string[]): void {
  const role = roles.value(grant.role);
  const values = reported.map((each) => capabilities.value(each));
  if (isAssignableRole(role) && missingCapabilities(role, values).length === 0) return;
  const options = { detail: "CAPABILITY_MISSING", metadata: { role: grant.role } };
  throw new WeftError("failed_precondition", `the host does not report what the role ${grant.role} needs`, options);
}

/** What the operator saw must be what is stored, and what is stored must be what the host signed. */
function requireUnchanged(pending: RequestRow, csrKeyHash: string, approval: Approval): void {
  const changed: string[] = [];
  if (approval.keyHash !== pending.keyHash || approval.keyHash !== csrKeyHash) changed.push("key_hash");
  if (canonicalJson(approval.addresses) !== canonicalJson(pending.addresses)) changed.push("addresses");
  if (changed.length === 0) return;
  const options = { detail: "REQUEST_CHANGED", metadata: { fields: changed.join(",") } };
  throw new WeftError("failed_precondition", "the request is not what was reviewed; look at it again", options);
}

async function insertNamedNode(tx: Tx, ctx: StoreContext, node: Parameters<typeof insertNode>[2]): Promise<void> {
  try {
    await insertNode(tx, ctx, node);
  } catch (thrown) {
    if (!isUniqueViolation(thrown, "node_cluster_id_name_key")) throw thrown;
    const options = { detail: "NODE_NAME_TAKEN", cause: thrown };
    throw new WeftError("already_exists", "a node with this name exists in the cluster", options);
  }
}
