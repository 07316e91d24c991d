/**
 * Who calls, as far as the connection proves it. A `Caller` is made from a judged TLS socket and from nothing else: no
 * header and no field of a request ever becomes part of it.
 */

import type { TLSSocket } from "node:tls";
import { type ContextKey, createContextKey } from "@connectrpc/connect";
import type { SpiffeId } from "../certs/spiffe.ts";
import type { NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../lib/errors.ts";

export const callerKinds = ["anonymous", "node", "client", "operator"] as const;
export type CallerKind = (typeof callerKinds)[number];

/** The door a call came through: one TLS server (or one link) each. */
export const arrivals = ["join", "control", "operator-port", "link", "path", "client-name"] as const;
export type ArrivedBy = (typeof arrivals)[number];

export interface Caller {
  readonly kind: CallerKind;
  /** Absent only for anonymous callers. */
  readonly id?: SpiffeId;
  /** The id's text, or "anonymous": what logs and the audit call this caller. */
  readonly spiffe: string;
  readonly serialHex?: string;
  readonly keyHashHex?: string;
  /** The caller's public key, SPKI DER. */
  readonly spkiDer?: Uint8Array;
  readonly issuerKeyIdHex?: string;
  /** IP address without port. */
  readonly sourceAddress: string;
  readonly arrivedBy: ArrivedBy;
  /** Nodes and clients: their own cluster. On the join door: the cluster the server name stands for. Operators: absent. */
  readonly clusterId?: string;
  /** Clients. */
  readonly organizationId?: string;
  /** Nodes: the roles the judge knows them to have. */
  readonly roles?: readonly NodeRole[];
  /** Nodes: the identity stands, the membership does not. Only rows that say so let it in. */
  readonly suspended?: boolean;
  /** Control was restored from a backup and is still finding out what it has forgotten. Only rows that say so let it in. */
  readonly held?: boolean;
}

/** Why a connection may not call (any more): a detail in UPPER_SNAKE_CASE. */
export interface Refusal {
  readonly refused: string;
}

export type Verdict = Caller | Refusal;

/**
 * Asked before every RPC and on a timer. A judge that cannot find out rejects: the call fails with that error, connections
 * that are open stay until it can say.
 */
export type Judge = (socket: TLSSocket, caller: Caller) => Verdict | Promise<Verdict>;

export function isRefusal(verdict: Verdict): verdict is Refusal {
  return "refused" in verdict;
}

/** Who nobody vouches for, on doors that ask for no certificate. */
export function anonymousCaller(sourceAddress: string, arrivedBy: ArrivedBy, clusterId?: string): Caller {
  return {
    kind: "anonymous",
    spiffe: "anonymous",
    sourceAddress,
    arrivedBy,
    ...(clusterId === undefined ? {} : { clusterId }),
  };
}

const nobody: Caller = anonymousCaller("", "join");

/** The judged caller of the current RPC. */
export const kCaller: ContextKey<Caller> = createContextKey(nobody, { description: "caller" });

/** Names one RPC in logs, errors and the audit. */
export const kRequestId: ContextKey<string> = createContextKey("", { description: "request id" });

/** The calling node. Throws `permission_denied` for any other caller. */
export function nodeOf(caller: Caller): { readonly nodeId: string; readonly clusterId: string } {
  if (caller.kind !== "node" || caller.id === undefined) throw notA("node");
  return { nodeId: caller.id.id, clusterId: caller.id.clusterId };
}

/** The calling client. Throws `permission_denied` for any other caller. */
export function clientOf(caller: Caller): { readonly clientId: string; readonly clusterId: string } {
  if (caller.kind !== "client" || caller.id === undefined) throw notA("client");
  return { clientId: caller.id.id, clusterId: caller.id.clusterId };
}

/** The calling operator. Throws `permission_denied` for any other caller. */
export function operatorOf(caller: Caller): { readonly operatorId: string } {
  if (caller.kind !== "operator" || caller.id === undefined) throw notA("operator");
  return { operatorId: caller.id.id };
}

function notA(kind: CallerKind): WeftError {
  return new WeftError("permission_denied", `only a ${kind} may call this`, { detail: "CALLER_KIND" });
}
