/**
 * The bounded, timed look at the first bytes of a connection to control: which server name does it ask for? The answer
 * selects a TLS server with one root before OpenSSL sees a byte; the bytes are put back. What is no TLS ClientHello is closed.
 * A bounded number is looked at, in all and per source; one more takes the place of the one silent for longest, so
 * strangers that hold their places in silence keep nobody out. What arrived in time counts, also when it is read late.
 */

import type { Socket } from "node:net";
import { parseClientHello } from "../../fabric/client-hello.ts";
import type { Clock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { sourcePrefix } from "../../lib/source-prefix.ts";

export type PeekRefusal = "capacity" | "source_capacity" | "deadline" | "garbage" | "ended" | "stopped";

export interface Hello {
  readonly serverName?: string;
}

export class HelloPeek {
  readonly #clock: Clock;
  readonly #onRefused: (why: PeekRefusal) => void;
  readonly #looking = new Map<Socket, (why: PeekRefusal) => void>();
  /** Oldest first, as in `#looking`. */
  readonly #perSource = new Map<string, Set<Socket>>();

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
    const ofSource = this.#perSource.get(source) ?? new Set();
    if (ofSource.size >= limits.peekPerSourceMaxCount) this.#displace(ofSource, "source_capacity");
    if (this.#looking.size >= limits.peekSocketsMaxCount) this.#displace(this.#looking.keys(), "capacity");
    this.#perSource.set(source, ofSource.add(socket));
    let seen = Buffer.alloc(0);
    const finish = (): void => {
      timer.cancel();
      this.#looking.delete(socket);
      this.#release(socket, source);
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
    const timer = this.#clock.afterReading(limits.peekDeadlineMs, () => refuse("deadline"));
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

  #displace([oldest]: Iterable<Socket>, why: PeekRefusal): void {
    if (oldest !== undefined) this.#looking.get(oldest)?.(why);
  }

  #release(socket: Socket, source: string): void {
    const held = this.#perSource.get(source);
    held?.delete(socket);
    if (held?.size === 0) this.#perSource.delete(source);
  }
}
