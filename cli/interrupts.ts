/** Ctrl-C for commands that started something: the first one asks for an orderly end, the second one does not wait for it. */

import { WeftError } from "../lib/errors.ts";
import { exitCodes } from "./output.ts";

/**
 * Aborts at the first SIGINT or SIGTERM, with an error of this detail; a second one ends the process. `told` goes to standard
 * error. `off` lets go of the signals.
 */
export function abortOnSignals(
  told: string,
  detail: string,
): { readonly signal: AbortSignal; readonly off: () => void } {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted);
    process.stderr.write(`weft: ${told} (again: at once)\n`);
    controller.abort(new WeftError("aborted", "interrupted", { detail }));
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  return { signal: controller.signal, off: () => void process.off("SIGINT", onSignal).off("SIGTERM", onSignal) };
}
