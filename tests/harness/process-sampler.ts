/** Arguments and environments of every process of a run, looked at while it runs: of each once, and once more after it became itself. */

import { readdirSync, readFileSync } from "node:fs";

const everyMs = 250;
/** A child is its parent until it becomes the program it was started for. */
const looksCount = 2;

export class ProcessSampler {
  readonly #own: string;
  readonly #looks = new Map<string, number>();
  readonly #seen = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  /** Samples processes that have `own` in their environment, such as the folder of the run. */
  constructor(own: string) {
    this.#own = own;
    this.#timer = setInterval(() => this.#look(), everyMs);
    this.#timer.unref();
  }

  /** Every argument and variable that was seen, each once. */
  stop(): Buffer {
    clearInterval(this.#timer);
    this.#look();
    return Buffer.from([...this.#seen].join("\0"), "latin1");
  }

  /** How many processes were seen. */
  get count(): number {
    return this.#looks.size;
  }

  #look(): void {
    let pids: string[] = [];
    try {
      pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    } catch {
      // No such folder here.
    }
    for (const pid of pids) {
      const looks = this.#looks.get(pid) ?? 0;
      if (looks >= looksCount) continue;
      try {
        const environ = readFileSync(`/proc/${pid}/environ`, "latin1");
        this.#looks.set(pid, looks + 1);
        if (!environ.includes(this.#own)) continue;
        for (const part of `${readFileSync(`/proc/${pid}/cmdline`, "latin1")}\0${environ}`.split("\0"))
          this.#seen.add(part);
      } catch {
        // Ended, or somebody else's.
      }
    }
  }
}
