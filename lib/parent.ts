/** A process that was started by another notices when that one is gone: the pipe it was given as standard input ends. */

import type { Readable } from "node:stream";

/**
 * Calls `onGone` once when `input`, a pipe whose other end only the parent holds, ends or breaks. Does not keep the process
 * alive. What is sent on it means nothing.
 */
export function whenParentGoes(input: Readable & { unref?: () => unknown }, onGone: () => void): void {
  let told = false;
  const tell = (): void => {
    if (!told) onGone();
    told = true;
  };
  input.once("end", tell).once("error", tell).once("close", tell);
  input.resume();
  input.unref?.();
}
