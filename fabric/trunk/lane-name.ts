/** The names of a trunk's two lanes. */

import { Lane } from "../../gen/weft/channel/v1/channel_pb.ts";

export type LaneName = "interactive" | "bulk";

/** The lane a wire number names, or undefined. */
export function laneOfWire(wire: number): LaneName | undefined {
  if (wire === Lane.INTERACTIVE) return "interactive";
  return wire === Lane.BULK ? "bulk" : undefined;
}
