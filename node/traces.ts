/** A node's traces, where an endpoint is configured: who it is, and the spans of setting channels and paths up. */

import { type Clock, systemClock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { type Random, systemRandom } from "../lib/random.ts";
import type { Tracing } from "../rpc/tracing.ts";
import type { NodeConfig } from "./config.ts";

/** Undefined without an endpoint. Loaded where it is asked for: a process without traces does not pay for them. */
export async function openTraces(
  config: NodeConfig,
  host: { readonly clock?: Clock; readonly random?: Random; readonly log: Log; readonly version: string },
  self: { readonly nodeId: string; readonly name: string; readonly clusterId: string },
): Promise<Tracing | undefined> {
  const { tracesEndpoint } = config;
  if (tracesEndpoint === undefined) return undefined;
  const { openTracing } = await import("../rpc/tracing.ts");
  const { clock = systemClock, random = systemRandom, log, version } = host;
  return openTracing({
    config: { ...config, tracesEndpoint },
    serviceName: "weft-node",
    attributes: { "service.instance.id": self.nodeId, "weft.node": self.name, "weft.cluster": self.clusterId },
    ...{ version, clock, random, log },
  });
}
