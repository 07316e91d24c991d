/** What `connect` and `forward` share: the client their options describe, and how their failures are told. */

import type { Command } from "commander";
import { Option } from "commander";
import { readSecretFile } from "../certs/secret-file.ts";
import type { Client, ClientEvent } from "../client/connect.ts";
import { leaseOfText } from "../client/lease.ts";
import type { OpenOptions } from "../client/open-options.ts";
import { WeftError } from "../lib/errors.ts";
import { type HostPort, hostPorts, hostPortText } from "./arguments.ts";
import { chosenContext } from "./contexts.ts";
import { type Hints, report } from "./output.ts";
import type { GlobalOptions } from "./session.ts";

export interface ClientOptions extends GlobalOptions {
  readonly identity?: string;
  readonly entry?: readonly HostPort[];
  readonly class?: NonNullable<OpenOptions["class"]>;
  readonly lease?: string;
  readonly verbose?: boolean;
}

/** What to do next, as a client: control is nobody a client ever talks to. */
const hints: Hints = {
  unavailable: "is an entry running, and are the addresses right? (--entry)",
  deadline_exceeded: "the target did not answer in time; try again",
  permission_denied:
    "this client may not use that, it needs a lease that holds (--lease), or its certificate has expired or been revoked",
  unauthenticated: "the other end is not who it should be: is the client identity of this cluster? (--identity)",
};

/** The options of every command that acts as a client. */
export function withClientOptions(command: Command): Command {
  return command
    .option(
      "--identity <dir>",
      "client folder of `weft identity add client` (default: WEFT_IDENTITY, else the context's)",
    )
    .option("--entry <host:port>", "an entry's public port; repeat it, so that losing one is survived", hostPorts)
    .addOption(
      new Option("--class <class>", "what the bytes are like (default: what the resource says)").choices([
        "interactive",
        "bulk",
      ]),
    )
    .option("--lease <file>", "lease to show, from `weft service-lease issue --out`; read again for each connection")
    .option("--verbose", "say on standard error when a connection moves to another path");
}

/** The lease of the options, read when it is asked for; undefined without one. Reading throws as secret files do. */
export function leaseOf({ lease }: ClientOptions): (() => Uint8Array) | undefined {
  return lease === undefined ? undefined : () => leaseOfText(readSecretFile(lease));
}

/** @throws WeftError invalid_argument (CLI_IDENTITY_MISSING). */
function identityFolder(options: ClientOptions): string {
  const folder =
    options.identity ?? (process.env.WEFT_IDENTITY || undefined) ?? chosenContext(options.context).identity;
  if (folder !== undefined) return folder;
  const message =
    "name a client folder with --identity DIR, WEFT_IDENTITY or a context that has one; `weft identity add client` makes one";
  throw new WeftError("invalid_argument", message, { detail: "CLI_IDENTITY_MISSING" });
}

/** What the client's folder calls an entry or a pool; an id it does not know stays as it is. Throws as `clientOf` does. */
export async function clientNames(options: ClientOptions): Promise<(id: string) => string> {
  const { readClientFolder } = await import("../client/identity.ts");
  const names = new Map(Object.entries(readClientFolder(identityFolder(options)).names));
  return (id) => names.get(id) ?? id;
}

/**
 * The client the options describe. Throws WeftError when the identity or every entry is missing. A whole edge is loaded for
 * it, which no other command has to wait for.
 */
export async function clientOf(options: ClientOptions, onEvent: (event: ClientEvent) => void = heard): Promise<Client> {
  const identity = identityFolder(options);
  const { entry } = options;
  const { connect } = await import("../client/connect.ts");
  return connect({
    identity,
    ...(entry === undefined ? {} : { entries: entry.map(hostPortText) }),
    onEvent: (event) => {
      onEvent(event);
      if (options.verbose === true) tell(event);
    },
  });
}

function heard(): void {}

function tell(event: ClientEvent): void {
  process.stderr.write(`weft: ${sentenceOf(event)}\n`);
}

function sentenceOf(event: ClientEvent): string {
  switch (event.kind) {
    case "opened":
      return `${event.resource}: connected`;
    case "closed":
    case "lost":
      return `${event.resource}: over (${event.cause})`;
    case "moved": {
      const { resource, fromEntry, toEntry, cause, gapMs, replayedBytes, moves } = event;
      const way = fromEntry === toEntry ? `another path over ${toEntry}` : `${fromEntry || "nothing"} to ${toEntry}`;
      return `${resource}: moved, ${way} (${cause}, ${Math.round(gapMs)} ms, ${replayedBytes} bytes again${moves === 1 ? "" : `, ${moves} moves`})`;
    }
  }
}

/** Runs a client command: failures are told as a client's and become the exit code. `json`: standard output is free for it. */
export function clientAction<Arguments extends unknown[]>(
  work: (options: ClientOptions, ...rest: Arguments) => Promise<void>,
  { json }: { readonly json: boolean },
) {
  return async (...all: unknown[]): Promise<void> => {
    const command = all.at(-1) as Command;
    const options = command.optsWithGlobals() as ClientOptions;
    try {
      await work(options, ...(all.slice(0, -2) as Arguments));
    } catch (thrown) {
      process.exitCode = report(thrown, json ? options : {}, hints);
    }
  };
}
