/**
 * Connects to a resource's target. The name is resolved once, every address is judged by the local ceiling, and the
 * judged address itself is dialled: a second answer of the resolver cannot move the connection (LAW-C6).
 */

import { lookup } from "node:dns/promises";
import { connect, isIP, type Socket } from "node:net";
import { ChannelEnd } from "../../gen/weft/channel/v1/channel_pb.ts";
import type { ResourceTarget } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import type { Clock } from "../../lib/clock.ts";
import { errnoOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { CeilingJudge } from "../ceiling.ts";
import type { OwnPorts } from "../own-ports.ts";

export type DialOutcome =
  | { readonly ok: true; readonly socket: Socket }
  | { readonly ok: false; readonly end: ChannelEnd; readonly why: string; readonly ceiling: boolean };

export interface DialTargetDeps {
  readonly ceiling: CeilingJudge;
  readonly clock: Clock;
  /** What leads back into this very process. Absent: it listens nowhere. */
  readonly own?: Pick<OwnPorts, "isOwn">;
  /** Resolves a host name to IP addresses; replaced in tests. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

const endByErrno: Readonly<Record<string, ChannelEnd>> = {
  ECONNREFUSED: ChannelEnd.TARGET_REFUSED,
  ENOENT: ChannelEnd.TARGET_REFUSED,
  ECONNRESET: ChannelEnd.TARGET_RESET,
  ETIMEDOUT: ChannelEnd.TARGET_TIMEOUT,
};

function failed(end: ChannelEnd, why: string, ceiling = false): DialOutcome {
  return { ok: false, end, why, ceiling };
}

async function resolveHost(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

/** One connection attempt to an exact address or path. Resolves, never rejects. */
function attempt(
  clock: Clock,
  to: { readonly host: string; readonly port: number } | { readonly path: string },
  signal: AbortSignal,
): Promise<DialOutcome> {
  return new Promise((resolve) => {
    const socket = connect({ ...to, allowHalfOpen: true, noDelay: true, autoSelectFamily: false });
    const settle = (outcome: DialOutcome): void => {
      timer.cancel();
      signal.removeEventListener("abort", onAbort);
      socket.removeAllListeners("connect");
      socket.removeAllListeners("error");
      if (!outcome.ok) {
        socket.on("error", () => {});
        socket.destroy();
      }
      resolve(outcome);
    };
    const onAbort = (): void => settle(failed(ChannelEnd.CANCELED, "canceled"));
    const timer = clock.after(limits.targetConnectMs, () =>
      settle(failed(ChannelEnd.TARGET_TIMEOUT, "no answer in time")),
    );
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", () => settle({ ok: true, socket }));
    socket.once("error", (thrown) => {
      const errno = errnoOf(thrown) ?? "";
      settle(failed(endByErrno[errno] ?? ChannelEnd.TARGET_UNREACHABLE, errno));
    });
    if (signal.aborted) onAbort();
  });
}

/** The host's addresses, or why there are none. The system's resolver takes no signal: a late answer is dropped. */
function resolveWithin(
  deps: DialTargetDeps,
  host: string,
  signal: AbortSignal,
): Promise<readonly string[] | "unknown" | "late"> {
  return new Promise((resolve) => {
    const onAbort = (): void => resolve("late");
    const timer = deps.clock.after(limits.targetConnectMs, onAbort);
    signal.addEventListener("abort", onAbort, { once: true });
    (deps.resolve ?? resolveHost)(host)
      .then(resolve, () => resolve("unknown"))
      .finally(() => {
        timer.cancel();
        signal.removeEventListener("abort", onAbort);
      });
  });
}

/** Dials a target under the ceiling. Resolves with what happened; never rejects. */
export async function dialTarget(
  deps: DialTargetDeps,
  target: ResourceTarget,
  signal: AbortSignal,
): Promise<DialOutcome> {
  if (target.unixPath !== "") {
    if (!deps.ceiling.allowsUnixPath(target.unixPath))
      return failed(ChannelEnd.NOT_ALLOWED, "unix socket beyond the ceiling", true);
    return await attempt(deps.clock, { path: target.unixPath }, signal);
  }
  const addresses = isIP(target.host) > 0 ? [target.host] : await resolveWithin(deps, target.host, signal);
  if (addresses === "late") return failed(ChannelEnd.TARGET_TIMEOUT, "the name was not resolved in time");
  if (addresses === "unknown") return failed(ChannelEnd.TARGET_UNREACHABLE, "the name does not resolve");
  const allowed = addresses.filter(
    (address) => deps.ceiling.allowsTarget(address, target.port) && deps.own?.isOwn(address, target.port) !== true,
  );
  if (allowed.length === 0) return failed(ChannelEnd.NOT_ALLOWED, "target beyond the ceiling", true);
  let last: DialOutcome = failed(ChannelEnd.TARGET_UNREACHABLE, "no address");
  for (const host of allowed) {
    last = await attempt(deps.clock, { host, port: target.port }, signal);
    if (last.ok || signal.aborted) return last;
  }
  return last;
}
