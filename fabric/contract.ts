/**
 * Contracts: what a lease promises, signed by control, enforced by entries and egresses without asking anybody.
 *
 * LC1. The received bytes are verified, then those bytes are parsed; a field unknown at any depth is refused. What is around
 *      them and not signed is taken in one spelling only: of a contract no byte can be another.
 * LC2. The signing key counts only with a statement of the pinned installation key, for contracts, this cluster and now.
 * LC3. Judging is total: every field of a contract is compared or refused; what a contract leaves open is written down here
 *      (`judgeContract`), and nothing else is open.
 * LC4. Dates are judged against max(wall clock, newest signed time): a clock set back prolongs nothing.
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { verifySigningKey } from "../certs/installation.ts";
import { decodeSigned, signDomain, verifyDomain } from "../certs/signed.ts";
import {
  type LeaseContract,
  LeaseContractSchema,
  LeaseKind,
  type SignedContract,
  SignedContractSchema,
} from "../gen/weft/fabric/v1/contract_pb.ts";
import { ChannelClass, ServiceClass } from "../gen/weft/fabric/v1/role_pb.ts";
import type { ResourceTarget } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { dateMs, isId } from "./signed-bytes.ts";
import type { OnlineSigner } from "./snapshot/sign.ts";

/** Part of the domain string, so that a contract cannot be mistaken for another statement. */
export const CONTRACT_DOMAIN = "weft/contract/v1\0";

/** Every way a contract can be refused. The first twelve need no question, the others compare it with a channel. */
export const contractRefusals = [
  // The message.
  "CONTRACT_SIZE",
  "CONTRACT_MALFORMED",
  "CONTRACT_UNSIGNED",
  "CONTRACT_STATEMENT",
  "CONTRACT_SIGNATURE",
  // What it says of itself.
  "CONTRACT_CLUSTER",
  "CONTRACT_KIND",
  "CONTRACT_IDS",
  "CONTRACT_FENCE",
  "CONTRACT_DATES",
  "CONTRACT_EARLY",
  "CONTRACT_EXPIRED",
  // Against the channel.
  "CONTRACT_MISSING",
  "CONTRACT_OTHER_KIND",
  "CONTRACT_RESOURCE",
  "CONTRACT_ORGANIZATION",
  "CONTRACT_CLIENT",
  "CONTRACT_ENTRY",
  "CONTRACT_SERVICE_CLASS",
  "CONTRACT_CHANNEL_CLASS",
  "CONTRACT_ROUTE",
  "CONTRACT_FLOW",
  "CONTRACT_ENDED",
] as const;

export type ContractRefusal = (typeof contractRefusals)[number];

/** Whether a reason is one of contracts. */
export function isContractRefusal(reason: string): reason is ContractRefusal {
  return (contractRefusals as readonly string[]).includes(reason);
}

/**
 * Encodes and signs a contract. The answer, encoded (`encodeContract`), is what leases, introspection and channels carry.
 * Throws `internal` (CONTRACT_*) for a contract that no hop would take, `resource_exhausted` (CONTRACT_SIZE).
 */
export function signContract(signer: OnlineSigner, contract: LeaseContract): SignedContract {
  const fault = formFault(contract);
  if (fault !== undefined) throw new WeftError("internal", "the contract is no contract", { detail: fault });
  const bytes = toBinary(LeaseContractSchema, contract);
  const signed = create(SignedContractSchema, {
    contract: bytes,
    keyId: signer.keyId,
    signature: signDomain(signer.privateKey, CONTRACT_DOMAIN, bytes),
    signingKey: signer.statement,
  });
  if (encodeContract(signed).length > limits.contractMaxBytes) {
    throw new WeftError("resource_exhausted", "the contract is too large", { detail: "CONTRACT_SIZE", retry: "never" });
  }
  return signed;
}

/** A signed contract as channels carry it. */
export function encodeContract(signed: SignedContract): Uint8Array<ArrayBuffer> {
  return toBinary(SignedContractSchema, signed);
}

export interface ContractExpectation {
  /** The pinned installation key, SPKI DER. */
  readonly installationSpki: Uint8Array;
  readonly clusterId: string;
  /** max(wall clock, newest signed time). */
  readonly nowMs: number;
  /** Signing keys that were replaced (certs/bundle.ts). */
  readonly retired?: ReadonlyMap<string, number>;
}

export type ContractVerdict =
  | { readonly ok: true; readonly contract: LeaseContract; readonly notAfterMs: number }
  | { readonly ok: false; readonly refusal: ContractRefusal };

const refuse = (refusal: ContractRefusal): ContractVerdict => ({ ok: false, refusal });

/** Whether bytes are a contract of this cluster that holds now (LC1, LC2, LC4). Never throws. */
export function verifyContract(bytes: Uint8Array, expect: ContractExpectation): ContractVerdict {
  if (bytes.length > limits.contractMaxBytes) return refuse("CONTRACT_SIZE");
  const signed = decoded(bytes);
  if (signed === undefined) return refuse("CONTRACT_MALFORMED");
  const opened = openSigned(signed, expect);
  if (typeof opened === "string") return refuse(opened);
  const { contract, signerNotAfterMs } = opened;
  if (contract.clusterId !== expect.clusterId) return refuse("CONTRACT_CLUSTER");
  const fault = formFault(contract);
  if (fault !== undefined) return refuse(fault);
  const issuedMs = Number(contract.issuedAtMs);
  const notAfterMs = Number(contract.notAfterMs);
  // A key signs nothing beyond its own end.
  if (issuedMs >= signerNotAfterMs) return refuse("CONTRACT_DATES");
  if (issuedMs > expect.nowMs + limits.signedSkewMaxMs) return refuse("CONTRACT_EARLY");
  if (notAfterMs <= expect.nowMs) return refuse("CONTRACT_EXPIRED");
  return { ok: true, contract, notAfterMs };
}

function decoded(bytes: Uint8Array): SignedContract | undefined {
  try {
    const signed = fromBinary(SignedContractSchema, bytes);
    return signed.$unknown === undefined && Buffer.from(bytes).equals(encodeContract(signed)) ? signed : undefined;
  } catch {
    return undefined;
  }
}

function openSigned(
  signed: SignedContract,
  expect: ContractExpectation,
): { readonly contract: LeaseContract; readonly signerNotAfterMs: number } | ContractRefusal {
  if (signed.signingKey === undefined) return "CONTRACT_UNSIGNED";
  let signer: ReturnType<typeof verifySigningKey>;
  try {
    signer = verifySigningKey(signed.signingKey, { ...expect, use: "contract" });
  } catch {
    return "CONTRACT_STATEMENT";
  }
  const isSigned = verifyDomain(signer.publicKey, signed.signature, CONTRACT_DOMAIN, signed.contract);
  if (signer.keyId !== signed.keyId || !isSigned) return "CONTRACT_SIGNATURE";
  try {
    return { contract: decodeSigned(LeaseContractSchema, signed.contract), signerNotAfterMs: signer.notAfterMs };
  } catch {
    return "CONTRACT_MALFORMED";
  }
}

/** What is wrong with a contract whatever it is held against. */
function formFault(contract: LeaseContract): ContractRefusal | undefined {
  const { kind, fence } = contract;
  const isExclusive = kind === LeaseKind.EXCLUSIVE;
  if (!isExclusive && kind !== LeaseKind.SERVICE_CHANNEL) return "CONTRACT_KIND";
  const { clusterId, leaseId, resourceId, organizationId, entryNodeId } = contract;
  if (![clusterId, leaseId, resourceId, organizationId, entryNodeId].every(isId)) return "CONTRACT_IDS";
  if (![contract.clientId, contract.flowIsolationId, contract.route?.poolId ?? ""].every(isIdOrEmpty))
    return "CONTRACT_IDS";
  // An exclusive lease is its holder's, who is the entry; a service channel has no holder.
  if (isExclusive ? contract.holderNodeId !== entryNodeId : contract.holderNodeId !== "") return "CONTRACT_IDS";
  if (isExclusive ? contract.clientId !== "" : contract.holderBootId !== "") return "CONTRACT_IDS";
  if (fence === undefined || fence.epoch <= 0n || fence.counter <= 0n) return "CONTRACT_FENCE";
  const issuedMs = dateMs(contract.issuedAtMs);
  const notAfterMs = dateMs(contract.notAfterMs);
  return issuedMs === undefined || notAfterMs === undefined || notAfterMs <= issuedMs ? "CONTRACT_DATES" : undefined;
}

function isIdOrEmpty(text: string): boolean {
  return text === "" || isId(text);
}

/** The channel (or path) a contract is held against, as this hop itself knows it, never as the contract or a client says. */
export interface ContractQuestion {
  /** What the resource demands; UNSPECIFIED: nothing, and a contract that is shown all the same has to be right. */
  readonly needs: LeaseKind;
  readonly resourceId: string;
  readonly organizationId: string;
  readonly poolId: string;
  /** UNSPECIFIED where this hop is not told, which is only where no contract is needed. */
  readonly serviceClass: ServiceClass;
  /** The class the channel runs in; UNSPECIFIED where that is not settled yet (a path), and is judged later. */
  readonly channelClass: ChannelClass;
  /** Proved or asserted; empty: nobody is. */
  readonly clientId: string;
  /** The entry the channel came by. */
  readonly entryNodeId: string;
  /** As the opener said it; undefined: nobody said one yet, and the contract's is said from here on. */
  readonly flowIsolationId: string | undefined;
  /** Leases that control ended before their time. */
  readonly endedLeaseIds: readonly string[];
}

/**
 * Why a contract does not cover a channel, or undefined when it does (LC3). A contract leaves open: the client when it names
 * none, the channel class when it is UNSPECIFIED, the pool when it has no route. Its name and its boot id are for people and
 * holders, its fence for `judgeFence`, its dates for `verifyContract`.
 */
export function judgeContract(contract: LeaseContract, question: ContractQuestion): ContractRefusal | undefined {
  const { clientId, channelClass, route } = contract;
  if (question.needs !== LeaseKind.UNSPECIFIED && contract.kind !== question.needs) return "CONTRACT_OTHER_KIND";
  if (contract.resourceId !== question.resourceId) return "CONTRACT_RESOURCE";
  if (contract.organizationId !== question.organizationId) return "CONTRACT_ORGANIZATION";
  // A service channel is some client's: nobody in particular has none.
  const isNobody = contract.kind === LeaseKind.SERVICE_CHANNEL && question.clientId === "";
  if (isNobody || (clientId !== "" && clientId !== question.clientId)) return "CONTRACT_CLIENT";
  if (contract.entryNodeId !== question.entryNodeId) return "CONTRACT_ENTRY";
  const isUntold = question.needs === LeaseKind.UNSPECIFIED && question.serviceClass === ServiceClass.UNSPECIFIED;
  if (!isUntold && contract.serviceClass !== question.serviceClass) return "CONTRACT_SERVICE_CLASS";
  const isOpen = channelClass === ChannelClass.UNSPECIFIED || question.channelClass === ChannelClass.UNSPECIFIED;
  if (!isOpen && channelClass !== question.channelClass) return "CONTRACT_CHANNEL_CLASS";
  if ((route?.poolId ?? "") !== "" && route?.poolId !== question.poolId) return "CONTRACT_ROUTE";
  const flow = question.flowIsolationId ?? contract.flowIsolationId;
  if (contract.flowIsolationId !== flow) return "CONTRACT_FLOW";
  return question.endedLeaseIds.includes(contract.leaseId) ? "CONTRACT_ENDED" : undefined;
}

/** What a resource demands of channels, from its row in a snapshot. */
export function contractNeeds(resource: Pick<ResourceTarget, "requiresLease" | "exclusiveLeaseMs">): LeaseKind {
  if (resource.exclusiveLeaseMs > 0n) return LeaseKind.EXCLUSIVE;
  return resource.requiresLease ? LeaseKind.SERVICE_CHANNEL : LeaseKind.UNSPECIFIED;
}

/**
 * Verifies and judges what a channel carries; absent bytes are right where the resource demands nothing. `trust` is asked only
 * when there is something to verify: most channels carry nothing.
 */
export function judgeCarried(
  carried: Uint8Array | undefined,
  question: ContractQuestion,
  trust: () => ContractExpectation,
): ContractVerdict | undefined {
  if (carried === undefined || carried.length === 0) {
    // An id without a contract would open trunks at will.
    if ((question.flowIsolationId ?? "") !== "") return refuse("CONTRACT_FLOW");
    return question.needs === LeaseKind.UNSPECIFIED ? undefined : refuse("CONTRACT_MISSING");
  }
  const verdict = verifyContract(carried, trust());
  if (!verdict.ok) return verdict;
  const refusal = judgeContract(verdict.contract, question);
  return refusal === undefined ? verdict : refuse(refusal);
}
