/** Milliseconds as people and programs are told them: what is behind the first digit is the noise of the machine. */

/** Rounded to a tenth. */
export function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}
