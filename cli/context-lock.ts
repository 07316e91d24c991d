/** One writer at a time for an operator's context folder: commands run side by side, and each may want to renew or to add. */

import { asOnlyWriterOf } from "../lib/folder-lock.ts";

/** Runs `work` as the only writer of the folder; undefined, without running it, while another command writes. */
export function asOnlyWriter<T>(dir: string, work: () => Promise<T>): Promise<T | undefined> {
  return asOnlyWriterOf(dir, "writing.lock", Date.now(), work);
}
