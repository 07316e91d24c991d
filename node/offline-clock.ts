/**
 * How long ago the newest revocation feed was issued, as far as this node can tell: the longer of what the wall clock says
 * and what this process's own clock has counted since it heard it.
 *
 * OC1. A wall clock set back makes nothing younger: the monotonic clock goes on from when that feed was heard.
 * OC2. Neither does a restart: what was counted is on disk, to ten seconds or one percent, and is where the next start goes
 *      on. The time a process was not running is known from the wall clock alone.
 * OC3. A newer feed ends all of it: a wall clock that was far ahead for a while costs nothing afterwards.
 */

import { join } from "node:path";
import { z } from "zod";
import type { Clock } from "../lib/clock.ts";
import { messageOf } from "../lib/errors.ts";
import { readFileIfAny, replaceFile } from "../lib/files.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";

const storedNote = z.object({ feedMs: z.number().int().nonnegative(), staleMs: z.number().nonnegative() });
type Note = z.infer<typeof storedNote>;

export interface OfflineClockDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Newest signed date that counted: no judgement is made by an earlier time. */
  readonly newestSignedMs: () => number;
  /** Where the note is kept. Absent: nowhere. */
  readonly stateDir?: string;
}

/** The name of the note in a state folder. */
export const offlineNoteName = "offline-note.json";

export class OfflineClock {
  readonly #deps: OfflineClockDeps;
  /** The feed that is counted from, what was counted before this process heard of it, and when that was. */
  #feedMs = -1;
  #countedMs = 0;
  #heardMonoMs = 0;
  #notedMs = 0;
  readonly #before: Note | undefined;

  constructor(deps: OfflineClockDeps) {
    this.#deps = deps;
    this.#before = this.#read();
  }

  /** The time to judge by, ms since the epoch; never less than `feedMs` plus what has been counted since (OC1). */
  nowMs(feedMs: number): number {
    this.#follow(feedMs);
    const { clock, newestSignedMs } = this.#deps;
    const countedMs = this.#countedMs + clock.monoMs() - this.#heardMonoMs;
    const nowMs = Math.max(clock.nowMs(), newestSignedMs(), feedMs + countedMs);
    this.#note(nowMs - feedMs);
    return nowMs;
  }

  #follow(feedMs: number): void {
    if (feedMs === this.#feedMs) return;
    // A feed issued after the one that was noted is news (OC3); an older one on disk is the same silence, seen from before.
    const goesOn = this.#feedMs === -1 && this.#before !== undefined && feedMs <= this.#before.feedMs;
    this.#countedMs = goesOn ? (this.#before?.staleMs ?? 0) + (this.#before?.feedMs ?? 0) - feedMs : 0;
    this.#feedMs = feedMs;
    this.#heardMonoMs = this.#deps.clock.monoMs();
    this.#notedMs = 0;
  }

  #note(staleMs: number): void {
    const { stateDir, log } = this.#deps;
    const stepMs = Math.max(limits.offlineNoteEveryMs, this.#notedMs * limits.offlineNoteShare);
    if (stateDir === undefined || staleMs < this.#notedMs + stepMs) return;
    this.#notedMs = staleMs;
    const note: Note = { feedMs: this.#feedMs, staleMs };
    try {
      replaceFile(join(stateDir, offlineNoteName), `${JSON.stringify(note)}\n`);
    } catch (thrown) {
      log.warn("how long control has not been heard cannot be kept on disk", { error: messageOf(thrown) });
    }
  }

  #read(): Note | undefined {
    const { stateDir, log } = this.#deps;
    if (stateDir === undefined) return undefined;
    try {
      const stored = readFileIfAny(join(stateDir, offlineNoteName));
      return stored === undefined ? undefined : storedNote.parse(JSON.parse(stored.toString()));
    } catch (thrown) {
      log.warn("the note of how long control has not been heard is damaged", { error: messageOf(thrown) });
      return undefined;
    }
  }
}
