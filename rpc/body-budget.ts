/**
 * How much of its requests one caller may have kept at a time. A request is read before its handler runs, and kept while
 * the call is open: hundreds of calls of the largest message each, never finished, would be hundreds of MiB.
 *
 * BB1. What the open calls of one caller have sent, beyond the first `rpcBodyFreeMaxBytes` of each, is at most
 *      `rpcBodiesPerCallerMaxBytes`, in all its sessions together. The call that goes beyond is refused.
 * BB2. A call's share is given back when the call is over.
 */

import type { ServerHttp2Stream } from "node:http2";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Caller } from "./caller.ts";
import { callerKey } from "./flood-guard.ts";

/** Counts bytes of one request as they come. Throws `resource_exhausted` (BODIES) when they are too many (BB1). */
export type BodyMeter = (bytes: number) => void;

export class BodyBudget {
  readonly #heldBytes = new Map<string, number>();

  /** The meter of one call. */
  meter(stream: ServerHttp2Stream, caller: Caller): BodyMeter {
    let seenBytes = 0;
    let heldBytes = 0;
    return (bytes) => {
      seenBytes += bytes;
      const shareBytes = seenBytes - limits.rpcBodyFreeMaxBytes - heldBytes;
      if (shareBytes <= 0) return;
      const key = callerKey(caller);
      const allBytes = (this.#heldBytes.get(key) ?? 0) + shareBytes;
      if (allBytes > limits.rpcBodiesPerCallerMaxBytes) {
        const message =
          "too much of this caller's requests is kept already; try again when fewer of its calls are open";
        throw new WeftError("resource_exhausted", message, { detail: "BODIES", retry: "later" });
      }
      if (heldBytes === 0) stream.once("close", () => this.#giveBack(key, heldBytes));
      heldBytes += shareBytes;
      this.#heldBytes.set(key, allBytes);
    };
  }

  #giveBack(key: string, bytes: number): void {
    const left = (this.#heldBytes.get(key) ?? 0) - bytes;
    if (left > 0) this.#heldBytes.set(key, left);
    else this.#heldBytes.delete(key);
  }
}
