/** The rate a relay polices a path at: the lowest of what the offer asks for and what the own policy allows its class. */

import type { Snapshot } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import type { PathOffer } from "../gen/weft/relay/v1/relay_pb.ts";

/** Bytes per second and direction; 0: unlimited. */
export function pathRate(offer: PathOffer, snapshot: Snapshot | undefined): number {
  const policy = snapshot?.qos.find((qos) => qos.class === offer.class);
  const rates = [offer.rateBytesPerSecond, policy?.rateBytesPerSecond ?? 0n].filter((rate) => rate > 0n).map(Number);
  return rates.length === 0 ? 0 : Math.min(...rates);
}
