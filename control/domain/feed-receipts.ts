/**
 * Receipts of the revocation feed as they arrive with beats, and what they prove.
 *
 * FP1. A receipt counts when the key of an unrevoked leaf of that very node signed it; who brings it does not matter.
 * FP2. It proves a position only up to what control has issued: one beyond that, or with another content at the same
 *      position, is a contradiction, never an application.
 */

import { readCertificate } from "../../certs/certificate.ts";
import { verifyReceipt } from "../../fabric/feed-receipt.ts";
import type { FeedReceipt } from "../../gen/weft/fabric/v1/feed_pb.ts";
import { Batch } from "../../lib/batch.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { PacedLog } from "../../lib/paced-log.ts";
import type { StoreContext } from "../store/context.ts";
import { keepReceipts, type ReceiptRow, type ReceiptStateRow, signersOf } from "../store/feed-receipts.ts";

interface Arrived {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly receipt: FeedReceipt;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

export class FeedReceiptBook {
  readonly #deps: Pick<StoreContext, "sql" | "seal" | "clock" | "log">;
  readonly #paced: PacedLog;
  readonly #arrivals: Batch<Arrived, undefined>;
  /** By node id: the signature of the receipt that is kept, as far as this process knows. A cache: rows count. */
  readonly #kept = new Map<string, string>();

  constructor(deps: Pick<StoreContext, "sql" | "seal" | "clock" | "log">) {
    this.#deps = deps;
    this.#paced = new PacedLog(deps.clock, deps.log);
    this.#arrivals = new Batch({
      run: (arrived) => this.#takeAll(arrived),
      maxCount: limits.beatsPerStatementMaxCount,
      queueMaxCount: limits.beatQueueMaxCount,
    });
  }

  /** Takes the receipt of a beat. One that proves nothing is logged and changes nothing: the beat is as good as without. */
  async take(clusterId: string, nodeId: string, receipt: FeedReceipt): Promise<void> {
    const signature = hex(receipt.signature);
    if (this.#kept.get(nodeId) === signature && !(await this.#isRepeat(nodeId))) return;
    await this.#arrivals.ask({ clusterId, nodeId, receipt });
  }

  /** What is repeated after a while is written again: this process may know of a row that a restore took. */
  async #isRepeat(nodeId: string): Promise<boolean> {
    const rows = await this.#deps.sql.query<{ found: number }>(
      "select 1 as found from feed_receipt where node_id = $1",
      [nodeId],
    );
    return rows.length === 0;
  }

  async #takeAll(arrived: readonly Arrived[]): Promise<undefined[]> {
    const { sql, seal } = this.#deps;
    const named = arrived.map((each) => ({ ...each, keyHash: hex(each.receipt.keyHash) }));
    const signers = await signersOf(
      sql,
      seal,
      named.map(({ clusterId, nodeId, keyHash }) => ({ clusterId, nodeId, keyHash })),
    );
    // Of a node that beats twice at once, the later one counts.
    const rows = new Map<string, ReceiptRow>();
    for (const [at, each] of named.entries()) {
      const row = this.#read(each, signers[at]?.certificateDer);
      if (row !== undefined) rows.set(row.nodeId, row);
    }
    if (rows.size > 0) await keepReceipts(sql, [...rows.values()]);
    if (this.#kept.size >= limits.allowlistEntriesMaxCount) this.#kept.clear();
    for (const { nodeId, signature } of rows.values()) this.#kept.set(nodeId, hex(signature));
    return arrived.map(() => undefined);
  }

  /** FP1. */
  #read({ clusterId, nodeId, receipt }: Arrived, certificateDer: Uint8Array | undefined): ReceiptRow | undefined {
    try {
      const facts = certificateDer === undefined ? "CERT_UNKNOWN" : readCertificate(certificateDer);
      if (typeof facts === "string") throw new WeftError("unauthenticated", facts, { detail: facts });
      const said = verifyReceipt(receipt, facts.spkiDer, { clusterId, nodeId });
      const places = [said.epoch, said.seq, said.forkedEpoch, said.forkedSeq];
      if (places.some((place) => place > BigInt(Number.MAX_SAFE_INTEGER)))
        throw new WeftError("invalid_argument", "a position out of range", { detail: "RECEIPT_FACTS" });
      return {
        ...{ clusterId, nodeId, bootId: said.bootId },
        ...{ feedEpoch: Number(said.epoch), feedSeq: Number(said.seq), contentHash: hex(said.contentHash) },
        ...{ appliedAtMs: Number(said.appliedAtMs), revocations: said.revocations, forks: said.forks },
        ...{ forkedEpoch: Number(said.forkedEpoch), forkedSeq: Number(said.forkedSeq) },
        ...{ forkedHash: hex(said.forkedHash), overflowing: said.overflowing },
        ...{ statement: receipt.statement, signature: receipt.signature, keyHash: hex(receipt.keyHash) },
      };
    } catch (thrown) {
      this.#paced.info("a receipt of a revocation feed proves nothing", { node: nodeId, error: messageOf(thrown) });
      return undefined;
    }
  }
}

/** Where control's feed stands, and what it says there. */
export interface FeedPlace {
  readonly feedEpoch: number;
  readonly feedSeq: number;
  /** Hex. */
  readonly contentHash: string;
}

type Place = Pick<FeedPlace, "feedEpoch" | "feedSeq">;

export function comparePlaces(a: Place, b: Place): number {
  return a.feedEpoch === b.feedEpoch ? a.feedSeq - b.feedSeq : a.feedEpoch - b.feedEpoch;
}

function placeOf({ feedEpoch, feedSeq }: ReceiptStateRow): Place | undefined {
  return feedEpoch === null || feedSeq === null ? undefined : { feedEpoch, feedSeq };
}

/** Whether a node's receipt proves that it has applied the feed at `asked` (FP2). */
export function hasApplied(row: ReceiptStateRow, asked: Place, now: FeedPlace): boolean {
  const held = placeOf(row);
  if (held === undefined || comparePlaces(held, asked) < 0 || comparePlaces(held, now) > 0) return false;
  return comparePlaces(held, now) < 0 || row.contentHash === now.contentHash;
}

/** Why a node's own word contradicts control's feed; undefined when it does not (FP2). */
export function contradictionOf(row: ReceiptStateRow, now: FeedPlace): string | undefined {
  const held = placeOf(row);
  const text = ({ feedEpoch, feedSeq }: Place): string => `${feedEpoch}.${feedSeq}`;
  if ((row.forks ?? 0) > 0) {
    const at = { feedEpoch: row.forkedEpoch ?? 0, feedSeq: row.forkedSeq ?? 0 };
    return `${row.nodeName} was shown two contents of feed ${text(at)} and keeps ${row.forks} as evidence`;
  }
  if (held === undefined) return undefined;
  const order = comparePlaces(held, now);
  if (order > 0) return `${row.nodeName} holds feed ${text(held)}, which control never issued: it is at ${text(now)}`;
  return order === 0 && row.contentHash !== now.contentHash
    ? `${row.nodeName} holds another content of feed ${text(held)}`
    : undefined;
}
