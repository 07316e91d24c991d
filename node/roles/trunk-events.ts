/** What a role tells of its trunks, whichever end they began at: that they opened, moved and ended, and how many live. */

import { type MoveReport, MoveReports } from "../../edge/move-reports.ts";
import type { TrunkMoved, TrunkRunner } from "../../edge/trunk-runner.ts";
import type { TrunkEnd } from "../../fabric/trunk/trunk-core.ts";
import type { DataPlanePorts } from "../plane-ports.ts";
import type { NodeEvents } from "../ports.ts";
import { traceMove } from "./channel-trace.ts";
import { applyTrunkQos } from "./trunk-qos.ts";

/** Tells that a lane of a trunk went on over another path, once or `moves` times. */
function reportMove(events: NodeEvents, moved: MoveReport, trunk: TrunkRunner): void {
  events.emit("trunk_moved", {
    trunk: trunk.trunkIdHex,
    lane: moved.lane,
    from: moved.from.join(" "),
    to: moved.to.join(" "),
    cause: moved.cause,
    gap_ms: moved.gapMs.toFixed(1),
    replayed_bytes: String(moved.replayedBytes),
    generation: String(moved.generation),
    ...(moved.moves === 1 ? {} : { moves: String(moved.moves) }),
  });
}

/** For the pool or the acceptor of a role. New trunks get what policy says. */
export function trunkEvents(ports: DataPlanePorts): {
  readonly onTrunk: (trunk: TrunkRunner) => void;
  readonly onMove: (moved: TrunkMoved, trunk: TrunkRunner) => void;
  readonly onTrunkEnd: (trunk: TrunkRunner, end: TrunkEnd) => void;
} {
  const { clock, counters, events, snapshot, tracer } = ports;
  const moves = new MoveReports<TrunkRunner>(clock, (report, trunk) => {
    reportMove(events, report, trunk);
    traceMove(tracer, report, trunk.trunkIdHex);
  });
  return {
    onTrunk(trunk) {
      counters.trunksLive += 1;
      events.emit("trunk_opened", { trunk: trunk.trunkIdHex });
      applyTrunkQos(snapshot.current(), trunk);
    },
    onMove: (moved, trunk) => moves.moved(moved, trunk),
    onTrunkEnd(trunk, end) {
      counters.trunksLive -= 1;
      moves.ended(trunk);
      events.emit("trunk_ended", { trunk: trunk.trunkIdHex, cause: end.cause });
    },
  };
}
