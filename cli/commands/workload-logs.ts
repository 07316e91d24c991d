/** `weft workload logs`: the end of what a workload says, from its node itself. Needs no control once the node is found. */

import type { Command } from "commander";
import type { WatchWorkloadLogResponse } from "../../gen/weft/node/v1/node_pb.ts";
import { wholeNumber } from "../arguments.ts";
import { withNodePort } from "../node-port.ts";
import { print, safeText } from "../output.ts";
import { action, type GlobalOptions, withSession } from "../session.ts";

interface LogsOptions extends GlobalOptions {
  readonly node?: string;
  readonly lines?: number;
  readonly follow?: boolean;
}

const linesDefault = 200;
const linesMax = 100_000;

interface Line {
  readonly at_ms: number;
  readonly stream: string;
  readonly text: string;
}

function linesOf(answer: WatchWorkloadLogResponse): Line[] {
  return answer.lines.map(({ atMs, stream, text }) => ({ at_ms: Number(atMs), stream, text }));
}

/** A line for people. What a program says may hold anything: nothing of it reaches the terminal as more than text. */
function lineText({ at_ms, stream, text }: Line): string {
  return `${new Date(at_ms).toISOString()} ${stream} ${safeText(text)}\n`;
}

async function showLogs(options: LogsOptions, name: string): Promise<void> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  const kept: Line[] = [];
  const follow = options.follow === true;
  const tell = (lines: readonly Line[], missed: number): void => {
    if (!follow) return void kept.push(...lines);
    if (missed > 0) process.stderr.write(`weft: ${missed} lines came faster than they could be read\n`);
    for (const line of lines) {
      process.stdout.write(options.json === true ? `${JSON.stringify(line)}\n` : lineText(line));
    }
  };
  await withSession(options, (session) =>
    withNodePort(session, options.node ?? "", async (client) => {
      const request = { name, lines: options.lines ?? linesDefault, follow };
      try {
        for await (const answer of client.watchWorkloadLog(request, { signal: stop.signal, timeoutMs: 0 })) {
          tell(linesOf(answer), Number(answer.missed));
        }
      } catch (thrown) {
        if (!stop.signal.aborted) throw thrown;
      }
    }),
  );
  if (!follow) print(options, { node: options.node, workload: name, lines: kept }, () => kept.map(lineText).join(""));
}

export function addLogsCommand(workload: Command): void {
  workload
    .command("logs <name>")
    .description("the end of what a workload said, from its node's operator port")
    .requiredOption("--node <node>", "the node that runs it")
    .option("--lines <n>", `at most so many lines (default: ${linesDefault})`, wholeNumber(linesMax))
    .option("--follow", "go on with what it says next, until Ctrl-C")
    .addHelpText(
      "after",
      "\nWith --follow --json one object per line.\n\nExamples:\n  weft workload logs cache --node egress-1\n  weft workload logs cache --node egress-1 --follow --lines 20",
    )
    .action(action(showLogs));
}
