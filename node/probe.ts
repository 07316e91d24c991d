/** ProbeService: answers at once, with what the caller needs to score this node. */

import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { ProbeResponseSchema, type ProbeService } from "../gen/weft/probe/v1/probe_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { DataPlanePorts } from "./plane-ports.ts";

export interface ProbeDeps extends Pick<DataPlanePorts, "drain" | "clock"> {
  /** Share of capacity in use, 0..1. */
  readonly load: () => number;
}

export function probeService(deps: ProbeDeps): ServiceImpl<typeof ProbeService> {
  return {
    probe({ seq, payload }) {
      if (payload.length > limits.probePayloadMaxBytes) {
        throw new WeftError("invalid_argument", "the probe's payload is too large", { detail: "PROBE_SIZE" });
      }
      const load = Math.min(1, Math.max(0, deps.load()));
      return create(ProbeResponseSchema, {
        seq,
        payload,
        load,
        draining: deps.drain.draining(),
        nowMs: BigInt(deps.clock.nowMs()),
      });
    },
  };
}
