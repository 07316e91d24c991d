/**
 * How far long work is, on standard error; standard output belongs to the answer. On a terminal it is one line that is written over
 * and gone in the end, and there is none while the work is short. Anywhere else nothing is said, unless `--progress` asks for it:
 * then a line now and then, for a log.
 */

import type { Command } from "commander";
import { type Clock, systemClock } from "../lib/clock.ts";
import { safeText } from "./output.ts";

export interface ProgressOptions {
  readonly progress?: boolean;
}

/** Says how far it is now. */
export type Tell = (how: string) => void;

interface Screen {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

const patienceMs = 1_000;
const redrawEveryMs = 250;
const wipe = "\r\x1b[K";

/** Gives a command `--progress`. */
export function withProgressOption(command: Command): Command {
  return command.option("--progress", "say on standard error how far it is, also where that is no terminal");
}

/** Runs `work` and shows how far it is; `what` is all that is said until it tells more. */
export async function shown<T>(
  options: ProgressOptions,
  what: string,
  work: (tell: Tell) => Promise<T>,
  { screen = process.stderr, clock = systemClock }: { readonly screen?: Screen; readonly clock?: Clock } = {},
): Promise<T> {
  const startedMs = clock.monoMs();
  const line = (how: string): string => `${what}${how === "" ? "" : `: ${safeText(how)}`}`;
  let now = "";
  if (screen.isTTY !== true) {
    let toldMs = startedMs;
    const tell = (how: string): void => {
      if (how === now || clock.monoMs() - toldMs < patienceMs) return;
      [now, toldMs] = [how, clock.monoMs()];
      screen.write(`weft: ${line(how)}\n`);
    };
    return await work(options.progress === true ? tell : () => {});
  }
  let isDrawn = false;
  const drawing = clock.every(redrawEveryMs, () => {
    const ms = clock.monoMs() - startedMs;
    if (ms < patienceMs) return;
    isDrawn = true;
    screen.write(`${wipe}${line(now)} (${Math.floor(ms / 1_000)} s)`);
  });
  try {
    return await work((how) => {
      now = how;
    });
  } finally {
    drawing.cancel();
    if (isDrawn) screen.write(wipe);
  }
}
