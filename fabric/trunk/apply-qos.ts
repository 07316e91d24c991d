/** Hands a policy to a trunk that runs; apart from the shaper, which must not know what it is part of. */

import type { TrunkQos } from "./shaper.ts";
import type { TrunkCore } from "./trunk-core.ts";

/** Applies a policy to both lanes of a trunk, live channels included, and to channels opened from now on. */
export function applyQos(trunk: Pick<TrunkCore, "lanes" | "wakeLane">, qos: TrunkQos, nowMs: number): void {
  for (const lane of [trunk.lanes.interactive, trunk.lanes.bulk]) {
    lane.outbox.shaper.apply(qos, lane.name, lane.channels.values(), nowMs);
    trunk.wakeLane(lane);
  }
}
