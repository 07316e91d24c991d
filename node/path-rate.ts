/** The rate a relay polices a path at: the lowest of what the offer asks for and what the own policy allows its class. */

import { appliedPolicy, type QosSource, rateShape, strictest } from "../fabric/qos.ts";
import type { PathOffer } from "../gen/weft/relay/v1/relay_pb.ts";
import type { RateShape } from "../lib/rate-bucket.ts";

/** Each direction's rate and burst; undefined: unlimited. */
export function pathRate(
  offer: Pick<PathOffer, "class" | "organizationId" | "rateBytesPerSecond" | "burstBytes">,
  snapshot: QosSource | undefined,
): RateShape | undefined {
  const asked = rateShape(offer.rateBytesPerSecond, offer.burstBytes);
  const own = appliedPolicy(snapshot, { class: offer.class, organizationId: offer.organizationId });
  return strictest(asked, own.rate);
}
