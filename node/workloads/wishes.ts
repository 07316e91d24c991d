/** What a node is asked to run right now. */

import { formatSpiffe } from "../../certs/spiffe.ts";
import type { Workload } from "../../gen/weft/fabric/v1/workload_pb.ts";
import type { FeedStore, IdentityHolder, SnapshotHolder } from "../ports.ts";

export interface WishPorts {
  readonly identity: Pick<IdentityHolder, "current">;
  readonly snapshot: Pick<SnapshotHolder, "current">;
  readonly feed: Pick<FeedStore, "isRevoked">;
}

/** What the snapshot in force says, old or not; nothing for a node that heard of its own revocation. */
export function currentWishes({ identity, snapshot, feed }: WishPorts): readonly Workload[] {
  const { leaf } = identity.current();
  const self = { issuerKeyIdHex: "", serialHex: "", keyHashHex: leaf.keyHash, spiffe: formatSpiffe(leaf.id) };
  return feed.isRevoked(self) ? [] : (snapshot.current()?.workloads ?? []);
}
