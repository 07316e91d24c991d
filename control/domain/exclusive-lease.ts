/**
 * Leases of exclusive resources: who may hold one, how long it lasts, and the contract that says so to entries and egresses
 * (docs/decisions/0013-exclusive-resources.md).
 */

import { create } from "@bufbuild/protobuf";
import { signContract } from "../../fabric/contract.ts";
import { exclusiveLeasePrefix } from "../../fabric/lease.ts";
import { LeaseContractSchema, LeaseKind, type SignedContract } from "../../gen/weft/fabric/v1/contract_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import type { StoreContext } from "../store/context.ts";
import type { LeaseRow } from "../store/leases.ts";
import { type ResourceRow, requireResource } from "../store/resources.ts";
import { rolesOf } from "../store/roles.ts";
import type { Authority } from "./authority.ts";
import { grantsRoleFor } from "./placement.ts";
import { serviceClassOf } from "./service-class.ts";

export interface ExclusiveDeps extends StoreContext {
  readonly authority: Pick<Authority, "signingKey">;
}

/**
 * The resource whose lease a node asks for, or undefined for a name of another kind. Throws `not_found` (LEASE_NOT_FOUND)
 * unless the resource is exclusive and the node an entry of its organization: one answer, whatever is missing (C3).
 */
export async function exclusiveResource(
  { sql, seal }: ExclusiveDeps,
  claim: { readonly clusterId: string; readonly nodeId: string; readonly name: string },
): Promise<ResourceRow | undefined> {
  if (!claim.name.startsWith(exclusiveLeasePrefix)) return undefined;
  const id = claim.name.slice(exclusiveLeasePrefix.length);
  const row = await requireResource(sql, seal, { clusterId: claim.clusterId, idOrName: id }).catch(
    (thrown: unknown) => {
      if (thrown instanceof WeftError && thrown.detail !== "TRUST_ROW_UNAUTHENTIC" && thrown.reason !== "unavailable") {
        return undefined;
      }
      throw thrown;
    },
  );
  const grants = await rolesOf(sql, seal, claim.nodeId);
  if (row?.id === id && row.exclusiveLeaseMs !== 0 && grantsRoleFor(grants, "entry", row.organizationId)) return row;
  throw new WeftError("not_found", "no such lease", { detail: "LEASE_NOT_FOUND" });
}

/** The contract of a lease as it was just given or prolonged. */
export async function exclusiveContract(
  { authority }: ExclusiveDeps,
  resource: ResourceRow,
  lease: LeaseRow,
): Promise<SignedContract> {
  const { keyId, privateKey, signed: statement } = await authority.signingKey(resource.clusterId, "contract");
  const contract = create(LeaseContractSchema, {
    clusterId: resource.clusterId,
    leaseId: `${resource.id}-${lease.epoch}-${lease.counter}`,
    name: lease.name,
    kind: LeaseKind.EXCLUSIVE,
    resourceId: resource.id,
    organizationId: resource.organizationId,
    holderNodeId: lease.holderNodeId,
    holderBootId: lease.bootId,
    entryNodeId: lease.holderNodeId,
    serviceClass: serviceClassOf(resource.service, resource.kind),
    route: { poolId: resource.poolId },
    fence: { epoch: BigInt(lease.epoch), counter: BigInt(lease.counter) },
    issuedAtMs: BigInt(lease.expiresAtMs - Math.max(1, lease.leftMs)),
    notAfterMs: BigInt(lease.expiresAtMs),
  });
  return signContract({ keyId, privateKey, statement }, contract);
}
