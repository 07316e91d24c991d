/** A cluster in miniature for offers: an entry, two relays and an egress with real node leaves, and their snapshots. */

import { create } from "@bufbuild/protobuf";
import { createRoot, issueLeaf } from "../../../../certs/ca.ts";
import { judgeCertificate, type Verdict } from "../../../../certs/judge.ts";
import { generateP256, type KeyPair } from "../../../../certs/keys.ts";
import { rootsOfKind } from "../../../../certs/material.ts";
import type { OfferFacts } from "../../../../fabric/path/authorize.ts";
import { type SignedOffer, signOffer, verifyOffer } from "../../../../fabric/path/offer.ts";
import { ChannelClass, NodeRole } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { type Snapshot, SnapshotSchema } from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { FarEdge, PathPurpose } from "../../../../gen/weft/relay/v1/relay_pb.ts";
import { seededRandom } from "../../../../lib/random.ts";

export const nowMs = 1_800_000_000_000;
export const trustDomain = "weft-test.internal";
export const clusterId = "cl-a";
export const hops = ["nd-entry", "nd-r1", "nd-r2", "nd-egress"] as const;

const random = seededRandom(7);
const root = await createRoot({ kind: "node", clusterName: "a", generation: 1, nowMs, random });

export interface Actor {
  readonly nodeId: string;
  readonly key: KeyPair;
  readonly certificate: Uint8Array;
  readonly serial: Uint8Array;
}

async function actor(nodeId: string): Promise<Actor> {
  const key = generateP256();
  const id = { trustDomain, clusterId, kind: "node", id: nodeId } as const;
  const leaf = await issueLeaf(root, { id, spkiDer: key.spkiDer, nowMs, random });
  return { nodeId, key, certificate: leaf.certificateDer, serial: Buffer.from(leaf.serialHex, "hex") };
}

export const entry = await actor("nd-entry");
export const stranger = await actor("nd-stranger");

export function judge(certificate: Uint8Array): Verdict {
  const roots = rootsOfKind("node", [root.root.der]);
  return judgeCertificate(certificate, { kind: "node", trustDomain, clusterId, roots, nowMs: () => nowMs });
}

const everywhere = { organizationId: "" };
const rolesOf: Record<string, { role: NodeRole; organizationId: string }[]> = {
  "nd-entry": [{ role: NodeRole.ENTRY, ...everywhere }],
  "nd-r1": [{ role: NodeRole.RELAY, ...everywhere }],
  "nd-r2": [{ role: NodeRole.RELAY, ...everywhere }],
  "nd-egress": [{ role: NodeRole.EGRESS, ...everywhere }],
};

/** The snapshot of one of the hops: relays know everybody, the egress knows relays. */
export function snapshotOf(nodeId: string): Snapshot {
  const neighbours = hops.filter((id) => id !== nodeId && (nodeId.startsWith("nd-r") || id.startsWith("nd-r")));
  return create(SnapshotSchema, {
    trustDomain,
    clusterId,
    nodeId,
    self: { roles: rolesOf[nodeId] ?? [] },
    neighbours: neighbours.map((id) => ({ nodeId: id, roles: rolesOf[id] ?? [] })),
    members: [{ nodeId: "nd-entry", roles: rolesOf["nd-entry"] ?? [] }],
    pools: [
      { poolId: "pl-1", organizationId: "org-1", egressNodeIds: ["nd-egress"] },
      { poolId: "pl-2", organizationId: "org-2", egressNodeIds: ["nd-egress"] },
    ],
  });
}

/** The fields of an offer that every hop agrees to. */
export function goodOffer() {
  return {
    trustDomain,
    clusterId,
    initiatorId: "nd-entry",
    initiatorLeafSerial: entry.serial as Uint8Array,
    hops: [...hops] as string[],
    farEdge: FarEdge.NODE as FarEdge,
    purpose: PathPurpose.NEW as PathPurpose,
    trunkId: new Uint8Array(16).fill(1),
    class: ChannelClass.INTERACTIVE as ChannelClass,
    organizationId: "org-1",
    snapshotEpoch: 1n,
    snapshotVersion: 4n,
    feedEpoch: 1n,
    feedSeq: 7n,
    issuedAtMs: BigInt(nowMs - 1_000),
    expiresAtMs: BigInt(nowMs + 9_000),
    nonce: new Uint8Array(16).fill(2),
    askHash: new Uint8Array(0),
    poolId: "",
    rateBytesPerSecond: 0n,
  };
}

export type OfferFields = ReturnType<typeof goodOffer>;

/** What the hop at `index` knows when that signed offer arrives from its predecessor. */
export function factsAt(index: number, signed: SignedOffer, by: Actor = entry): OfferFacts {
  const { offer } = verifyOffer({ ...signed, initiatorCertificate: by.certificate });
  const selfId = hops[index] ?? "";
  return {
    offer,
    selfId,
    callerId: hops[index - 1] ?? "",
    snapshot: snapshotOf(selfId),
    nowMs,
    startedAtMs: nowMs - 60_000,
    feed: { epoch: 1n, seq: 7n },
    initiator: judge(by.certificate),
    replay: new Set<string>(),
    offline: { newChannels: true, existing: true },
  };
}

export function signed(fields: Partial<OfferFields> = {}, by: Actor = entry): SignedOffer {
  return signOffer(by.key.privateKey, { ...goodOffer(), ...fields });
}
