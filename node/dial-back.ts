/**
 * The dial-out-only side of a leg: asked by a neighbour, this node dials that neighbour (at the address of its own
 * snapshot) and treats the connection as if it had arrived with the token this node gave out.
 */

import { dialTcp } from "../edge/dial.ts";
import { encodeLegPreamble, LEG_TOKEN_BYTES } from "../fabric/preamble.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { LegTable } from "../relay/legs.ts";
import type { LegDesk } from "./leg-desk.ts";
import { neighbourOf } from "./links.ts";
import type { LegAction } from "./next-leg.ts";
import type { DataPlanePorts } from "./plane-ports.ts";

export interface DialBackDeps {
  readonly ports: DataPlanePorts;
  readonly legs: LegTable<LegAction>;
  readonly desk: LegDesk;
}

export interface DialBackCall {
  readonly callerId: string;
  /** To present to the caller. */
  readonly legToken: Uint8Array;
  /** What this node answered the caller's OpenPath with. */
  readonly pathToken: Uint8Array;
}

/** Resolves when the leg stands. Rejects `not_found` (PATH_UNKNOWN) or `unavailable` (DIAL_FAILED). */
export async function dialBack(deps: DialBackDeps, call: DialBackCall): Promise<void> {
  const { ports, legs, desk } = deps;
  const { clock, counters } = ports;
  const neighbour = neighbourOf(ports, call.callerId);
  if (call.legToken.length !== LEG_TOKEN_BYTES || neighbour === undefined) throw unknownPath();
  const action = legs.take(call.pathToken, call.callerId);
  if (action === undefined || action.kind === "dial-back") {
    counters.tokensRefused += 1;
    throw unknownPath();
  }
  try {
    const { signal } = action.path;
    const raw = await dialTcp(neighbour.addresses, { clock, deadlineMs: limits.legDialDeadlineMs, signal });
    raw.write(encodeLegPreamble(call.legToken));
    desk.arrive(raw, action);
  } catch (error) {
    action.path.end("peer_error");
    throw error;
  }
}

function unknownPath(): WeftError {
  return new WeftError("not_found", "no such path", { detail: "PATH_UNKNOWN" });
}
