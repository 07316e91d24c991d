/**
 * After a restore: nodes are held back until they have told what they know.
 *
 * H1. While it holds, nobody is issued a certificate, no node gets a lease or a snapshot, and nothing else is taken from
 *     nodes but beats and what they return. The data plane does not notice: nodes act on what they have.
 * H2. It ends when every active member has returned what it holds, when an operator says so, or after
 *     `limits.restoreAnswersWaitMs`: a node that is gone for good must not stop everybody's renewals for ever. What a late
 *     node returns counts as much.
 * H3. A leaf issued after the backup is taken back onto the allowlist when its holder comes with it: control signed it, and
 *     the store had forgotten. A node that the store does not know is not: it has to be approved again.
 */

import type { Peer } from "../../certs/judge.ts";
import { formatSpiffe } from "../../certs/spiffe.ts";
import { limits } from "../../lib/limits.ts";
import { appendAudit } from "../store/audit.ts";
import { insertCertificate, liveCertificates } from "../store/certificates.ts";
import type { StoreContext } from "../store/context.ts";
import { getNode, requireAuthenticNode, setNodeKey } from "../store/nodes.ts";
import { newestRestore, type RestoreRow, recordWitness, settleRestore, silentMembers } from "../store/restores.ts";
import { isKeyRevoked } from "../store/revocations.ts";
import type { Tx } from "../store/sql.ts";
import { tellGap } from "./restore-gap.ts";

export class RestoreHold {
  readonly #ctx: StoreContext;
  #known: { readonly row: RestoreRow | undefined; readonly atMs: number } | undefined;
  #asking: Promise<RestoreRow | undefined> | undefined;
  #forgotten = 0;
  /** Members that have returned, and strangers that were written down, of one restore. */
  readonly #seen = new Set<string>();
  #seenOf: string | undefined;

  constructor(ctx: StoreContext) {
    this.#ctx = ctx;
  }

  /** The newest restore, settled or not; undefined in a store that never was. At most a second old. */
  async newest(): Promise<RestoreRow | undefined> {
    const nowMs = this.#ctx.clock.monoMs();
    if (this.#known !== undefined && nowMs - this.#known.atMs < limits.restoreHoldStaleMaxMs) return this.#known.row;
    if (this.#asking === undefined) {
      const asking = this.#ask(nowMs).finally(() => {
        if (this.#asking === asking) this.#asking = undefined;
      });
      this.#asking = asking;
    }
    return await this.#asking;
  }

  /** Whether nodes are held back right now (H1). Throws `unavailable` when the store cannot be asked. */
  async holds(): Promise<boolean> {
    return (await this.newest())?.settledAtMs === null;
  }

  /** Whether this member still has to tell what it holds. */
  async awaits(clusterId: string, nodeId: string): Promise<boolean> {
    const restore = await this.newest();
    if (restore === undefined || this.#seen.has(`${clusterId}/${nodeId}`)) return false;
    const rows = await this.#ctx.sql.query(
      `select 1 as found from store_witness
       where restore_id = $1 and cluster_id = $2 and node_id = $3 and kind = 'returned'`,
      [restore.id, clusterId, nodeId],
    );
    if (rows.length > 0) this.#seen.add(`${clusterId}/${nodeId}`);
    return rows.length === 0;
  }

  /** A member has told; the next look is at the store. */
  returned(clusterId: string, nodeId: string): void {
    this.#seen.add(`${clusterId}/${nodeId}`);
    this.forget();
  }

  /** What is known is of before; so is what a look under way will find. */
  forget(): void {
    this.#forgotten += 1;
    this.#known = undefined;
    this.#asking = undefined;
  }

  /** Takes a leaf that the store forgot back, if this was a restore's doing (H3); true when it counts now. */
  async adopt(peer: Peer, certificateDer: Uint8Array): Promise<boolean> {
    const restore = await this.newest();
    if (restore === undefined || !isFromGap(restore, peer)) return false;
    const { clusterId, id: nodeId } = peer.id;
    const adopted = await this.#ctx.sql.tx((tx) => this.#takeBack(tx, peer, certificateDer));
    if (adopted !== "unknown") return adopted === "adopted";
    if (this.#seen.has(`?${nodeId}`)) return false;
    this.#seen.add(`?${nodeId}`);
    await this.#ctx.sql.tx(async (tx) => {
      await recordWitness(tx, restore.id, { ...nothingTold, clusterId, nodeId, kind: "unknown" });
      await tellGap(tx, restore);
    });
    return false;
  }

  async #takeBack(tx: Tx, peer: Peer, certificateDer: Uint8Array): Promise<"adopted" | "refused" | "unknown"> {
    const { seal } = this.#ctx;
    const { clusterId, id: nodeId } = peer.id;
    const node = await getNode(tx, clusterId, nodeId);
    if (node === undefined || node.id !== nodeId) return "unknown";
    requireAuthenticNode(seal, node);
    if (node.identityStatus !== "active" || (await isKeyRevoked(tx, clusterId, peer.keyHash))) return "refused";
    const subject = { scope: clusterId, subjectKind: "node", subjectId: nodeId, holderId: nodeId } as const;
    const { current, next } = await liveCertificates(tx, seal, subject);
    // An older one of two that were forgotten was superseded before the restore.
    if ([current, next].some((row) => row !== undefined && row.notBeforeMs > peer.notBeforeMs)) return "refused";
    await insertCertificate(tx, this.#ctx, subject, { ...peer, certificateDer }, "current");
    if (node.keyHash !== peer.keyHash) await setNodeKey(tx, { seal }, nodeId, peer.keyHash);
    await appendAudit(tx, {
      actor: formatSpiffe(peer.id),
      action: "certificate.adopted",
      object: `node/${nodeId}`,
      clusterId,
      after: { serial: peer.serialHex, keyHash: peer.keyHash, notAfterMs: peer.notAfterMs },
    });
    return "adopted";
  }

  async #ask(nowMs: number): Promise<RestoreRow | undefined> {
    const forgotten = this.#forgotten;
    const row = await newestRestore(this.#ctx.sql);
    if (row?.id !== this.#seenOf) this.#seen.clear();
    this.#seenOf = row?.id;
    const settled = row === undefined ? undefined : await this.#settleIfDue(row);
    if (forgotten === this.#forgotten) this.#known = { row: settled, atMs: nowMs };
    return settled;
  }

  /** Ends the hold when nobody is left to wait for, or has been waited for long enough (H2). */
  async #settleIfDue(row: RestoreRow): Promise<RestoreRow> {
    if (row.settledAtMs !== null) return row;
    const silent = await silentMembers(this.#ctx.sql, row.id);
    const how = silent.length === 0 ? "answered" : row.ageMs > limits.restoreAnswersWaitMs ? "waited" : undefined;
    if (how === undefined) return row;
    await this.#ctx.sql.tx((tx) => settle(tx, row, how, "system"));
    return { ...row, settledAtMs: 0, settledHow: how };
  }
}

const nothingTold = {
  auditSeq: 0,
  auditHash: null,
  snapshotEpoch: 0,
  snapshotVersion: 0,
  feedEpoch: 0,
  feedSeq: 0,
  learnedCount: 0,
} as const;

/** Issued after the backup was taken and before it was restored, as its own date says. */
function isFromGap(restore: RestoreRow, peer: Peer): boolean {
  const issuedMs = peer.notBeforeMs + limits.leafBackdateMs;
  const slackMs = limits.leafBackdateMs;
  return issuedMs >= restore.takenAtMs - slackMs && issuedMs <= restore.restoredAtMs + slackMs;
}

/** Ends a hold, with its record. */
export async function settle(
  tx: Tx,
  restore: RestoreRow,
  how: "answered" | "waited" | "accepted",
  actor: string,
): Promise<void> {
  if (!(await settleRestore(tx, restore.id, how))) return;
  const silent = how === "answered" ? [] : (await silentMembers(tx, restore.id)).map(({ nodeId }) => nodeId);
  await appendAudit(tx, {
    actor,
    action: "restore.settled",
    object: `restore/${restore.id}`,
    after: { how, silentCount: silent.length, silent: silent.slice(0, 20) },
  });
  await tellGap(tx, restore);
}
