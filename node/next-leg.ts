/**
 * The way to the next hop of a path: a token to present at its address, or, when nothing can dial it, the connection it
 * dialled back, parked until the bytes come.
 */

import type { Socket } from "node:net";
import { dialTcp } from "../edge/dial.ts";
import { encodeLegPreamble } from "../fabric/preamble.ts";
import type { NodeAddress } from "../gen/weft/fabric/v1/role_pb.ts";
import type { Neighbour } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import type { LegTable } from "../relay/legs.ts";
import { pathError } from "./ask-hop.ts";
import type { HopPath } from "./hop-path.ts";
import type { Links } from "./links.ts";

export type NextLeg =
  | { readonly kind: "dial"; readonly addresses: readonly NodeAddress[]; readonly token: Uint8Array }
  | { readonly kind: "parked"; readonly raw: Socket };

/** What a connection that presents a leg token is for. */
export type LegAction =
  | { readonly kind: "end"; readonly path: HopPath }
  | { readonly kind: "splice"; readonly path: HopPath; readonly next: NextLeg }
  | { readonly kind: "dial-back"; readonly deliver: (raw: Socket) => void };

export interface NextLegDeps {
  readonly legs: LegTable<LegAction>;
  readonly links: Links;
  readonly clock: Clock;
}

export interface NextLegRequest {
  readonly neighbour: Neighbour;
  /** Minted by the neighbour for this node. */
  readonly token: Uint8Array;
  readonly initiatorId: string;
  /** Position of the neighbour on the path. */
  readonly hop: number;
  readonly signal: AbortSignal;
}

/** The leg to a neighbour that has agreed. A dial-out-only one is made to dial now. Rejects with a PATH_* error. */
export async function prepareNextLeg(deps: NextLegDeps, request: NextLegRequest): Promise<NextLeg> {
  const { neighbour, token, hop } = request;
  if (!neighbour.dialOutOnly) return { kind: "dial", addresses: neighbour.addresses, token };
  const client = deps.links.relayTo(neighbour.nodeId);
  if (client === undefined) throw pathError("unavailable", "PATH_NEXT_HOP_UNREACHABLE", hop);
  const arrival = Promise.withResolvers<Socket>();
  const arrived = arrival.promise;
  // Observed below; a rejection before that must not count as unhandled.
  arrived.catch(() => {});
  const leg = deps.legs.mint({
    predecessor: neighbour.nodeId,
    initiator: request.initiatorId,
    value: { kind: "dial-back", deliver: arrival.resolve },
    onUnused: () => arrival.reject(new Error("nobody dialled back")),
  });
  const onAbort = (): void => {
    leg.withdraw();
    arrival.reject(new Error("canceled"));
  };
  request.signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (request.signal.aborted) onAbort();
    const asked = client.dialBack({ legToken: leg.token, pathToken: token }, { timeoutMs: limits.legDialDeadlineMs });
    const [raw] = await Promise.all([arrived, asked]);
    return { kind: "parked", raw };
  } catch (cause) {
    leg.withdraw();
    // It may have arrived although the answer did not.
    arrived.then(
      (raw) => resetSocket(raw),
      () => {},
    );
    arrival.reject(cause);
    throw pathError("unavailable", "PATH_DIAL_FAILED", hop, cause);
  } finally {
    request.signal.removeEventListener("abort", onAbort);
  }
}

/** A connected socket on which the next hop expects the path's bytes. Rejects `unavailable`; leaves no socket behind. */
export async function openNextLeg(next: NextLeg, clock: Clock, signal?: AbortSignal): Promise<Socket> {
  if (next.kind === "parked") {
    if (!next.raw.destroyed) return next.raw;
    throw pathError("unavailable", "PATH_DIAL_FAILED", 0);
  }
  const options = { clock, deadlineMs: limits.legDialDeadlineMs, ...(signal === undefined ? {} : { signal }) };
  const raw = await dialTcp(next.addresses, options);
  raw.write(encodeLegPreamble(next.token));
  return raw;
}

/** Gives up a leg nobody will use. */
export function dropNextLeg(next: NextLeg): void {
  if (next.kind === "parked") resetSocket(next.raw);
}
