/**
 * Receipts of the revocation feed: a node's signed word that what a feed revokes has been cut there. Whoever believes no
 * control can check them against the node's certificate.
 *
 * FR1. Signed by the key of the node's leaf under a domain of its own, verified as received, then parsed.
 * FR2. It speaks for the node that is named in it and for no other; the verifier says whom it expects.
 */

import type { KeyObject } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { p256FromSpki, signEs256, verifyEs256 } from "../certs/keys.ts";
import { decodeSigned } from "../certs/signed.ts";
import {
  type FeedReceipt,
  FeedReceiptSchema,
  type FeedReceiptStatement,
  FeedReceiptStatementSchema,
} from "../gen/weft/fabric/v1/feed_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { dateMs, underDomain } from "./signed-bytes.ts";

const DOMAIN = "weft/feed-receipt/v1\0";
const HASH_BYTES = 32;

export type ReceiptFacts = Omit<FeedReceiptStatement, "$typeName" | "$unknown">;

/** Whose receipt is expected. */
export interface ReceiptFrom {
  readonly clusterId: string;
  readonly nodeId: string;
}

/** Signs a receipt with a leaf's key. */
export function signReceipt(leafKey: KeyObject, keyHashHex: string, facts: ReceiptFacts): FeedReceipt {
  const statement = toBinary(FeedReceiptStatementSchema, create(FeedReceiptStatementSchema, facts));
  const signature = signEs256(leafKey, underDomain(DOMAIN, statement));
  return create(FeedReceiptSchema, { statement, signature, keyHash: Uint8Array.from(Buffer.from(keyHashHex, "hex")) });
}

/**
 * What a receipt says (FR1, FR2); `spkiDer` is of the key whose hash it names. Throws `unauthenticated`
 * (RECEIPT_SIGNATURE), `permission_denied` (RECEIPT_NOT_OURS) or `invalid_argument` (RECEIPT_SIZE, RECEIPT_FACTS,
 * SIGNED_MALFORMED).
 */
export function verifyReceipt(receipt: FeedReceipt, spkiDer: Uint8Array, from: ReceiptFrom): FeedReceiptStatement {
  if (receipt.statement.length > limits.receiptMaxBytes) throw malformed("RECEIPT_SIZE");
  const key = p256FromSpki(spkiDer);
  if (key === undefined || !verifyEs256(key, underDomain(DOMAIN, receipt.statement), receipt.signature)) {
    throw new WeftError("unauthenticated", "the receipt is not signed by its node", { detail: "RECEIPT_SIGNATURE" });
  }
  const said = decodeSigned(FeedReceiptStatementSchema, receipt.statement);
  if (said.clusterId !== from.clusterId || said.nodeId !== from.nodeId) {
    throw new WeftError("permission_denied", "the receipt is another node's", { detail: "RECEIPT_NOT_OURS" });
  }
  const content = said.contentHash.length === HASH_BYTES || (said.epoch === 0n && said.contentHash.length === 0);
  const evidence = said.forks === 0 ? said.forkedHash.length === 0 : said.forkedHash.length === HASH_BYTES;
  if (dateMs(said.appliedAtMs) === undefined || !content || !evidence) throw malformed("RECEIPT_FACTS");
  return said;
}

function malformed(detail: string): WeftError {
  return new WeftError("invalid_argument", "not a receipt of a revocation feed", { detail });
}
