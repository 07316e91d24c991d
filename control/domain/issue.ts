/**
 * Issuing leaves. Every name in a leaf is chosen here from authenticated rows; the requester contributes a key. The row of
 * a leaf is inserted in the transaction that decided to issue it, so no bytes leave before their serial is recorded.
 */

import { isIP } from "node:net";
import type { IssuedLeaf } from "../../certs/ca.ts";
import { issueLeaf } from "../../certs/ca.ts";
import { clusterSegment, INSTALLATION, type SpiffeId, type SpiffeKind } from "../../certs/spiffe.ts";
import {
  clientServerName,
  controlServerName,
  joinServerName,
  linkServerName,
  nodeServerName,
} from "../../fabric/server-names.ts";
import { WeftError } from "../../lib/errors.ts";
import { isAuthorityKey } from "../store/authorities.ts";
import { type CertificateSubject, insertCertificate, isKeyKnown } from "../store/certificates.ts";
import type { ClusterRow } from "../store/clusters.ts";
import type { StoreContext } from "../store/context.ts";
import type { Tx } from "../store/sql.ts";
import type { Authority } from "./authority.ts";

export interface Issuer {
  readonly ctx: StoreContext;
  readonly authority: Authority;
  readonly trustDomain: string;
}

/** What a node's leaf is made from: its authenticated row. */
export interface NodeNames {
  readonly id: string;
  readonly name: string;
  readonly linkLabel: string;
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
}

export interface LeafOrder {
  readonly kind: SpiffeKind;
  /** The cluster whose root signs; ignored for operators. */
  readonly clusterId: string;
  readonly subjectId: string;
  /** Pool leaves: the egress node. Default: the subject. */
  readonly holderId?: string;
  readonly spkiDer: Uint8Array;
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  /** `next` waits for its first use; `current` takes over at once. */
  readonly status: "current" | "next";
}

const LOOPBACK = ["127.0.0.1", "::1"] as const;

/** Issues and records one leaf. Errors of `issueLeaf` and `Authority.ca`. */
export async function issueAndRecord(tx: Tx, issuer: Issuer, order: LeafOrder): Promise<IssuedLeaf> {
  const { ctx, authority, trustDomain } = issuer;
  const { kind, clusterId, subjectId, spkiDer, dnsNames, ipAddresses } = order;
  const segment = clusterSegment(kind, clusterId);
  const id: SpiffeId = { trustDomain, clusterId: segment, kind, id: subjectId };
  const ca = await authority.ca(tx, clusterId, kind);
  const leaf = await issueLeaf(ca, {
    id,
    spkiDer,
    ...(dnsNames === undefined ? {} : { dnsNames }),
    ...(ipAddresses === undefined ? {} : { ipAddresses }),
    nowMs: ctx.clock.nowMs(),
    random: ctx.random,
    ...lifeOf(ctx, kind),
  });
  await insertCertificate(tx, ctx, subjectOf(kind, clusterId, subjectId, order.holderId), leaf, order.status);
  return leaf;
}

/** What this control was told about how long leaves live; operators' always live as their profile says. */
function lifeOf({ leafLives = {} }: StoreContext, kind: SpiffeKind): { readonly lifeMs?: number } {
  if (kind === "operator") return {};
  const lifeMs = kind === "client" ? leafLives.clientsMs : leafLives.hostsMs;
  return lifeMs === undefined ? {} : { lifeMs };
}

/** Whose allowlist rows a leaf belongs to. */
export function subjectOf(
  kind: SpiffeKind,
  clusterId: string,
  subjectId: string,
  holderId = subjectId,
): CertificateSubject {
  return { scope: kind === "operator" ? INSTALLATION : clusterId, subjectKind: kind, subjectId, holderId };
}

/** A node's leaf: its link, readable and client names, loopback, and the addresses an operator approved. */
export function nodeLeafOrder(
  cluster: Pick<ClusterRow, "id" | "slug">,
  node: NodeNames,
  spkiDer: Uint8Array,
  status: "current" | "next",
): LeafOrder {
  const hosts = node.addresses.map(({ host }) => host.toLowerCase());
  const dnsNames = [
    linkServerName(node.linkLabel, cluster.slug),
    nodeServerName(node.name, cluster.slug),
    clientServerName(cluster.slug),
    "localhost",
    ...hosts.filter((host) => isIP(host) === 0),
  ];
  const ipAddresses = [...LOOPBACK, ...hosts.filter((host) => isIP(host) !== 0)];
  return {
    kind: "node",
    clusterId: cluster.id,
    subjectId: node.id,
    spkiDer,
    dnsNames: [...new Set(dnsNames)],
    ipAddresses: [...new Set(ipAddresses)],
    status,
  };
}

/** A control replica's leaf: the cluster's control and join names, loopback, and the public hosts it is configured with. */
export function controlLeafOrder(
  cluster: Pick<ClusterRow, "id" | "slug">,
  replica: { readonly id: string; readonly publicHosts: readonly string[] },
  spkiDer: Uint8Array,
): LeafOrder {
  const hosts = replica.publicHosts.map((host) => host.toLowerCase());
  const names = [controlServerName(cluster.slug), joinServerName(cluster.slug), "localhost"];
  return {
    kind: "control",
    clusterId: cluster.id,
    subjectId: replica.id,
    spkiDer,
    dnsNames: [...new Set([...names, ...hosts.filter((host) => isIP(host) === 0)])],
    ipAddresses: [...new Set([...LOOPBACK, ...hosts.filter((host) => isIP(host) !== 0)])],
    status: "current",
  };
}

/** Throws `invalid_argument` (KEY_IN_USE) for a key that has been certified for anybody else, or is an authority's. */
export async function requireFreshKey(tx: Tx, keyHash: string, except?: string): Promise<void> {
  if ((await isKeyKnown(tx, keyHash, except)) || (await isAuthorityKey(tx, keyHash))) {
    throw new WeftError("invalid_argument", "this key is in use; make a fresh one", { detail: "KEY_IN_USE" });
  }
}
