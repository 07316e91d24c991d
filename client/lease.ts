/**
 * A lease as a client holds it: the signed contract, which it carries and cannot check (the installation key is the hosts'
 * to pin), and what it needs to know of it.
 *
 * LS1. What counts is what entries and egresses make of the bytes; a contract read wrongly here only asks the wrong entry.
 * LS2. As a file it is text, so that it survives being mailed and pasted; it is kept like a key (0600), although without the
 *      client's certificate it opens nothing, unless it was issued for anybody of an organization.
 */

import { fromBinary } from "@bufbuild/protobuf";
import { isId } from "../fabric/signed-bytes.ts";
import { LeaseContractSchema, SignedContractSchema } from "../gen/weft/fabric/v1/contract_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";

/** What a client knows of a contract. */
export interface HeldLease {
  readonly leaseId: string;
  /** The only entry that channels under it may come by. */
  readonly entryNodeId: string;
  /** Empty: none. */
  readonly flowIsolationId: string;
  readonly notAfterMs: number;
  /** A SignedContract, encoded. */
  readonly contract: Uint8Array;
}

/** Reads a signed contract. Throws `invalid_argument` (LEASE_MALFORMED). */
export function heldLease(contract: Uint8Array): HeldLease {
  if (contract.length > limits.contractMaxBytes) throw malformed("the lease is too long");
  try {
    const signed = fromBinary(SignedContractSchema, contract);
    const { leaseId, entryNodeId, flowIsolationId, notAfterMs } = fromBinary(LeaseContractSchema, signed.contract);
    if (isId(leaseId) && isId(entryNodeId))
      return { leaseId, entryNodeId, flowIsolationId, notAfterMs: Number(notAfterMs), contract };
  } catch (cause) {
    throw malformed("the lease cannot be read", cause);
  }
  throw malformed("the lease names no entry");
}

const armour = /-----BEGIN WEFT LEASE-----\s*([A-Za-z0-9+/=\s]+?)\s*-----END WEFT LEASE-----/;

/** The text of a lease file. */
export function leaseText(contract: Uint8Array): string {
  const lines =
    Buffer.from(contract)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN WEFT LEASE-----\n${lines.join("\n")}\n-----END WEFT LEASE-----\n`;
}

/** The signed contract of a lease file. Throws `invalid_argument` (LEASE_MALFORMED). */
export function leaseOfText(text: string): Uint8Array {
  const base64 = armour.exec(text)?.[1];
  if (base64 === undefined) throw malformed("the file holds no lease: `weft service-lease issue --out FILE` makes one");
  return heldLease(new Uint8Array(Buffer.from(base64, "base64"))).contract;
}

function malformed(message: string, cause?: unknown): WeftError {
  return new WeftError("invalid_argument", message, { detail: "LEASE_MALFORMED", cause });
}
