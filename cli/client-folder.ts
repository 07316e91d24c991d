/** The folder that makes somebody a client, as whoever adds one writes it. */

import { join } from "node:path";
import { certificatePem } from "../certs/material.ts";
import { hasRole } from "../fabric/members.ts";
import type { AddIdentityResponse } from "../gen/weft/admin/v1/identity_pb.ts";
import type { Node } from "../gen/weft/admin/v1/node_pb.ts";
import type { EgressPool } from "../gen/weft/admin/v1/pool_pb.ts";
import { NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import { RootKind } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { replaceFile } from "../lib/files.ts";
import { hostPortText } from "./arguments.ts";

function rootsPem(answer: AddIdentityResponse, kind: RootKind): string {
  return answer.roots
    .filter((root) => root.kind === kind)
    .map((root) => certificatePem(root.certificateDer))
    .join("");
}

/** What a client is told of the fabric it uses. */
export interface ClientSurroundings {
  /** "host:port" of entries. */
  readonly entries: readonly string[];
  /** Names of entries and of the organization's pools, by id. */
  readonly names: Readonly<Record<string, string>>;
}

/**
 * Of what an operator sees, what a client of an organization may (LAW-C3): entries that serve it and have an address, and its own
 * pools. No relay, no egress, nothing of another organization.
 */
export function clientSurroundings(
  nodes: readonly Pick<Node, "id" | "name" | "identityStatus" | "roles" | "addresses">[],
  pools: readonly Pick<EgressPool, "id" | "name" | "organizationId">[],
  organizationId: string,
): ClientSurroundings {
  const entries = nodes.filter(
    ({ roles, identityStatus, addresses }) =>
      identityStatus === "active" && addresses.length > 0 && hasRole(roles, NodeRole.ENTRY, organizationId),
  );
  const ownPools = pools.filter((pool) => pool.organizationId === organizationId);
  return {
    entries: entries.flatMap(({ addresses }) => addresses.slice(0, 1).map(hostPortText)),
    names: Object.fromEntries([...entries, ...ownPools].map(({ id, name }) => [id, name])),
  };
}

/** Everything a client needs beside its key, which is there: its leaf, the roots of entries (nodes) and of pools, and where entries are. */
export function writeClientFolder(
  dir: string,
  answer: AddIdentityResponse,
  { entries, names }: ClientSurroundings,
  installationKeyHash: string,
): void {
  replaceFile(join(dir, "client.crt"), certificatePem(answer.certificateDer), 0o644);
  replaceFile(join(dir, "servers.pem"), rootsPem(answer, RootKind.NODE), 0o644);
  replaceFile(join(dir, "pools.pem"), rootsPem(answer, RootKind.POOL), 0o644);
  const facts = {
    trustDomain: answer.trustDomain,
    clusterSlug: answer.clusterSlug,
    clusterId: answer.identity?.clusterId,
    clientId: answer.identity?.id,
    organizationId: answer.identity?.organizationId,
    entries,
    // For people only: nothing is decided by a name.
    names,
    // What makes the client follow rotations of the roots beside this file.
    installationKeyHash,
  };
  replaceFile(join(dir, "client.json"), `${JSON.stringify(facts, null, 2)}\n`, 0o644);
}
