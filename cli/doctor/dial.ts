/**
 * One attempt to speak with control, or with an entry, taken apart: does the name resolve, does anybody answer, is it who it should be, does it
 * take the certificate shown, what time does it have. The health check is asked for: everybody who may connect may ask that.
 */

import { lookup } from "node:dns/promises";
import type { TLSSocket } from "node:tls";
import type { ClientTlsOptions } from "../../certs/tls-options.ts";
import { isUnknownRoot } from "../../certs/unknown-root.ts";
import { dialTcp, startTls } from "../../edge/dial.ts";
import type { Clock } from "../../lib/clock.ts";
import { isLoopbackHost } from "../../lib/config.ts";
import { errnoOf, messageOf, WeftError } from "../../lib/errors.ts";
import { resetSocket } from "../../lib/reset-socket.ts";
import { openClientSession, rpcHttp2 } from "../../rpc/http2-profile.ts";
import { type HostPort, hostPortText } from "../arguments.ts";
import type { ClockFact, DialFact, Facts, NameFact } from "./facts.ts";

/** Long enough for a host that is busy: who answers late is no mistake. */
const dialWithinMs = 6_000;
const answerWithinMs = 6_000;
/** HTTP dates are cut to whole seconds. */
const dateStepMs = 1_000;

export interface Callee {
  readonly address: HostPort;
  readonly usedBy: string;
  /** Absent: control. */
  readonly peer?: "entry";
  /** Judges who answers. */
  readonly tls: ClientTlsOptions;
}

export async function lookAtName(host: string, usedBy: string): Promise<NameFact> {
  if (isLoopbackHost(host)) return { host, usedBy };
  try {
    await lookup(host);
    return { host, usedBy };
  } catch (thrown) {
    return { host, usedBy, code: errnoOf(thrown) ?? "ENOTFOUND" };
  }
}

/** The deepest thing that was said about a failure. */
function rootOf(thrown: unknown): unknown {
  let at = thrown;
  while (at instanceof Error && at.cause instanceof Error) at = at.cause;
  return at;
}

/** What OpenSSL and the judge say of dates. */
const dateCodes = new Set(["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID", "CERT_EXPIRED"]);

function outcomeOf(thrown: unknown): Pick<DialFact, "outcome" | "why"> {
  const root = rootOf(thrown);
  const detail = root instanceof WeftError ? root.detail : (errnoOf(root) ?? "");
  if (isUnknownRoot(thrown)) return { outcome: "unknown-root", why: detail };
  if (dateCodes.has(detail)) return { outcome: "dates", why: detail };
  if (root instanceof WeftError && root.reason === "unauthenticated") return { outcome: "other-identity", why: detail };
  return { outcome: "no-answer", why: detail === "" ? messageOf(root) : detail };
}

/** The `date` of the answer to a health check. Rejects when the connection ends without one. */
function dateOf(tls: TLSSocket, clock: Clock): Promise<string | undefined> {
  const session = openClientSession(tls, rpcHttp2);
  return new Promise((resolve, reject) => {
    const over = new WeftError("unavailable", "it hung up without an answer", { detail: "HUNG_UP" });
    const timer = clock.after(answerWithinMs, () => reject(over));
    const settle = (act: () => void): void => {
      timer.cancel();
      act();
    };
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("response", (headers) => settle(() => resolve(headers.date)));
    stream.on("error", () => settle(() => reject(over)));
    session.on("error", () => settle(() => reject(over)));
    session.on("close", () => settle(() => reject(over)));
    // An empty message behind its length.
    stream.end(Buffer.alloc(5));
  });
}

interface Called {
  readonly dial: DialFact;
  readonly clock?: ClockFact;
}

/** Dials, shakes hands, judges and asks. Never throws. */
export async function call({ address, usedBy, peer, tls }: Callee, clock: Clock): Promise<Called> {
  const about = { address: hostPortText(address), usedBy, ...(peer === undefined ? {} : { peer }) };
  const dial = { clock, deadlineMs: dialWithinMs };
  let raw: Awaited<ReturnType<typeof dialTcp>> | undefined;
  let secured: TLSSocket | undefined;
  try {
    raw = await dialTcp([address], dial);
    secured = await startTls(raw, tls, dial);
    const sentMs = clock.nowMs();
    const date = await dateOf(secured, clock);
    const answeredMs = clock.nowMs();
    const theirsMs = Date.parse(date ?? "");
    const answered: DialFact = { ...about, outcome: "answered" };
    if (Number.isNaN(theirsMs)) return { dial: answered };
    const aheadMs = { min: sentMs - (theirsMs + dateStepMs), max: answeredMs - theirsMs };
    return { dial: answered, clock: { whose: `${peer ?? "control"} at ${about.address}`, own: true, aheadMs } };
  } catch (thrown) {
    // TLS 1.3 tells a client that it was refused no sooner than after its handshake.
    const refused = secured !== undefined && thrown instanceof WeftError && thrown.detail === "HUNG_UP";
    return { dial: { ...about, ...(refused ? { outcome: "refused", why: "HUNG_UP" } : outcomeOf(thrown)) } };
  } finally {
    if (raw !== undefined) resetSocket(raw, secured);
  }
}

/** Calls everybody whose name resolves. */
export async function callAll(
  callees: readonly Callee[],
  clock: Clock,
): Promise<Pick<Facts, "names" | "dials" | "clocks">> {
  const found = await Promise.all(
    callees.map(async (callee) => {
      const name = await lookAtName(callee.address.host, callee.usedBy);
      return { name, called: name.code === undefined ? await call(callee, clock) : undefined };
    }),
  );
  return {
    names: found.map(({ name }) => name),
    dials: found.flatMap(({ called }) => called?.dial ?? []),
    clocks: found.flatMap(({ called }) => called?.clock ?? []),
  };
}
