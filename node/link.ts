/**
 * One connection to one neighbour, kept standing: dialled, judged, dialled again with jittered backoff when it is lost.
 * Forward: this node calls. Reverse (dial-out-only nodes): this node dials, the neighbour calls.
 *
 * LN1. A link is in one state, and the state owns its connection and its timer.
 * LN2. A new identity is taken up by a second connection first; the old one closes when its calls have ended. So it is half
 *      way to the end of the first of the two leaves on a connection: it never lives that long (LAW-I4).
 * LN3. Backoff starts over only after a connection that lasted.
 */

import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { issuerIn } from "../certs/bundle.ts";
import { judgePeer } from "../certs/judge.ts";
import { tlsOptions } from "../certs/tls-options.ts";
import { dialTcp, startTls } from "../edge/dial.ts";
import { encodeReversePreamble } from "../fabric/preamble.ts";
import { linkServerName } from "../fabric/server-names.ts";
import type { Neighbour } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { Backoff, linkBackoff } from "../lib/backoff.ts";
import type { Timer } from "../lib/clock.ts";
import { errnoOf, messageOf, WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import type { PeerJudge } from "./peer-judge.ts";
import type { DataPlanePorts } from "./plane-ports.ts";
import type { Rollable } from "./tainted-roll.ts";

/** What runs on a judged connection. `closed` is called once when it is over. */
export interface LinkUse {
  /** Ends gracefully: when its calls have ended. */
  close(): void;
}

export interface LinkOptions {
  readonly ports: DataPlanePorts;
  readonly judge: PeerJudge;
  readonly direction: "forward" | "reverse";
  /** The neighbour as the snapshot has it now. */
  readonly neighbour: () => Neighbour;
  /** Takes a judged connection into use; the link goes down when the socket closes. */
  readonly onUp: (tls: TLSSocket, raw: Socket) => LinkUse;
  readonly onDown: () => void;
  /** A dial failed; it is tried again. */
  readonly onFailed: (error: unknown) => void;
  /** The peer of the connection that is up is no longer accepted; it is reset. */
  readonly onRefused: (why: string) => void;
}

export interface LinkConnection {
  readonly tls: TLSSocket;
  readonly raw: Socket;
  readonly use: LinkUse;
  /** Of the own leaf it was made with. */
  readonly issuerKeyId: string;
  readonly sinceMonoMs: number;
  readonly sinceWallMs: number;
  /** When it is to be made anew. */
  renewal?: Timer;
}

type Dialled = Pick<LinkConnection, "tls" | "raw" | "issuerKeyId">;

/** A link as others see it. */
export interface LinkState {
  readonly peerNodeId: string;
  readonly peerName: string;
  readonly state: "up" | "dialing" | "waiting" | "draining";
  /** Dialled by this node for the neighbour to call on. */
  readonly reverse: boolean;
  readonly rttMs?: number;
  readonly jitterMs?: number;
  readonly lossShare?: number;
  /** Wall time; 0 while it is not up. */
  readonly upSinceMs: number;
}

export type LinkPhase =
  | { readonly at: "dialing"; readonly abort: AbortController }
  | { readonly at: "waiting"; readonly timer: Timer }
  | { readonly at: "up"; readonly connection: LinkConnection; readonly redial?: AbortController }
  | { readonly at: "gone" };

/** Timers of the host end at 2^31 ms; leaves do not live that long. */
const timerMaxMs = 2_000_000_000;
const renewalGapMs = 500;

export class Link {
  readonly #options: LinkOptions;
  readonly #backoff: Backoff;
  /** Connections that were replaced: they end with their calls, or when they are cut, for which there is a timer then. */
  readonly #leaving = new Map<LinkConnection, Timer | undefined>();
  #phase: LinkPhase = { at: "gone" };

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#backoff = new Backoff(linkBackoff, options.ports.random);
    this.#dial();
  }

  get phase(): LinkPhase {
    return this.#phase;
  }

  /** Judges the peer again; a connection whose peer is no longer accepted is reset. */
  rejudge(): void {
    const current = this.#phase.at === "up" ? this.#phase.connection : undefined;
    for (const connection of [...(current === undefined ? [] : [current]), ...this.#leaving.keys()]) {
      const { tls, raw } = connection;
      const verdict = judgePeer(tls, this.#options.judge.neighbour(this.#options.neighbour().nodeId));
      if (verdict.ok) continue;
      this.#log("link cut", verdict.why);
      if (connection === current) this.#options.onRefused(verdict.why);
      resetSocket(raw, tls);
    }
  }

  /** Its connections: the roots that both ends' leaves on each are from, and how to do without it. */
  rollable(): Rollable[] {
    const { nodeId: peerId } = this.#options.neighbour();
    const issuersOf = ({ tls, issuerKeyId }: LinkConnection): string[] => {
      const verdict = judgePeer(tls, this.#options.judge.neighbour(peerId));
      return verdict.ok ? [verdict.issuerKeyId, issuerKeyId] : [issuerKeyId];
    };
    // One that was replaced goes when its calls have ended: those that tell of paths may take as long as the paths do.
    const leaving = [...this.#leaving.keys()].map((connection) => ({
      ...{ peerId, issuers: issuersOf(connection) },
      roll: () => this.#cutInTime(connection),
    }));
    if (this.#phase.at !== "up") return leaving;
    return [{ peerId, issuers: issuersOf(this.#phase.connection), roll: () => this.renew() }, ...leaving];
  }

  /** Makes a second connection and moves to it (LN2). Does nothing unless the link is up. */
  renew(): void {
    if (this.#phase.at !== "up" || this.#phase.redial !== undefined) return;
    const redial = new AbortController();
    const { connection } = this.#phase;
    this.#phase = { at: "up", connection, redial };
    const keep = (): void => {
      if (this.#phase.at === "up" && this.#phase.connection === connection) this.#phase = { at: "up", connection };
    };
    this.#connect(redial.signal).then(
      (dialled) => {
        if (this.#phase.at !== "up" || this.#phase.connection !== connection)
          return void resetSocket(dialled.raw, dialled.tls);
        this.#up(dialled);
        this.#leaving.set(connection, undefined);
        connection.raw.once("close", () => {
          this.#leaving.get(connection)?.cancel();
          this.#leaving.delete(connection);
        });
        connection.use.close();
      },
      (error: unknown) => {
        this.#log("link not renewed", detailOf(error));
        keep();
      },
    );
  }

  /** From now on the calls of a connection that was replaced have `limits.taintedLinkGraceMs` to end; then it is cut. */
  #cutInTime(connection: LinkConnection): void {
    if (!this.#leaving.has(connection) || this.#leaving.get(connection) !== undefined) return;
    const cut = (): void => resetSocket(connection.raw, connection.tls);
    this.#leaving.set(connection, this.#options.ports.clock.after(limits.taintedLinkGraceMs, cut));
  }

  close(): void {
    const phase = this.#phase;
    this.#phase = { at: "gone" };
    for (const { raw, tls } of this.#leaving.keys()) resetSocket(raw, tls);
    if (phase.at === "dialing") phase.abort.abort();
    if (phase.at === "waiting") phase.timer.cancel();
    if (phase.at === "up") {
      phase.redial?.abort();
      phase.connection.raw.destroy();
      this.#options.onDown();
    }
  }

  #dial(): void {
    const abort = new AbortController();
    this.#phase = { at: "dialing", abort };
    this.#connect(abort.signal).then(
      (dialled) => {
        if (abort.signal.aborted) return void resetSocket(dialled.raw, dialled.tls);
        this.#up(dialled);
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        this.#log("link not made", detailOf(error));
        this.#options.onFailed(error);
        this.#wait();
      },
    );
  }

  #wait(): void {
    const timer = this.#options.ports.clock.after(this.#backoff.nextMs(), () => this.#dial(), { keepAlive: false });
    this.#phase = { at: "waiting", timer };
  }

  #up({ tls, raw, issuerKeyId }: Dialled): void {
    const { clock } = this.#options.ports;
    const use = this.#options.onUp(tls, raw);
    const times = { sinceMonoMs: clock.monoMs(), sinceWallMs: clock.nowMs() };
    const connection: LinkConnection = { tls, raw, use, issuerKeyId, ...times };
    this.#phase = { at: "up", connection };
    this.#keepFresh(connection);
    const onClose = (): void => {
      connection.renewal?.cancel();
      if (this.#phase.at !== "up" || this.#phase.connection !== connection) return;
      this.#phase.redial?.abort();
      this.#backoff.wasUpForMs(clock.monoMs() - connection.sinceMonoMs);
      this.#wait();
      this.#options.onDown();
    };
    if (raw.destroyed) return void onClose();
    raw.once("close", onClose);
  }

  /** Half of what is left of the first of the two leaves to end, ms. */
  #halfLeftMs(tls: TLSSocket): number {
    const { clock, identity } = this.#options.ports;
    const theirsMs = tls.getPeerX509Certificate()?.validToDate.getTime() ?? 0;
    const endsMs = Math.min(theirsMs, identity.current().leaf.notAfterMs);
    return Math.min(timerMaxMs, Math.max(renewalGapMs, (endsMs - clock.nowMs()) / 2));
  }

  /** A renewal that fails is tried again when half of the rest is over. */
  #keepFresh(connection: LinkConnection): void {
    connection.renewal = this.#options.ports.clock.after(this.#halfLeftMs(connection.tls), () => {
      if (this.#phase.at !== "up" || this.#phase.connection !== connection) return;
      this.renew();
      this.#keepFresh(connection);
    });
  }

  async #connect(signal: AbortSignal): Promise<Dialled> {
    const { ports, judge, direction } = this.#options;
    const neighbour = this.#options.neighbour();
    const identity = ports.identity.current();
    const dial = { clock: ports.clock, deadlineMs: limits.linkDialDeadlineMs, signal };
    const raw = await dialTcp(neighbour.addresses, dial);
    if (direction === "reverse") raw.write(encodeReversePreamble());
    const tls = await startTls(
      raw,
      tlsOptions("dial-node-link", {
        identity: identity.leaf,
        expect: judge.neighbour(neighbour.nodeId),
        serverName: linkServerName(neighbour.linkLabel, identity.clusterSlug),
      }),
      dial,
    );
    return { tls, raw, issuerKeyId: issuerIn(identity.bundle, identity.leaf.certificateDer) ?? "" };
  }

  #log(message: string, detail: string): void {
    this.#options.ports.log.info(message, {
      peer: this.#options.neighbour().nodeId,
      state: this.#options.direction,
      detail,
    });
  }
}

function detailOf(error: unknown): string {
  if (error instanceof WeftError) return errnoOf(error) ?? error.detail;
  return messageOf(error);
}
