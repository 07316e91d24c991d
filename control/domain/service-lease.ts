/** What a lease of a service channel may be, and the contract that says it. */

import { create } from "@bufbuild/protobuf";
import { encodeContract, signContract } from "../../fabric/contract.ts";
import type { OnlineSigner } from "../../fabric/snapshot/sign.ts";
import { LeaseContractSchema, LeaseKind } from "../../gen/weft/fabric/v1/contract_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { ServiceLeaseFacts } from "../store/service-leases.ts";
import { classes, serviceClasses } from "../store/vocabulary.ts";

/** The length of a lease, milliseconds; 0: `otherwise`. Throws `invalid_argument` (INVALID_FIELD). */
export function leaseTtlMs(ttlMs: bigint, otherwise: number): number {
  const { serviceLeaseTtlMinMs, serviceLeaseTtlMaxMs } = limits;
  if (ttlMs === 0n) return otherwise;
  if (ttlMs >= BigInt(serviceLeaseTtlMinMs) && ttlMs <= BigInt(serviceLeaseTtlMaxMs)) return Number(ttlMs);
  const message = `a lease lasts ${serviceLeaseTtlMinMs / 1_000} s to ${serviceLeaseTtlMaxMs / 3_600_000} h`;
  throw new WeftError("invalid_argument", message, { detail: "INVALID_FIELD", metadata: { field: "ttl_ms" } });
}

/** The contract of a lease for a term, signed and encoded: what is stored, answered, and carried by channels. */
export function contractOf(
  signer: OnlineSigner,
  lease: ServiceLeaseFacts,
  term: { readonly issuedAtMs: number; readonly notAfterMs: number },
): Uint8Array<ArrayBuffer> {
  const contract = create(LeaseContractSchema, {
    clusterId: lease.clusterId,
    leaseId: lease.id,
    name: lease.name,
    kind: LeaseKind.SERVICE_CHANNEL,
    resourceId: lease.resourceId,
    organizationId: lease.organizationId,
    clientId: lease.clientId,
    serviceClass: serviceClasses.value(lease.serviceClass),
    channelClass: classes.value(lease.channelClass),
    entryNodeId: lease.entryNodeId,
    ...(lease.poolId === "" ? {} : { route: { poolId: lease.poolId } }),
    flowIsolationId: lease.flowIsolationId,
    fence: { epoch: BigInt(lease.fenceEpoch), counter: BigInt(lease.fenceCounter) },
    issuedAtMs: BigInt(term.issuedAtMs),
    notAfterMs: BigInt(term.notAfterMs),
  });
  return encodeContract(signContract(signer, contract));
}
