/**
 * The calling side of one link: an HTTP/2 session, its transport, and a sample every second. Most samples are HTTP/2 PINGs
 * (RFC 9113, section 6.7): they measure the same round trip at a tenth of the CPU of an RPC. Every few seconds it is a
 * `ProbeService/Probe`, which also says how the neighbour is.
 */

import type { ClientHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { type Client, Code, ConnectError, type Transport } from "@connectrpc/connect";
import { ProbeService } from "../gen/weft/probe/v1/probe_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { messageOf } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import { rpcClient } from "../rpc/client.ts";
import { openClientSession } from "../rpc/http2-profile.ts";
import { http2Transport } from "../rpc/http2-transport.ts";
import { nodeLinkHttp2 } from "./link-http2.ts";
import type { LinkMeter } from "./link-meter.ts";

export interface LinkCalls {
  readonly transport: Transport;
  /** What the neighbour last said about itself. */
  peerDraining(): boolean;
  peerLoad(): number | undefined;
  /** It keeps as many links as it may, and none to this node. */
  peerFull(): boolean;
  /** Takes no new calls and ends when the running ones have ended. */
  close(): void;
  /** Ends the probes; the connection is somebody else's. */
  stop(): void;
}

export interface LinkCallsOptions {
  readonly tls: TLSSocket;
  readonly raw: Socket;
  readonly meter: LinkMeter;
  readonly clock: Clock;
  readonly log: Log;
}

/** Opens the calling side on a judged connection, whichever end dialled it. */
export function openLinkCalls(options: LinkCallsOptions): LinkCalls {
  const { tls, raw, clock } = options;
  const session = openClientSession(tls, nodeLinkHttp2);
  // A session that is over for any reason (GOAWAY, protocol error) takes its socket along: a link never lingers half dead.
  session.once("close", () => raw.destroy());
  const transport = http2Transport(session, { defaultTimeoutMs: limits.rpcDeadlineMaxMs });
  const prober = new Prober(options, session, rpcClient(ProbeService, transport));
  const timer = clock.every(limits.linkProbeMs, () => prober.probe());
  prober.probe();
  return {
    transport,
    peerDraining: () => prober.draining,
    peerLoad: () => prober.load,
    peerFull: () => prober.full,
    close: () => {
      timer.cancel();
      session.close();
    },
    stop: () => timer.cancel(),
  };
}

/** One sample at a time: a slow neighbour is one late sample, not a pile of them. */
class Prober {
  readonly #options: LinkCallsOptions;
  readonly #session: ClientHttp2Session;
  readonly #client: Client<typeof ProbeService>;
  draining = false;
  load: number | undefined;
  full = false;
  #turn = 0;
  #seq = 0n;
  #waiting = false;

  constructor(options: LinkCallsOptions, session: ClientHttp2Session, client: Client<typeof ProbeService>) {
    this.#options = options;
    this.#session = session;
    this.#client = client;
  }

  probe(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    const asks = this.#turn % limits.linkProbesPerAskCount === 0;
    this.#turn += 1;
    void this.#sample(asks ? () => this.#ask() : () => this.#ping()).finally(() => {
      this.#waiting = false;
    });
  }

  async #sample(probe: () => Promise<void>): Promise<void> {
    const { clock, meter, log, raw } = this.#options;
    const startedMs = clock.monoMs();
    try {
      await probe();
      meter.answered(clock.monoMs() - startedMs, clock.nowMs());
    } catch (error) {
      if (raw.destroyed) return;
      meter.failed(clock.nowMs(), "no_answer");
      log.debug("probe lost", { error: error instanceof ConnectError ? Code[error.code] : messageOf(error) });
    }
  }

  async #ask(): Promise<void> {
    this.#seq += 1n;
    const answer = await this.#client.probe({ seq: this.#seq }, { timeoutMs: limits.probeDeadlineMs });
    this.draining = answer.draining;
    this.load = answer.load;
    this.full = answer.linksFull;
  }

  #ping(): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = this.#options.clock.after(limits.probeDeadlineMs, () => reject(new Error("no answer to a PING")));
      this.#session.ping((error) => {
        late.cancel();
        if (error === null) resolve();
        else reject(error);
      });
    });
  }
}
