/** What this process holds after everything that is garbage is gone. */

import { setImmediate as turn } from "node:timers/promises";

export interface Memory {
  /** V8's heap and what hangs on it outside. */
  readonly heldBytes: number;
  readonly residentBytes: number;
}

/** Needs `--expose-gc`. */
export async function memoryOf(): Promise<Memory> {
  for (let round = 0; round < 3; round += 1) {
    await turn();
    globalThis.gc?.();
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heldBytes: heapUsed + external, residentBytes: rss };
}
