/**
 * Revocations come back from nodes: signed statements of this installation that a restored store has forgotten.
 *
 * RL1. Only what this control's own key signed counts; who brings it does not matter, for it can only take away.
 * RL2. A statement's revocations are added to the feed, and whom they name is revoked again as a whole: identity, leaves,
 *      keys, those issued meanwhile included.
 */

import { fromBinary } from "@bufbuild/protobuf";
import { formatSpiffe, parseSpiffe } from "../../certs/spiffe.ts";
import { compareFeeds, verifyFeed } from "../../fabric/feed.ts";
import {
  type Revocation,
  type RevocationFeed,
  RevocationFeedSchema,
  type SignedFeed,
} from "../../gen/weft/fabric/v1/feed_pb.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { appendAudit } from "../store/audit.ts";
import { revokeCertificates, revokeLeaves } from "../store/certificates.ts";
import type { StoreContext } from "../store/context.ts";
import { getIdentity, markIdentityRevoked } from "../store/identities.ts";
import { getNode, markNodeRevoked } from "../store/nodes.ts";
import { recordWitness } from "../store/restores.ts";
import { addRevocations, fittingEntries, listRevocations, type RevocationEntry } from "../store/revocations.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import type { Tx } from "../store/sql.ts";
import type { Authority } from "./authority.ts";
import { tellGap } from "./restore-gap.ts";
import type { RestoreHold } from "./restore-hold.ts";

export interface LearnDeps extends StoreContext {
  readonly authority: Pick<Authority, "installation">;
  readonly hold: RestoreHold;
}

/** What a node holds. */
export interface Returned {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly feeds: readonly SignedFeed[];
  readonly auditSeq: number;
  readonly auditHash: Uint8Array | null;
  readonly snapshotEpoch: number;
  readonly snapshotVersion: number;
}

/** Learns from what a node returned; how many revocations were new. Nothing happens in a store that never was restored. */
export async function learnFrom(deps: LearnDeps, returned: Returned): Promise<number> {
  const { clusterId, nodeId } = returned;
  const restore = await deps.hold.newest();
  if (restore === undefined) return 0;
  const { publicKeySpki } = await deps.authority.installation();
  const feeds = returned.feeds
    .flatMap((feed) => verified(deps, feed, { clusterId, publicKeySpki }))
    .sort((a, b) => compareFeeds(a, b));
  const learnedCount = await deps.sql.tx(async (tx) => {
    const known = feeds.flatMap(({ revocations }) => revocations).map(entryOf);
    const learnedCount = await learnRevocations(tx, deps, { clusterId, entries: known, from: `node/${nodeId}` });
    // Of the epoch the restore began, everybody has what control told; it says nothing about what was lost.
    const before = feeds.findLast(({ epoch }) => epoch < BigInt(restore.epoch));
    await recordWitness(tx, restore.id, {
      ...returned,
      kind: "returned",
      feedEpoch: Number(before?.epoch ?? 0n),
      feedSeq: Number(before?.seq ?? 0n),
      learnedCount,
    });
    await tellGap(tx, restore);
    return learnedCount;
  });
  deps.hold.returned(clusterId, nodeId);
  return learnedCount;
}

/** The content of a statement that is ours; nothing for one that is not. */
function verified(
  deps: LearnDeps,
  feed: SignedFeed,
  expect: { readonly clusterId: string; readonly publicKeySpki: Uint8Array },
): readonly RevocationFeed[] {
  const judge = (nowMs: number): RevocationFeed =>
    verifyFeed(feed, { installationSpki: expect.publicKeySpki, clusterId: expect.clusterId, nowMs });
  try {
    try {
      return [judge(deps.clock.nowMs())];
    } catch (thrown) {
      if (!(thrown instanceof WeftError) || thrown.detail !== "STATEMENT_DATES") throw thrown;
      // The key's statement has ended since; when it signed this, it had not. Its date is judged with its signature.
      return [judge(Number(fromBinary(RevocationFeedSchema, feed.payload).issuedAtMs))];
    }
  } catch (thrown) {
    deps.log.warn("a returned revocation feed is not this installation's", { error: messageOf(thrown) });
    return [];
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** Who learns: services with their context, and a restore with its own. */
export type LearnContext = Pick<StoreContext, "seal" | "hints" | "clock">;

/**
 * Takes living revocations that the store does not have into it (RL2), with their record; returns how many. Before any
 * other audit record of the transaction.
 */
export async function learnRevocations(
  tx: Tx,
  ctx: LearnContext,
  about: { readonly clusterId: string; readonly entries: readonly RevocationEntry[]; readonly from: string },
): Promise<number> {
  const { clusterId, from } = about;
  const key = (entry: Pick<RevocationEntry, "issuerKeyId" | "serial" | "keyHash" | "spiffeId">): string =>
    [entry.issuerKeyId ?? "", entry.serial ?? "", entry.keyHash ?? "", entry.spiffeId].join("|");
  const known = new Set((await listRevocations(tx, ctx.seal, clusterId)).map(key));
  const nowMs = ctx.clock.nowMs();
  const found = new Map<string, RevocationEntry>();
  for (const entry of about.entries) {
    if (entry.notAfterMs > nowMs && !known.has(key(entry))) found.set(key(entry), entry);
  }
  const entries = await fittingEntries(tx, clusterId, [...found.values()]);
  if (entries.length > 0) await revokeAgain(tx, ctx, { clusterId, from, entries });
  return entries.length;
}

function entryOf(revocation: Revocation): RevocationEntry {
  return {
    issuerKeyId: hex(revocation.issuerKeyId),
    serial: hex(revocation.serial),
    keyHash: hex(revocation.keyHash),
    spiffeId: revocation.spiffeId,
    reason: "learned from a node after a restore",
    revokedBy: "system",
    notAfterMs: Number(revocation.notAfterMs),
  };
}

async function revokeAgain(
  tx: Tx,
  deps: LearnContext,
  about: { readonly clusterId: string; readonly from: string; readonly entries: readonly RevocationEntry[] },
): Promise<void> {
  const { clusterId, entries } = about;
  const more: RevocationEntry[] = [];
  for (const entry of entries) {
    await revokeLeaves(tx, deps, {
      issuerKeyId: entry.issuerKeyId ?? "",
      serial: entry.serial ?? "",
      keyHash: entry.keyHash ?? "",
    });
    if (entry.serial === "" && entry.keyHash === "") more.push(...(await revokeWhole(tx, deps, clusterId, entry)));
  }
  await addRevocations(tx, deps, clusterId, [...entries, ...more]);
  await bumpSnapshot(tx, deps.hints, clusterId);
  await appendAudit(tx, {
    actor: "system",
    action: "restore.learned",
    object: about.from,
    clusterId,
    after: { count: entries.length, identities: [...new Set(entries.map(({ spiffeId }) => spiffeId))].slice(0, 20) },
  });
}

/** Revokes whom an entry names, and says which leaves and keys of theirs it does not name (RL2). */
async function revokeWhole(
  tx: Tx,
  deps: LearnContext,
  clusterId: string,
  entry: RevocationEntry,
): Promise<readonly RevocationEntry[]> {
  const id = parseSpiffe(entry.spiffeId);
  if (id === undefined) return [];
  if (id.kind === "node") {
    if (id.clusterId !== clusterId || (await getNode(tx, clusterId, id.id)) === undefined) return [];
    await markNodeRevoked(tx, deps.seal, id.id);
  } else if (id.kind === "client" || id.kind === "operator") {
    const identity = await getIdentity(tx, deps.seal, id.id);
    if (identity === undefined || formatSpiffe(id) !== entry.spiffeId) return [];
    await markIdentityRevoked(tx, deps.seal, id.id);
  } else return [];
  const leaves = await revokeCertificates(tx, deps, { scope: id.clusterId, holderId: id.id });
  const notAfterMs = Math.max(entry.notAfterMs, deps.clock.nowMs() + limits.leafLifeMs);
  return leaves
    .filter((leaf) => leaf.notAfterMs > deps.clock.nowMs())
    .map((leaf) => ({ ...entry, keyHash: leaf.keyHash, notAfterMs }));
}
