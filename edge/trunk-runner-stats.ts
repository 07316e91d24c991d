/** What a trunk shows of itself: its numbers, and where its attachments go. */

import type { LaneName } from "../fabric/trunk/lane-name.ts";
import type { TrunkStats } from "../fabric/trunk/stats.ts";

export interface TrunkRunnerStats extends Omit<TrunkStats, "attachments"> {
  readonly farEdge: string;
  readonly organizationId: string;
  readonly attachments: readonly {
    readonly lane: LaneName;
    readonly active: boolean;
    readonly ready: boolean;
    /** Attachments with the same number share a connection. */
    readonly connectionId: number;
    readonly hops: readonly string[];
    readonly rttMs: number | undefined;
  }[];
}
