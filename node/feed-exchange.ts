/**
 * The revocation feed from peer to peer: both sides of a link end with the newer of their two feeds, and with every
 * revocation that either of them knows of a statement for.
 *
 * FX1. A small feed goes along with the question: one round trip, and the other side has it. A large one is shown only to
 *      who is behind, in position or by more than half a feed period in date, and a large one besides the own once over each
 *      connection: every link would carry it every few seconds.
 */

import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { SignedFeed } from "../gen/weft/fabric/v1/feed_pb.ts";
import {
  type ExchangeFeedRequest,
  ExchangeFeedRequestSchema,
  type ExchangeFeedResponse,
  ExchangeFeedResponseSchema,
  type RelayService,
} from "../gen/weft/relay/v1/relay_pb.ts";
import { limits } from "../lib/limits.ts";
import type { FeedStore } from "./ports.ts";

/** Where one side stands. */
interface Standing {
  readonly epoch: bigint;
  readonly seq: bigint;
  readonly issuedAtMs: bigint;
}

function standingOf(feed: FeedStore): Standing {
  return { ...feed.position(), issuedAtMs: BigInt(Math.floor(feed.newestIssuedMs())) };
}

/** Whether `theirs` is behind `own`: in position, or at the same one by enough time to matter to an offline clock. */
function isBehind(theirs: Standing, own: Standing): boolean {
  if (own.epoch !== theirs.epoch) return own.epoch > theirs.epoch;
  if (own.seq !== theirs.seq) return own.seq > theirs.seq;
  return own.issuedAtMs - theirs.issuedAtMs >= BigInt(limits.feedEveryMs / 2);
}

const isLarge = ({ payload }: SignedFeed): boolean => payload.length > limits.feedAlongMaxBytes;

/** Large statements that were shown over a connection: whoever has seen one has it for as long as it runs. */
const shownOver = new WeakMap<object, WeakSet<SignedFeed>>();

/**
 * Shows the own feed to a neighbour and takes its newer one. `connection` is what a neighbour that was started anew does not
 * share with the one before. Rejects when the neighbour does not answer.
 */
export async function exchangeFeed(
  client: Client<typeof RelayService>,
  feed: FeedStore,
  connection: object = client,
): Promise<void> {
  const show = async (shown: SignedFeed | undefined): Promise<ExchangeFeedResponse> => {
    const request = create(ExchangeFeedRequestSchema, {
      ...standingOf(feed),
      ...(shown === undefined ? {} : { feed: shown }),
    });
    return await client.exchangeFeed(request, { timeoutMs: limits.feedExchangeDeadlineMs });
  };
  const own = feed.current();
  const along = own !== undefined && !isLarge(own);
  const answer = await show(along ? own : undefined);
  if (answer.feed !== undefined) feed.offer(answer.feed);
  else if (own !== undefined && !along && isBehind(answer, standingOf(feed))) await show(own);
  const large = shownOver.get(connection) ?? new WeakSet();
  shownOver.set(connection, large);
  // One by one: each may be as large as a message may be.
  for (const other of feed.others?.() ?? []) {
    if (large.has(other)) continue;
    await show(other);
    if (isLarge(other)) large.add(other);
  }
}

/** The answering side: takes what is newer, hands over what is newer or contradicts. */
export function answerFeed(request: ExchangeFeedRequest, feed: FeedStore): ExchangeFeedResponse {
  const outcome = request.feed === undefined ? "known" : feed.offer(request.feed);
  const standing = standingOf(feed);
  const own = feed.current();
  // Of a feed that forked, both sides must know both branches. Dates matter to who showed nothing that could be newer.
  const asked = { ...request, issuedAtMs: request.feed === undefined ? request.issuedAtMs : standing.issuedAtMs };
  const hand = own !== undefined && (outcome === "forked" || isBehind(asked, standing));
  return create(ExchangeFeedResponseSchema, { ...standing, ...(hand ? { feed: own } : {}) });
}
