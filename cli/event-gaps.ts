/** Notices events of one node that were not heard: its numbers go on while nobody listens, or listens too slowly. */

import type { WatchEventsResponse } from "../gen/weft/node/v1/node_pb.ts";

export class EventGaps {
  #bootId = "";
  #seq = 0n;

  /** How many events lie between the last one heard and this one; of a process that started since, those before this one. */
  before({ seq, bootId }: Pick<WatchEventsResponse, "seq" | "bootId">): number {
    // A node that numbers nothing.
    if (seq === 0n) return 0;
    const isFirst = this.#bootId === "";
    const known = this.#bootId === bootId ? this.#seq : 0n;
    this.#bootId = bootId;
    this.#seq = seq;
    return isFirst || seq <= known ? 0 : Number(seq - known - 1n);
  }
}
