/**
 * `weft check`: whether a client's bytes come back, and whether they still do while parts of the fabric are killed. Ends with 1
 * when anything was lost.
 */

import type { Command } from "commander";
import type { Client } from "../../client/connect.ts";
import { systemClock } from "../../lib/clock.ts";
import { systemRandom } from "../../lib/random.ts";
import { durationMs } from "../arguments.ts";
import { type GoldenReport, runGolden } from "../check/golden.ts";
import { type Failover, failoverOf, type LoopReport, type LoopTick, runLoop } from "../check/loop.ts";
import { type ClientOptions, clientAction, clientOf, leaseOf, withClientOptions } from "../client-session.ts";
import { abortOnSignals } from "../interrupts.ts";
import { exitCodes, groupExamples, print, safeText, table } from "../output.ts";

interface CheckOptions extends ClientOptions {
  readonly answerWithin: number;
}

interface LoopFlags extends ClientOptions {
  readonly for: number;
  readonly tick: number;
}

function opener(client: Client, resource: string, options: ClientOptions): () => ReturnType<Client["open"]> {
  const lease = leaseOf(options);
  return () =>
    client.open(resource, {
      ...(options.class === undefined ? {} : { class: options.class }),
      ...(lease === undefined ? {} : { lease: lease() }),
    });
}

function goldenText({ messages, ok, bytesLost, problem }: GoldenReport): string {
  const rows = messages.map(({ number, bytes, rttMs, result }) => [
    ...[String(number), String(bytes), rttMs === undefined ? "-" : `${rttMs.toFixed(1)} ms`, result],
  ]);
  const verified = messages.filter(({ result }) => result === "verified").length;
  const sum = `${verified} of ${messages.length} messages verified, ${bytesLost} bytes lost`;
  return `${table(["MESSAGE", "BYTES", "BACK AFTER", "RESULT"], rows)}\n${ok ? `GOLDEN: ${sum}` : `LOST: ${sum}: ${safeText(problem ?? "")}`}`;
}

async function golden(options: ClientOptions, resource: string): Promise<void> {
  const { answerWithin: answerWithinMs } = options as CheckOptions;
  const client = await clientOf(options);
  try {
    const open = opener(client, resource, options);
    const report = await runGolden({ open, clock: systemClock, random: systemRandom, answerWithinMs });
    print(options, { ...report, resource }, () => goldenText(report));
    if (!report.ok) process.exitCode = exitCodes.failure;
  } finally {
    await client.close();
  }
}

const columns = [6, 6, 10, 5, 22] as const;

function line(cells: readonly string[]): string {
  return `${cells.map((cell, at) => safeText(cell).padEnd(columns[at] ?? 0)).join("")}`.trimEnd();
}

function failoverText({ cause, gapMs, moves, fromEntry, toEntry }: Failover): string {
  const way = fromEntry === toEntry ? "" : ` to ${toEntry}`;
  return `moved${way} (${cause}, ${Math.round(gapMs)} ms${moves === 1 ? "" : `, ${moves} moves`})`;
}

function resultText({ result, sent, received, rttMs, problem, failovers }: LoopTick): string {
  const told = {
    ok: `ok${rttMs === undefined ? "" : ` ${rttMs.toFixed(1)} ms`}`,
    waiting: `waiting for ${sent - received}`,
    lost: `LOST: ${problem}`,
    down: `not sent: ${problem}`,
  }[result];
  return [told, ...failovers.map(failoverText)].join("; ");
}

function summaryText({ failovers, sent, received, bytesLost }: LoopReport): string {
  const gaps = failovers.map(({ gapMs }) => gapMs);
  const head =
    failovers.length === 0
      ? "NO FAILOVER OBSERVED"
      : `FAILOVER OBSERVED: ${failovers.length}, the longest gap ${Math.round(Math.max(...gaps))} ms`;
  return `${head}; ${sent} sent, ${received} received, bytes lost: ${bytesLost}`;
}

async function loop(options: ClientOptions, resource: string): Promise<void> {
  const { for: forMs, tick: tickMs } = options as LoopFlags;
  const failovers: Failover[] = [];
  const client = await clientOf(options, (event) => {
    const failover = failoverOf(event);
    if (failover !== undefined) failovers.push(failover);
  });
  const asked = abortOnSignals("ending after this tick", "CHECK_INTERRUPTED");
  const say = (text: string): void => void (options.json === true || process.stdout.write(`${text}\n`));
  try {
    const open = opener(client, resource, options);
    say(line(["TICK", "SENT", "RECEIVED", "UP", "ENTRY", "RESULT"]));
    const report = await runLoop({
      ...{ open, clock: systemClock, forMs, tickMs, signal: asked.signal },
      path: () => pathOf(client),
      takeFailovers: () => failovers.splice(0),
      onTick: (tick) =>
        say(
          line([
            ...[String(tick.tick), String(tick.sent), String(tick.received), tick.up ? "yes" : "no"],
            ...[tick.entry || "-", resultText(tick)],
          ]),
        ),
    });
    print(options, { ...report, resource }, () => summaryText(report));
    if (!report.ok) process.exitCode = exitCodes.failure;
  } finally {
    asked.off();
    await client.close();
  }
}

/** Of all trunks of this client: an attachment in use, and the entry it goes by. */
function pathOf(client: Client): { readonly up: boolean; readonly entry: string } {
  const used = client
    .trunks()
    .flatMap(({ attachments }) => attachments)
    .find(({ active, ready }) => active && ready);
  return { up: used !== undefined, entry: used?.hops[1] ?? "" };
}

export function addCheckCommands(program: Command): void {
  const check = program
    .command("check")
    .description("whether bytes come back, and go on coming back while parts of the fabric die; 1 when any is lost")
    .addHelpText("after", groupExamples("weft check golden --identity ./laptop", "weft check loop echo --for 5m"));
  withClientOptions(check.command("golden").argument("[resource]", "a resource whose target echoes", "echo"))
    .description("five messages, each verified byte for byte before the next one is sent")
    .option("--answer-within <time>", "how long a message may take, there and back", durationMs, 10_000)
    .addHelpText("after", "\nExamples:\n  weft check golden --identity ./laptop\n  weft check golden echo --json")
    .action(clientAction(golden, { json: true }));
  withClientOptions(check.command("loop").argument("[resource]", "a resource whose target echoes", "echo"))
    .description(
      "a message on every tick, verified as it comes back; says whether a failover was seen and what was lost",
    )
    .option("--for <time>", "how long", durationMs, 30_000)
    .option("--tick <time>", "time between two messages", durationMs, 1_000)
    .addHelpText(
      "after",
      "\nKill, freeze or drain what you like meanwhile.\n\nExamples:\n  weft check loop --identity ./laptop\n  weft check loop echo --for 5m --tick 500ms --json",
    )
    .action(clientAction(loop, { json: true }));
}
