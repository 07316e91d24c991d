import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { type LogFields, silentLog } from "../../../lib/log.ts";
import { PacedLog } from "../../../lib/paced-log.ts";

function paced() {
  const clock = new ManualClock();
  const lines: [string, LogFields | undefined][] = [];
  const log = new PacedLog(clock, { ...silentLog, info: (message, fields) => void lines.push([message, fields]) });
  return { clock, lines, log };
}

describe("log lines that strangers can cause", () => {
  it("are bounded per message, and what was left out is counted", () => {
    const { clock, lines, log } = paced();
    for (let at = 0; at < 1_000; at += 1) log.info("refused", { reason: "x" });
    expect(lines).toHaveLength(limits.pacedLinesBurstCount);
    expect(lines.at(-1)).toEqual(["refused", { reason: "x" }]);
    clock.advance(1_000 / limits.pacedLinesPerSecond);
    log.info("refused", { reason: "y" });
    log.info("refused", { reason: "z" });
    expect(lines).toHaveLength(limits.pacedLinesBurstCount + 1);
    expect(lines.at(-1)).toEqual(["refused", { reason: "y", count: 1_000 - limits.pacedLinesBurstCount }]);
    clock.advance(1_000 / limits.pacedLinesPerSecond);
    log.info("refused", { reason: "a" });
    expect(lines.at(-1)).toEqual(["refused", { reason: "a", count: 1 }]);
  });

  it("of one message leave the others alone", () => {
    const { lines, log } = paced();
    for (let at = 0; at < 100; at += 1) log.info("refused", {});
    log.info("not carried", {});
    expect(lines.at(-1)?.[0]).toBe("not carried");
  });
});
