/**
 * The egress's end of paths that were made to measure: `ProbeService/Probe` and nothing else. No trunk is made there, so no
 * channel could ever be opened (node/roles/egress.ts).
 *
 * PE1. Only the initiator of an offer to probe is served, judged like the end of any path, again and again.
 * PE2. A probe path does not last: its session ends after `limits.routeProbePathMaxMs`, whatever it does.
 */

import { hasRole } from "../../fabric/members.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { ProbeService } from "../../gen/weft/probe/v1/probe_pb.ts";
import { FarEdge, PathPurpose } from "../../gen/weft/relay/v1/relay_pb.ts";
import { limits } from "../../lib/limits.ts";
import { resetSocket } from "../../lib/reset-socket.ts";
import { linkHttp2 } from "../../rpc/http2-profile.ts";
import { createSurface } from "../../rpc/surface.ts";
import type { PathEnd } from "../path-end.ts";
import { PeerJudge } from "../peer-judge.ts";
import type { DataPlanePorts } from "../plane-ports.ts";
import { probeService } from "../probe.ts";
import { probePathPolicy } from "../rpc-policy.ts";

export interface ProbeEndDeps {
  readonly ports: DataPlanePorts;
  readonly load: () => number;
}

export interface ProbeEnds {
  /** Takes the end of a probe path; false: it is none, somebody else's. */
  onPathEnd(end: PathEnd): boolean;
  close(): Promise<void>;
}

export function createProbeEnds({ ports, load }: ProbeEndDeps): ProbeEnds {
  const judge = new PeerJudge(ports);
  const { clock, random, log, drain } = ports;
  const surface = createSurface({
    arrivedBy: "path",
    routes: (router) => void router.service(ProbeService, probeService({ drain, clock, load })),
    policy: probePathPolicy,
    judge: (socket, caller) => judge.again(socket, caller),
    http2: linkHttp2,
    sessionMaxMs: limits.routeProbePathMaxMs,
    ...{ log, clock, random },
  });
  const rejudge = (): void => void surface.rejudge();
  const stops = [ports.feed.onChange(rejudge), ports.snapshot.onChange(rejudge)];
  return {
    onPathEnd({ offer, tls, raw, caller }) {
      if (offer.purpose !== PathPurpose.PROBE || offer.farEdge !== FarEdge.NODE) return false;
      const snapshot = ports.snapshot.current();
      const isEgress = hasRole(snapshot?.self?.roles ?? [], NodeRole.EGRESS, offer.organizationId || undefined);
      if (drain.draining() || !isEgress || snapshot?.testTelemetryOff !== false) resetSocket(raw, tls);
      else surface.accept(tls, caller);
      return true;
    },
    async close() {
      for (const stop of stops) stop();
      await surface.drain(0);
    },
  };
}
