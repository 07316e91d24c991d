/**
 * `weft connect RESOURCE`: standard input and output as a connection to a resource. What it is for: `ProxyCommand` of ssh, and
 * pipes. Each direction ends by itself: the end of standard input reaches the target while its answer still comes, and the
 * target's end closes standard output while input still goes.
 */

import { fstatSync } from "node:fs";
import { Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import type { EdgeChannel } from "../../edge/channel.ts";
import { errnoOf, WeftError } from "../../lib/errors.ts";
import { type ClientOptions, clientAction, clientOf, leaseOf, withClientOptions } from "../client-session.ts";

/** Standard output as a stream whose end whoever reads it sees: Node never closes its own. */
function standardOutput(): NodeJS.WritableStream {
  const kind = fstatSync(1);
  return kind.isFIFO() || kind.isSocket() ? new Socket({ fd: 1, readable: false, writable: true }) : process.stdout;
}

async function carry(channel: EdgeChannel): Promise<void> {
  // Chunks of standard input are fresh buffers nobody writes into again.
  channel.copiesWrites = false;
  const up = pipeline(process.stdin, channel);
  const down = pipeline(channel, standardOutput());
  // Nobody types an end into a connection that is over.
  if (process.stdin.isTTY)
    void down.then(
      () => channel.end(),
      () => {},
    );
  try {
    await Promise.all([up, down]);
  } catch (cause) {
    channel.destroy();
    if (errnoOf(cause) !== "EPIPE") throw channel.errored ?? cause;
    throw new WeftError("aborted", "nobody reads standard output any more", { detail: "CLI_OUTPUT_CLOSED", cause });
  }
}

async function connectTo(options: ClientOptions, resource: string): Promise<void> {
  if (options.json === true)
    throw new WeftError("invalid_argument", "there is no --json here: standard output is the connection", {
      detail: "CLI_NO_JSON",
    });
  const lease = leaseOf(options)?.();
  const client = await clientOf(options);
  try {
    const how = {
      ...(options.class === undefined ? {} : { class: options.class }),
      ...(lease === undefined ? {} : { lease }),
    };
    await carry(await client.open(resource, how));
  } finally {
    // What is typed from now on goes nowhere.
    process.stdin.destroy();
    await client.close();
  }
}

export function addConnectCommand(program: Command): void {
  withClientOptions(program.command("connect <resource>"))
    .description("connect standard input and output to a resource; survives the loss of entries and relays")
    .addHelpText(
      "after",
      "\nExamples:\n  weft connect echo --identity ./laptop --entry 127.0.0.1:7444 --entry 127.0.0.1:7445\n  ssh -o ProxyCommand='weft connect ssh-prod' user@prod",
    )
    .action(clientAction(connectTo, { json: false }));
}
