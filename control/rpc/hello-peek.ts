/**
 * The bounded, timed look at the first bytes of a connection to control: which server name does it ask for? The answer
 * selects a TLS server with one root before OpenSSL sees a byte; the bytes are put back. What is no TLS ClientHello is closed.
 */

import type { Socket } from "node:net";
import { parseClientHello } from "../../fabric/client-hello.ts";
import type { Clock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { sourcePrefix } from "../../rpc/rate-limits.ts";

export type PeekRefusal = "capacity" | "source_capacity" | "deadline" | "garbage" | "ended" | "stopped";

export interface Hello {
  readonly serverName?: string;
}

export class HelloPeek {
  readonly #clock: Clock;
  readonly #onRefused: (why: PeekRefusal) => void;
  readonly #looking = new Map<Socket, (why: PeekRefusal) => void>();
  readonly #perSource = new Map<string, number>();

  constructor(clock: Clock, onRefused: (why: PeekRefusal) => void) {
    this.#clock = clock;
    this.#onRefused = onRefused;
  }

  get count(): number {
    return this.#looking.size;
  }

  /** Calls `decide` once with the hello, its bytes back on the socket; or destroys the socket. */
  look(socket: Socket, decide: (hello: Hello) => void): void {
    const source = sourcePrefix(socket.remoteAddress ?? "");
    const held = this.#perSource.get(source) ?? 0;
    const full = this.#looking.size >= limits.peekSocketsMaxCount;
    if (full || held >= limits.peekPerSourceMaxCount) {
      this.#refuse(socket, full ? "capacity" : "source_capacity");
      return;
    }
    this.#perSource.set(source, held + 1);
    let seen = Buffer.alloc(0);
    const finish = (): void => {
      timer.cancel();
      this.#looking.delete(socket);
      this.#release(source);
      socket.off("readable", onReadable).off("end", onEnd).off("error", onEnd).off("close", onEnd);
    };
    const refuse = (why: PeekRefusal): void => {
      finish();
      this.#refuse(socket, why);
    };
    const onEnd = (): void => refuse("ended");
    const onReadable = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      seen = Buffer.concat([seen, chunk]);
      const verdict = parseClientHello(seen);
      if (verdict.kind === "more") return;
      if (verdict.kind === "garbage") {
        refuse("garbage");
        return;
      }
      finish();
      socket.unshift(seen);
      decide(verdict.serverName === undefined ? {} : { serverName: verdict.serverName });
    };
    const timer = this.#clock.after(limits.peekDeadlineMs, () => refuse("deadline"));
    this.#looking.set(socket, refuse);
    socket.on("readable", onReadable).on("end", onEnd).on("error", onEnd).on("close", onEnd);
  }

  /** Refuses every socket being looked at. */
  stop(): void {
    for (const refuse of [...this.#looking.values()]) refuse("stopped");
  }

  #refuse(socket: Socket, why: PeekRefusal): void {
    socket.on("error", () => {});
    socket.destroy();
    this.#onRefused(why);
  }

  #release(source: string): void {
    const left = (this.#perSource.get(source) ?? 1) - 1;
    if (left > 0) this.#perSource.set(source, left);
    else this.#perSource.delete(source);
  }
}
