/**
 * `weft check`: whether a client's bytes come back, and whether they still do while parts of the fabric are killed. Ends with 1
 * when anything was lost.
 */

import { type Command, Option } from "commander";
import type { Client } from "../../client/connect.ts";
import { systemClock } from "../../lib/clock.ts";
import { systemRandom } from "../../lib/random.ts";
import { durationMs } from "../arguments.ts";
import { type GoldenReport, runGolden } from "../check/golden.ts";
import { type Failover, failoverOf, type LoopTick, runLoop } from "../check/loop.ts";
import { failoverText, loopHead, loopSummary, tickText } from "../check/loop-view.ts";
import {
  type ClientOptions,
  clientAction,
  clientNames,
  clientOf,
  leaseOf,
  withClientOptions,
} from "../client-session.ts";
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

async function loop(options: ClientOptions, resource: string): Promise<void> {
  const { for: forMs, tick: tickMs } = options as LoopFlags;
  const nameOf = await clientNames(options);
  const failovers: Failover[] = [];
  const say = (text: string): void => void (options.json === true || process.stdout.write(`${text}\n`));
  const client = await clientOf(options, (event) => {
    const failover = failoverOf(event, Math.round(systemClock.nowMs()), nameOf);
    if (failover === undefined) return;
    failovers.push(failover);
    say(failoverText(failover));
  });
  const asked = abortOnSignals("ending after this tick", "CHECK_INTERRUPTED");
  try {
    const open = opener(client, resource, options);
    say(loopHead());
    const report = await runLoop({
      ...{ open, clock: systemClock, forMs, tickMs, signal: asked.signal },
      path: () => pathOf(client, nameOf),
      takeFailovers: () => failovers.splice(0),
      onTick: (tick) => say(tickText(tick)),
    });
    print(options, { ...report, resource }, () => loopSummary(report));
    if (!report.ok) process.exitCode = exitCodes.failure;
  } finally {
    asked.off();
    await client.close();
  }
}

/** Of all trunks of this client: an attachment in use, the entry it goes by, and the path as far as the client knows it. */
function pathOf(client: Client, nameOf: (id: string) => string): Pick<LoopTick, "up" | "entry" | "path"> {
  const used = client
    .trunks()
    .flatMap(({ attachments }) => attachments)
    .find(({ active, ready }) => active && ready);
  const path = used?.hops.slice(1) ?? [];
  return { up: used !== undefined, entry: path[0] ?? "", path: path.map(nameOf) };
}

/** A time whose default is told as people would write it. */
function timeOption(flag: string, about: string, seconds: number): Option {
  return new Option(`${flag} <time>`, about).argParser(durationMs).default(seconds * 1_000, `${seconds}s`);
}

export function addCheckCommands(program: Command): void {
  const check = program
    .command("check")
    .description("whether bytes come back, and go on coming back while parts of the fabric die; 1 when any is lost")
    .addHelpText("after", groupExamples("weft check golden --identity ./laptop", "weft check loop echo --for 5m"));
  withClientOptions(check.command("golden").argument("[resource]", "a resource whose target echoes", "echo"))
    .description("five messages, each verified byte for byte before the next one is sent")
    .addOption(timeOption("--answer-within", "how long a message may take, there and back", 10))
    .addHelpText("after", "\nExamples:\n  weft check golden --identity ./laptop\n  weft check golden echo --json")
    .action(clientAction(golden, { json: true }));
  withClientOptions(check.command("loop").argument("[resource]", "a resource whose target echoes", "echo"))
    .description(
      "a message on every tick, verified as it comes back; says whether a failover was seen and what was lost",
    )
    .addOption(timeOption("--for", "how long", 30))
    .addOption(timeOption("--tick", "time between two messages", 1))
    .addHelpText(
      "after",
      "\nKill, freeze or drain what you like meanwhile. PATH is what a client knows: the entry, a number for the relays and the egress,\nwhich it is not told, and the pool; names are those of when the client was added. The gap of a failover is how long this edge\nheard nothing: its rest since the last answer counts, so that it is up to a tick longer than the failover took.\n\nExamples:\n  weft check loop --identity ./laptop\n  weft check loop echo --for 5m --tick 500ms --json",
    )
    .action(clientAction(loop, { json: true }));
}
