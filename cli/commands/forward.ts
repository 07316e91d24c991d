/** `weft forward LOCAL:RESOURCE`: local TCP ports that lead to resources, until it is interrupted. */

import type { Command } from "commander";
import { isRefusal } from "../../client/client-error.ts";
import type { Client } from "../../client/connect.ts";
import type { Forward } from "../../client/forward.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { hostPortText } from "../arguments.ts";
import { type ClientOptions, clientAction, clientOf, leaseOf, withClientOptions } from "../client-session.ts";
import { print, safeText } from "../output.ts";

interface Wanted {
  readonly host?: string;
  readonly port: number;
  readonly resource: string;
}

/** `8080:web`, `127.0.0.1:8080:web`, `[::1]:8080:web`. Port 0: any free one. */
export function forwardOf(text: string): Wanted {
  const match = /^(?:(?:\[([0-9a-fA-F:]+)\]|([^:\s[\]]+)):)?(\d{1,5}):([a-z0-9-]{1,63})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    const message = `"${text}" is no forward; write PORT:RESOURCE or HOST:PORT:RESOURCE`;
    throw new WeftError("invalid_argument", message, { detail: "CLI_FORWARD" });
  }
  const host = match[1] ?? match[2];
  return { port, resource: match[4] ?? "", ...(host === undefined ? {} : { host }) };
}

/** Resolves at the first SIGINT or SIGTERM. */
function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    const onSignal = (): void => {
      process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
      resolve();
    };
    process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  });
}

function told(error: unknown): string {
  const detail = error instanceof WeftError ? ` [${error.detail}]` : "";
  const id = error instanceof WeftError ? error.metadata["correlationId"] : undefined;
  return `${safeText(messageOf(error))}${detail}${id === undefined ? "" : ` (${id})`}`;
}

/**
 * A name that leads nowhere is told now, not to whoever connects.
 * @throws WeftError when this client may not have the resource, or there is none.
 */
async function check(client: Client, resource: string, lease: (() => Uint8Array) | undefined): Promise<void> {
  try {
    await client.check(resource, lease === undefined ? {} : { lease: lease() });
  } catch (thrown) {
    if (isRefusal(thrown))
      throw new WeftError(thrown.reason, `${resource}: ${thrown.message}`, { detail: thrown.detail });
    // Nobody said no: what is away now may be back before anybody connects.
    process.stderr.write(`weft: ${resource}: could not be asked for yet: ${told(thrown)}\n`);
  }
}

async function forwardAll(options: ClientOptions, texts: string[]): Promise<void> {
  const wanted = texts.map(forwardOf);
  const lease = leaseOf(options);
  // A file that cannot be read is told before anything listens.
  lease?.();
  const client = await clientOf(options);
  const asked = interrupted();
  // Nothing else keeps the process alive while no connection is carried.
  const alive = setInterval(() => {}, 60_000);
  try {
    // Before anybody can connect: a port that leads nowhere is not bound.
    await Promise.all(
      [...new Set(wanted.map(({ resource }) => resource))].map((resource) => check(client, resource, lease)),
    );
    const forwards: (Forward & { readonly resource: string })[] = [];
    for (const each of wanted) {
      const { resource } = each;
      const onFailed = (error: unknown): void =>
        void process.stderr.write(`weft: ${resource}: a connection was not carried: ${told(error)}\n`);
      const about = {
        ...(options.class === undefined ? {} : { class: options.class }),
        ...(lease === undefined ? {} : { lease }),
      };
      forwards.push({ ...(await client.forward({ ...each, ...about, onFailed })), resource });
    }
    const listening = forwards.map((forward) => ({ resource: forward.resource, address: hostPortText(forward) }));
    print(options, { ok: true, forwards: listening }, () =>
      listening.map(({ resource, address }) => `${address} leads to ${resource}`).join("\n"),
    );
    await asked;
  } finally {
    clearInterval(alive);
    await client.close();
  }
}

export function addForwardCommand(program: Command): void {
  withClientOptions(program.command("forward <local:resource...>"))
    .description("local TCP ports that lead to resources; loopback unless a host is given; until Ctrl-C")
    .addHelpText(
      "after",
      "\nExamples:\n  weft forward 8080:web --identity ./laptop --entry 127.0.0.1:7444 --entry 127.0.0.1:7445\n  weft forward 127.0.0.1:0:web --json",
    )
    .action(clientAction(forwardAll, { json: true }));
}
