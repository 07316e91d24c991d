/**
 * The revocation feed from peer to peer: both sides of a link end with the newer of their two feeds, and with every
 * revocation that either of them knows of a statement for.
 */

import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  type ExchangeFeedRequest,
  ExchangeFeedRequestSchema,
  type ExchangeFeedResponse,
  ExchangeFeedResponseSchema,
  type RelayService,
} from "../gen/weft/relay/v1/relay_pb.ts";
import { limits } from "../lib/limits.ts";
import type { FeedStore } from "./ports.ts";

/** Shows the own feed to a neighbour and takes its newer one. Rejects when the neighbour does not answer. */
export async function exchangeFeed(client: Client<typeof RelayService>, feed: FeedStore): Promise<void> {
  const { epoch, seq } = feed.position();
  const own = feed.current();
  const request = create(ExchangeFeedRequestSchema, { epoch, seq, ...(own === undefined ? {} : { feed: own }) });
  const answer = await client.exchangeFeed(request, { timeoutMs: limits.feedExchangeDeadlineMs });
  if (answer.feed !== undefined) feed.offer(answer.feed);
  // One by one: each may be as large as a message may be.
  for (const other of feed.others?.() ?? []) {
    const shown = create(ExchangeFeedRequestSchema, { ...feed.position(), feed: other });
    await client.exchangeFeed(shown, { timeoutMs: limits.feedExchangeDeadlineMs });
  }
}

/** The answering side: takes what is newer, hands over what is newer or contradicts. */
export function answerFeed(request: ExchangeFeedRequest, feed: FeedStore): ExchangeFeedResponse {
  const outcome = request.feed === undefined ? "known" : feed.offer(request.feed);
  const { epoch, seq } = feed.position();
  const own = feed.current();
  // Of a feed that forked, both sides must know both branches.
  const newer = epoch > request.epoch || (epoch === request.epoch && seq > request.seq) || outcome === "forked";
  return create(ExchangeFeedResponseSchema, { epoch, seq, ...(newer && own !== undefined ? { feed: own } : {}) });
}
