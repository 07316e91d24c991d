/**
 * How often randomized tests repeat: few times in a normal run, many under `npm run soak` (WEFT_SOAK=1).
 */

/** Whether this is a long run. */
export const isSoak = process.env["WEFT_SOAK"] === "1";

/** `quick` normally, `full` in a soak; prints which, so that a log says what was run. */
export function runs(quick: number, full: number): number {
  const count = isSoak ? full : quick;
  console.info(`runs: ${count}${isSoak ? " (soak)" : ` (a soak does ${full})`}`);
  return count;
}
