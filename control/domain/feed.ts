/**
 * Signed revocation feeds. The content of a position is its rows (control/store/revocations.ts, N1); re-issuing one only
 * renews its issue time, which is the store's, so that replicas with different clocks tell one time.
 */

import { create } from "@bufbuild/protobuf";
import { feedContentHash, signFeed } from "../../fabric/feed.ts";
import type { SignedFeed } from "../../gen/weft/fabric/v1/feed_pb.ts";
import { RevocationFeedSchema } from "../../gen/weft/fabric/v1/feed_pb.ts";
import { sharedRead } from "../../lib/batch.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { StoreContext } from "../store/context.ts";
import { feedPosition, listRevocations, type RevocationRow } from "../store/revocations.ts";
import type { Authority } from "./authority.ts";

export interface FeedDeps extends Pick<StoreContext, "sql" | "seal"> {
  readonly authority: Pick<Authority, "signingKey">;
}

/** A signed feed and where it stands. */
export interface IssuedFeed {
  readonly feedEpoch: number;
  readonly feedSeq: number;
  readonly issuedAtMs: number;
  readonly feed: SignedFeed;
  /** Of what it revokes; hex. */
  readonly contentHash: string;
}

export interface FeedSource {
  /** The cluster's feed: of its newest position, issued at most half a feed period ago. */
  current(clusterId: string): Promise<IssuedFeed>;
}

/** One source per process: many watchers share one signature. */
export function feedSource(deps: FeedDeps): FeedSource {
  const issued = new Map<string, IssuedFeed>();
  const position = sharedRead((clusterId) => feedPosition(deps.sql, clusterId));
  const issue = sharedRead((clusterId) => issueFeed(deps, clusterId));
  return {
    async current(clusterId) {
      const at = await position(clusterId);
      if (at === undefined) throw clusterNotFound();
      const kept = issued.get(clusterId);
      const fresh = kept !== undefined && Math.abs(at.nowMs - kept.issuedAtMs) < limits.feedEveryMs / 2;
      if (fresh && kept.feedEpoch === at.feedEpoch && kept.feedSeq === at.feedSeq) return kept;
      const next = await issue(clusterId);
      issued.set(clusterId, next);
      return next;
    },
  };
}

async function issueFeed(deps: FeedDeps, clusterId: string): Promise<IssuedFeed> {
  const { keyId, privateKey, signed } = await deps.authority.signingKey(clusterId, "feed");
  const { at, rows } = await deps.sql.tx(
    async (tx) => ({ at: await feedPosition(tx, clusterId), rows: await listRevocations(tx, deps.seal, clusterId) }),
    { mode: "read only" },
  );
  if (at === undefined) throw clusterNotFound();
  const feed = create(RevocationFeedSchema, {
    clusterId,
    epoch: BigInt(at.feedEpoch),
    seq: BigInt(at.feedSeq),
    issuedAtMs: BigInt(at.nowMs),
    revocations: rows.map(revocationFields),
  });
  const signer = { keyId, privateKey, statement: signed };
  const contentHash = Buffer.from(feedContentHash(feed.revocations)).toString("hex");
  const { feedEpoch, feedSeq, nowMs: issuedAtMs } = at;
  return { feedEpoch, feedSeq, issuedAtMs, feed: signFeed(signer, feed), contentHash };
}

function revocationFields(row: RevocationRow) {
  const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));
  return {
    issuerKeyId: bytes(row.issuerKeyId),
    serial: bytes(row.serial),
    keyHash: bytes(row.keyHash),
    spiffeId: row.spiffeId,
    revokedAtMs: BigInt(row.revokedAtMs),
    notAfterMs: BigInt(row.notAfterMs),
  };
}

function clusterNotFound(): WeftError {
  return new WeftError("not_found", "no such cluster", { detail: "CLUSTER_NOT_FOUND" });
}
