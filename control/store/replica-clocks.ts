/** The clocks of replicas as each measured its own against the store's last. Observations. */

import { limits } from "../../lib/limits.ts";
import type { Queryable } from "./sql.ts";

export interface ReplicaClockRow {
  readonly replicaId: string;
  /** Store's clock minus the replica's. */
  readonly offsetMs: number;
  readonly uncertainMs: number;
}

/** Keeps a replica's newest measurement; those of replicas that ended are forgotten. */
export async function noteReplicaClock(
  q: Queryable,
  { replicaId, offsetMs, uncertainMs }: ReplicaClockRow,
): Promise<void> {
  await q.query(
    `with gone as (delete from replica_clock where measured_at_ms < now_ms() - $4::bigint)
     insert into replica_clock (replica_id, offset_ms, uncertain_ms) values ($1, $2, $3)
     on conflict (replica_id) do update set offset_ms = excluded.offset_ms, uncertain_ms = excluded.uncertain_ms,
       measured_at_ms = now_ms()`,
    [replicaId, offsetMs, uncertainMs, 20 * limits.replicaClockEveryMs],
  );
}

/** Of the replicas that run. */
export async function replicaClocks(q: Queryable): Promise<readonly ReplicaClockRow[]> {
  return await q.query<ReplicaClockRow>(
    `select replica_id as "replicaId", offset_ms as "offsetMs", uncertain_ms as "uncertainMs" from replica_clock
     where measured_at_ms >= now_ms() - $1::bigint order by replica_id`,
    [4 * limits.replicaClockEveryMs],
  );
}
