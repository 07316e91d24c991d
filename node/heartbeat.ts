/**
 * Beats to control every few seconds: how this node is, what it has applied, what it measured. A beat that fails is
 * retried at the next period; nothing in the data plane waits for one.
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type {
  ControlService,
  ReturnFeedsRequestSchema,
  WorkloadReportSchema,
} from "../gen/weft/control/v1/control_pb.ts";
import type { RouteLink } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import type { BeatRequest, BeatResponse, HeartbeatService } from "../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import type { LinkProof, RoutingService } from "../gen/weft/routing/v1/routing_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { messageOf } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { BeatPace } from "./beat-pace.ts";
import type { ClockWatch } from "./clock-watch.ts";

/** The facts of a beat that others own; timing and sequence are added here. */
export type BeatFacts = Omit<
  BeatRequest,
  "$typeName" | "$unknown" | "seq" | "sentAtMs" | "lastRoundTripMs" | "clockDriftPpm"
>;

export interface HeartbeatDeps {
  readonly client: () => Client<typeof HeartbeatService>;
  readonly routing: () => Client<typeof RoutingService>;
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: () => BeatFacts;
  readonly links: () => readonly RouteLink[];
  readonly proofs: () => readonly LinkProof[];
  readonly control: () => Client<typeof ControlService>;
  /** What this node runs, reported when it changes and now and then. */
  readonly workloads: () => readonly MessageInitShape<typeof WorkloadReportSchema>[];
  /** `facts` are those that were answered. */
  readonly onAnswer: (answer: BeatResponse, facts: BeatFacts) => void;
  readonly pace: Pick<BeatPace, "rest">;
  /** What answers say of this host's clock. */
  readonly clockWatch: Pick<ClockWatch, "read" | "driftPpm">;
  /** What this node holds, for a control that was restored from a backup. */
  readonly held: () => MessageInitShape<typeof ReturnFeedsRequestSchema>;
}

/** Beats until `signal` aborts. Never rejects. */
export async function runHeartbeat(deps: HeartbeatDeps, signal: AbortSignal): Promise<void> {
  let seq = 0n;
  let lastRoundTripMs = 0;
  let failing = false;
  let reported = "";
  while (!signal.aborted) {
    let waitMs: number = limits.beatEveryMs;
    const startedMs = deps.clock.monoMs();
    try {
      seq += 1n;
      const facts = deps.facts();
      const sent = { sentWallMs: deps.clock.nowMs(), sentMonoMs: deps.clock.monoMs() };
      const clockDriftPpm = deps.clockWatch.driftPpm();
      const timing = { seq, sentAtMs: BigInt(Math.floor(sent.sentWallMs)), lastRoundTripMs };
      const answer = await deps
        .client()
        .beat(
          { ...facts, ...timing, ...(clockDriftPpm === undefined ? {} : { clockDriftPpm }) },
          { signal, timeoutMs: limits.beatEveryMs },
        );
      const answeredMonoMs = deps.clock.monoMs();
      lastRoundTripMs = answeredMonoMs - startedMs;
      deps.clockWatch.read({ ...sent, answeredMonoMs, controlMs: Number(answer.receivedAtMs) });
      // Zero is what a control that says nothing about it sends.
      const askedMs = answer.nextBeatMs > 0n ? Number(answer.nextBeatMs) : limits.beatEveryMs;
      waitMs = Math.min(limits.beatEveryMs, Math.max(200, askedMs));
      if (failing) deps.log.info("control answers again");
      failing = false;
      deps.onAnswer(answer, facts);
      if (answer.returnFeeds) {
        await deps.control().returnFeeds(deps.held(), { signal, timeoutMs: limits.beatEveryMs });
        deps.log.info("control was restored from a backup and was told what this node holds");
      }
      const links = deps.links();
      const workloads = deps.workloads();
      // Every twelfth beat repeats what did not change: a control that lost its store hears it again within a minute.
      const text = JSON.stringify(workloads, (_, value: unknown) => (typeof value === "bigint" ? `${value}` : value));
      if (text !== reported || seq % 12n === 0n) {
        await deps.control().reportWorkloads({ workloads: [...workloads] }, { signal, timeoutMs: limits.beatEveryMs });
        reported = text;
      }
      const proofs = deps.proofs();
      if (links.length > 0 || proofs.length > 0)
        await deps
          .routing()
          .reportLinks({ links: [...links], proofs: [...proofs] }, { signal, timeoutMs: limits.beatEveryMs });
    } catch (thrown) {
      if (signal.aborted) return;
      if (!failing) deps.log.warn("beat failed", { error: messageOf(thrown) });
      failing = true;
    }
    await deps.pace.rest(Math.max(0, waitMs - (deps.clock.monoMs() - startedMs)), signal);
  }
}
