/**
 * Who may call what: one row per RPC, decided by pure functions.
 *
 * C1. Nothing is allowed by default: a call without a row is refused as our own mistake, and a surface that serves an RPC
 *     without a row does not start.
 * C2. Every row names its subject: whose things the call touches. Either the caller itself, known from its connection
 *     only, or fields that must equal what the connection proves.
 * C3. A field that names somebody else's thing is answered like a thing that does not exist.
 */

import type { DescMessage, DescMethod, DescService, Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection as ServerReflectionV1 } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionV1Alpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import type { NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import type { ArrivedBy, Caller, CallerKind } from "./caller.ts";

/** Which bucket a call is counted in: "join" per source prefix, the others per caller. */
export type LimitClass = "join" | "node" | "client" | "operator" | "link" | "inspect";

export interface FieldBinding {
  /** Proto name of a top-level field of the request, of type string. */
  readonly field: string;
  readonly equals: "caller-cluster" | "caller-node" | "caller-organization";
  /** An empty field means the caller's own and is allowed. */
  readonly emptyOk?: boolean;
}

export type SubjectBinding =
  /** No subject, or (operators) the whole installation. */
  | { readonly kind: "none" }
  /** The caller itself, known from its connection; the request names no subject. */
  | { readonly kind: "caller" }
  /** Checked on every request message of node and client callers. Operators belong to the installation and are not bound. */
  | { readonly kind: "fields"; readonly fields: readonly FieldBinding[] };

export interface PolicyRow {
  readonly callers: readonly CallerKind[];
  readonly arrivedBy: readonly ArrivedBy[];
  /** Nodes need one of these; other kinds of caller are not asked. */
  readonly roles?: readonly NodeRole[];
  /** Nodes whose membership is disabled may call it too. */
  readonly suspendedOk?: boolean;
  /** May be called while control still learns what a restore lost. */
  readonly heldOk?: boolean;
  readonly subject: SubjectBinding;
  readonly limit: LimitClass;
  /** Refusals of this RPC are written to the audit log. */
  readonly auditRefusal?: boolean;
}

/** By full name: "weft.lease.v1.LeaseService/Acquire". */
export type PolicyTable = Readonly<Record<string, PolicyRow>>;

export type Decision =
  | { readonly allowed: true }
  | {
      readonly allowed: false;
      readonly reason: "unauthenticated" | "permission_denied" | "not_found" | "unavailable" | "internal";
      readonly detail: string;
    };

const allow: Decision = { allowed: true };

/** Where each kind of caller can come from at all: one root per door, so a caller of another kind there is a mix-up. */
const doorsOf: Readonly<Record<CallerKind, readonly ArrivedBy[]>> = {
  anonymous: ["join"],
  node: ["control", "link", "path"],
  client: ["client-name", "path"],
  operator: ["operator-port"],
};

/** The full name of an RPC, the key of the policy table. */
export function rpcName(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** The rows of one service, by local method name: a method without a row does not compile. */
export function rowsOf<S extends DescService>(
  service: S,
  rows: Readonly<Record<keyof S["method"] & string, PolicyRow>>,
): PolicyTable {
  const table: Record<string, PolicyRow> = {};
  for (const method of service.methods) {
    const row = rows[method.localName as keyof S["method"] & string];
    if (row !== undefined) table[rpcName(method)] = row;
  }
  return table;
}

/** Whether this caller may call at all, before a byte of the request is read. */
export function decide(row: PolicyRow | undefined, caller: Caller): Decision {
  if (row === undefined) return { allowed: false, reason: "internal", detail: "POLICY_MISSING" };
  if (!row.callers.includes(caller.kind)) {
    return caller.kind === "anonymous"
      ? { allowed: false, reason: "unauthenticated", detail: "IDENTITY_REQUIRED" }
      : { allowed: false, reason: "permission_denied", detail: "CALLER_KIND" };
  }
  if (!row.arrivedBy.includes(caller.arrivedBy) || !doorsOf[caller.kind].includes(caller.arrivedBy)) {
    return { allowed: false, reason: "permission_denied", detail: "WRONG_DOOR" };
  }
  if (caller.held === true && row.heldOk !== true) {
    return { allowed: false, reason: "unavailable", detail: "RESTORE_SETTLING" };
  }
  if (caller.suspended === true && row.suspendedOk !== true) {
    return { allowed: false, reason: "permission_denied", detail: "MEMBERSHIP_DISABLED" };
  }
  if (row.roles !== undefined && caller.kind === "node") {
    const held = caller.roles ?? [];
    if (!row.roles.some((role) => held.includes(role))) {
      return { allowed: false, reason: "permission_denied", detail: "ROLE_REQUIRED" };
    }
  }
  return allow;
}

/** Whether a request message stays with the caller's own (C2, C3). */
export function decideSubject(row: PolicyRow, caller: Caller, schema: DescMessage, request: Message): Decision {
  if (row.subject.kind !== "fields" || caller.kind === "operator") return allow;
  const message = reflect(schema, request);
  for (const { field, equals, emptyOk } of row.subject.fields) {
    const desc = schema.fields.find((candidate) => candidate.name === field);
    if (desc === undefined) return { allowed: false, reason: "internal", detail: "POLICY_FIELD" };
    const value: unknown = message.get(desc);
    if (value === "" && emptyOk === true) continue;
    const own = ownValue(caller, equals);
    if (own === undefined || value !== own) return { allowed: false, reason: "not_found", detail: "NOT_FOUND" };
  }
  return allow;
}

function ownValue(caller: Caller, equals: FieldBinding["equals"]): string | undefined {
  switch (equals) {
    case "caller-cluster":
      return caller.clusterId;
    case "caller-node":
      return caller.kind === "node" ? caller.id?.id : undefined;
    case "caller-organization":
      return caller.organizationId;
  }
}

/**
 * What is wrong with serving `methods` under `table` at this door: missing rows, rows that never let anybody in here,
 * bindings to fields that do not exist, bound fields on RPCs whose requests nobody here parses. Empty when all is well.
 */
export function policyProblems(
  table: PolicyTable,
  arrivedBy: ArrivedBy,
  methods: Iterable<{ readonly method: DescMethod; readonly raw: boolean }>,
): string[] {
  const problems: string[] = [];
  for (const { method, raw } of methods) {
    const name = rpcName(method);
    const row = Object.hasOwn(table, name) ? table[name] : undefined;
    if (row === undefined) problems.push(`${name} has no policy row`);
    else if (!row.arrivedBy.includes(arrivedBy))
      problems.push(`${name} is served by "${arrivedBy}" but its row is not`);
    else if (row.subject.kind === "fields") {
      if (raw) problems.push(`${name} is served raw and cannot bind fields`);
      for (const { field } of row.subject.fields) {
        if (!method.input.fields.some((desc) => desc.name === field && desc.fieldKind === "scalar")) {
          problems.push(`${name} binds ${field}, which its request does not have`);
        }
      }
    }
  }
  return problems;
}

const anyKnown = ["node", "client", "operator"] as const;
const anyDoor = ["control", "operator-port", "link", "client-name"] as const;
const inspectRow: PolicyRow = { callers: anyKnown, arrivedBy: anyDoor, subject: { kind: "none" }, limit: "inspect" };
const reflectRow: PolicyRow = {
  callers: anyKnown,
  arrivedBy: ["control", "operator-port", "client-name"],
  subject: { kind: "none" },
  limit: "inspect",
};

/** Rows of health and reflection: any verified caller; reflection lists only what that door serves. */
export const inspectPolicy: PolicyTable = {
  ...rowsOf(Health, { check: inspectRow, list: inspectRow, watch: inspectRow }),
  ...rowsOf(ServerReflectionV1, { serverReflectionInfo: reflectRow }),
  ...rowsOf(ServerReflectionV1Alpha, { serverReflectionInfo: reflectRow }),
};
