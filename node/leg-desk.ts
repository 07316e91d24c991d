/** What becomes of a connection that presented a live leg token: spliced on, ended here, or handed to who waits for it. */

import type { Socket } from "node:net";
import { messageOf } from "../lib/errors.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import type { SpliceEnd, Splices } from "../relay/splice.ts";
import type { Doors } from "./doors.ts";
import type { ClosingReason, HopPath } from "./hop-path.ts";
import { dropNextLeg, type LegAction, type NextLeg, openNextLeg } from "./next-leg.ts";
import { endPath, type OnPathEnd } from "./path-end.ts";
import { pathRate } from "./path-rate.ts";
import type { PeerJudge } from "./peer-judge.ts";
import type { DataPlanePorts } from "./plane-ports.ts";

export interface LegDeskDeps {
  readonly ports: DataPlanePorts;
  readonly splices: Splices;
  readonly doors: Doors;
  readonly judge: PeerJudge;
  readonly onPathEnd?: OnPathEnd;
}

export class LegDesk {
  readonly #deps: LegDeskDeps;

  constructor(deps: LegDeskDeps) {
    this.#deps = deps;
  }

  /** Takes the connection over; its leg token has been taken. */
  arrive(raw: Socket, action: LegAction): void {
    // Until somebody owns it, an error closes it and nothing else.
    raw.on("error", () => {});
    switch (action.kind) {
      case "dial-back":
        return void action.deliver(raw);
      case "end":
        return void this.#end(raw, action.path);
      case "splice":
        void this.#splice(raw, action.path, action.next);
    }
  }

  #end(raw: Socket, path: HopPath): void {
    const { doors, judge, onPathEnd } = this.#deps;
    if (onPathEnd === undefined) return void resetSocket(raw);
    endPath(raw, path, { doors, judge, onPathEnd });
  }

  async #splice(raw: Socket, path: HopPath, next: NextLeg): Promise<void> {
    const { clock, log } = this.#deps.ports;
    path.onEnd(() => resetSocket(raw));
    let onward: Socket;
    try {
      onward = await openNextLeg(next, clock, path.signal);
    } catch (error) {
      log.info("next hop not dialled", { pathTag: path.tag, error: messageOf(error) });
      dropNextLeg(next);
      return path.end("peer_error");
    }
    if (path.state === "over") return void resetSocket(onward);
    this.#join(raw, onward, path);
  }

  #join(raw: Socket, onward: Socket, path: HopPath): void {
    const { snapshot } = this.#deps.ports;
    const splice = this.#deps.splices.join(raw, onward, {
      rate: pathRate(path.offer, snapshot.current()),
      onEnd: ({ reason }) => path.end(closing[reason]),
    });
    path.onEnd(snapshot.onChange((changed) => void splice.reshape(pathRate(path.offer, changed))));
    path.onEnd(() => splice.cut("shutdown"));
    path.live();
  }
}

const closing = {
  peer_closed: "peer_closed",
  peer_error: "peer_error",
  silent: "silent",
  shutdown: "shutdown",
  revoked: "revoked",
} as const satisfies Record<SpliceEnd, ClosingReason>;
