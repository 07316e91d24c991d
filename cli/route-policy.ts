/** What operators asked for about a route, as lines for people: QoS policies and route intents that count. */

import { ChannelClass } from "../gen/weft/fabric/v1/role_pb.ts";
import type { AppliedQos, RouteExplanation } from "../gen/weft/routing/v1/routing_pb.ts";
import { bytesText, enumName } from "./output.ts";

/** The lines of one route's explanation, above its candidates. */
export function policyLines(route: Pick<RouteExplanation, "intents" | "pathQos" | "channelQos">): string[] {
  return [
    ...qosLine("path and lane", route.pathQos),
    ...(route.channelQos?.scope === "resource" ? qosLine("its channels", route.channelQos) : []),
    ...route.intents.map(({ intent, effect, resources }) => {
      const about = resources.length === 0 ? "" : ` (for ${resources.join(", ")})`;
      return `  intent   ${intent?.name}: ${effect}${about}`;
    }),
  ];
}

function qosLine(what: string, applied: AppliedQos | undefined): string[] {
  const policy = applied?.policy;
  if (applied === undefined || policy === undefined) return [];
  const rate =
    policy.rateBytesPerSecond === 0n
      ? "unlimited"
      : `${bytesText(policy.rateBytesPerSecond)}/s, burst ${bytesText(policy.burstBytes)}`;
  const whose = applied.scope === "default" ? "nobody set a policy" : `policy of the ${applied.scope}`;
  return [
    `  qos      ${what}: ${enumName(ChannelClass, policy.class)}, priority ${policy.priority}, ${rate} (${whose})`,
  ];
}
