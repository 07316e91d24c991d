/** `weft check golden`: five messages of different sizes to a resource that echoes, each verified before the next is sent. */

import type { Duplex } from "node:stream";
import type { Clock } from "../../lib/clock.ts";
import { KiB } from "../../lib/limits.ts";
import type { Random } from "../../lib/random.ts";
import { EchoChannel } from "./echo-channel.ts";
import { tenths } from "./tenths.ts";

/** From one byte to more than a batch. */
export const goldenSizesBytes = [1, 64, 1 * KiB, 64 * KiB, 256 * KiB] as const;

export interface GoldenMessage {
  readonly number: number;
  readonly bytes: number;
  /** Until all of it was back; absent when it was not. */
  readonly rttMs?: number;
  readonly result: "verified" | "lost" | "not sent";
}

export interface GoldenReport {
  readonly ok: boolean;
  readonly messages: readonly GoldenMessage[];
  readonly bytesLost: number;
  /** Why something was lost. */
  readonly problem?: string;
}

export interface GoldenOptions {
  /** Opens the channel. Rejects when there is none: nothing was lost then, and the caller says why. */
  readonly open: () => Promise<Duplex>;
  readonly clock: Clock;
  readonly random: Random;
  /** For one message, there and back. */
  readonly answerWithinMs: number;
}

export async function runGolden(options: GoldenOptions): Promise<GoldenReport> {
  const { clock, random, answerWithinMs } = options;
  const echo = new EchoChannel(await options.open(), clock);
  const messages: GoldenMessage[] = [];
  let problem: string | undefined;
  for (const [index, bytes] of goldenSizesBytes.entries()) {
    const about = { number: index + 1, bytes };
    if (problem !== undefined) {
      messages.push({ ...about, result: "not sent" });
      continue;
    }
    echo.send(Buffer.from(random.bytes(bytes)));
    await echo.settled(answerWithinMs);
    const [answer] = echo.takeAnswers();
    if (answer !== undefined) messages.push({ ...about, rttMs: tenths(answer.rttMs), result: "verified" });
    else {
      problem = echo.end ?? `message ${about.number} was not back within ${answerWithinMs} ms`;
      messages.push({ ...about, result: "lost" });
    }
  }
  echo.close();
  const { bytesLost } = echo.ledger.totals();
  return { ok: problem === undefined, messages, bytesLost, ...(problem === undefined ? {} : { problem }) };
}
