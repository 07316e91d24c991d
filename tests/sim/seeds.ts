/**
 * Seeds that once broke something, and what it was: they are always played. A seed means its world only as long as worlds are
 * made from seeds in the same way; what it found is kept in words.
 */

export const keptSeeds: readonly { readonly seed: number; readonly found: string }[] = [
  {
    seed: 7,
    found: "a path was accused when the far edge went on after a stall and answered on the quicker path first",
  },
  { seed: 13, found: "an ack that was due and had no attachment kept a timer of 0 ms going" },
  { seed: 38, found: "the same while the one control write was under way on a frozen path" },
  { seed: 58, found: "a spare whose second lane had been refused was never counted, never used and never closed" },
  { seed: 86, found: "two rotations at once offered more attachments than the acceptor takes" },
  {
    seed: 594,
    found: "silence was counted from before anything was owed, because a ping claimed what had just been sent",
  },
];
