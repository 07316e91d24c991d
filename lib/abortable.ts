/** Waiting for what others may go on waiting for, until one's caller gives up. */

import { WeftError } from "./errors.ts";

/**
 * Waits for `promise`, or until `signal` says that the caller gave up; the work itself goes on for whoever else waits.
 * @throws WeftError canceled; else what the promise rejects with.
 */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new WeftError("canceled", "the caller gave up"));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
