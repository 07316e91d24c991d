/** Numbers on the command line: digits and nothing else, so that a typing error is told before anything is sent. */

import { InvalidArgumentError } from "commander";

/** A parser for an option that takes a whole number up to `max`. */
export function wholeNumber(max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value > max) throw new InvalidArgumentError(`write a whole number, at most ${max}`);
    return value;
  };
}
