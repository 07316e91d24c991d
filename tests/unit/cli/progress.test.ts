import { expect, it } from "vitest";
import { shown } from "../../../cli/progress.ts";
import { ManualClock } from "../../../lib/clock.ts";

/** Work that tells of each second of its four. */
async function run(isTTY: boolean, progress: boolean, seconds = 4): Promise<string[]> {
  const clock = new ManualClock();
  const written: string[] = [];
  const screen = { isTTY, write: (text: string) => void written.push(text) };
  const work = async (tell: (how: string) => void): Promise<number> => {
    for (let at = 1; at <= seconds; at++) {
      tell(`${at * 10}\x07 records`);
      clock.advance(999);
    }
    return seconds;
  };
  expect(await shown({ progress }, "copying", work, { screen, clock })).toBe(seconds);
  return written;
}

it("is one line on a terminal, written over, and gone in the end", async () => {
  const written = await run(true, false);
  expect(written.at(-1)).toBe("\r\x1b[K");
  expect(new Set(written.slice(0, -1).map((text) => text.replace("\r\x1b[K", "")))).toEqual(
    new Set([
      "copying: 20\\u0007 records (1 s)",
      "copying: 30\\u0007 records (2 s)",
      "copying: 40\\u0007 records (3 s)",
    ]),
  );
});

it("is nothing while the work is short, and nothing where there is no terminal", async () => {
  expect(await run(true, false, 1)).toEqual([]);
  expect(await run(false, false)).toEqual([]);
});

it("is lines for a log when they are asked for, one a second at most", async () => {
  expect(await run(false, true)).toEqual(["weft: copying: 30\\u0007 records\n"]);
});

it("leaves the terminal clean when the work fails", async () => {
  const clock = new ManualClock();
  const written: string[] = [];
  const failing = async (): Promise<void> => {
    clock.advance(2_000);
    throw new Error("no");
  };
  const screen = { isTTY: true, write: (text: string) => void written.push(text) };
  await expect(shown({}, "copying", failing, { screen, clock })).rejects.toThrow("no");
  expect(written.at(-1)).toBe("\r\x1b[K");
});
