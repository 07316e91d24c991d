/** `weft join`: becoming a node. The key is made here and stays here; only a CSR travels (LAW-I1). */

import { readFileSync } from "node:fs";
import { hostname, platform, release } from "node:os";
import type { Command } from "commander";
import { parseJoinToken } from "../../certs/join-token.ts";
import { systemClock } from "../../lib/clock.ts";
import { isLoopbackHost } from "../../lib/config.ts";
import { errnoOf, WeftError } from "../../lib/errors.ts";
import { type HostPort, hostPorts, hostPortText } from "../arguments.ts";
import { print } from "../output.ts";
import { rolesOf } from "../role-names.ts";
import { action, type GlobalOptions } from "../session.ts";

/** The join token, from a file or standard input; never from the command line (LAW-I2). */
function readToken(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8").trim();
  } catch (cause) {
    throw new WeftError("invalid_argument", `the token file ${file} cannot be read (${errnoOf(cause)})`, {
      detail: "CLI_TOKEN_FILE",
      cause,
    });
  }
}

interface JoinOptions extends GlobalOptions {
  readonly control?: HostPort[];
  readonly tokenFile?: string;
  readonly state?: string;
  readonly name?: string;
  readonly roles?: string;
  readonly address?: HostPort[];
  readonly dialOutOnly?: boolean;
  readonly region?: string;
}

/** What runs the node that these options made. */
function runCommand({ control = [], state = "", address = [], dialOutOnly }: JoinOptions): string {
  const words = ["weft node run --state-dir", state, "--control", control.map(hostPortText).join(",")];
  const [first] = address;
  if (dialOutOnly === true) words.push("--dial-out-only");
  else if (first !== undefined && isLoopbackHost(first.host)) words.push("--public-port", String(first.port));
  else words.push("--public-host 0.0.0.0 --public-port", String(first?.port ?? 0));
  return words.join(" ");
}

async function join(options: JoinOptions): Promise<void> {
  const dialOutOnly = options.dialOutOnly === true;
  const addresses = options.address ?? [];
  if (!dialOutOnly && addresses.length === 0) {
    throw new WeftError(
      "invalid_argument",
      "say where other nodes dial this one with --address host:port, or --dial-out-only",
      { detail: "CLI_ADDRESS_MISSING" },
    );
  }
  const { defaultCapabilities, joinCluster } = await import("../../node/join.ts");
  const token = readToken(options.tokenFile ?? "-");
  const slug = parseJoinToken(token)?.clusterSlug;
  if (slug === undefined)
    throw new WeftError("invalid_argument", `${options.tokenFile} does not hold a join token`, {
      detail: "JOIN_TOKEN",
    });
  const interrupt = new AbortController();
  const onSignal = (): void => interrupt.abort();
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  try {
    const stored = await joinCluster(
      {
        stateDir: options.state ?? "",
        control: options.control ?? [],
        clock: systemClock,
        onPending: ({ requestId, keyFingerprint }) =>
          process.stderr.write(
            `request ${requestId} is pending\nkey fingerprint: ${keyFingerprint}\nan operator approves it with: weft --cluster ${slug} request approve ${requestId} --fingerprint "${keyFingerprint}"\n`,
          ),
      },
      token,
      {
        name:
          options.name ??
          hostname()
            .toLowerCase()
            .replace(/[^a-z0-9-]/g, "-"),
        roles: options.roles === undefined ? [] : rolesOf(options.roles),
        capabilities: defaultCapabilities(dialOutOnly),
        addresses: dialOutOnly ? [] : addresses,
        dialOutOnly,
        region: options.region ?? "",
        facts: { hostname: hostname(), platform: platform(), kernel: release(), node: process.version },
      },
      interrupt.signal,
    );
    const { nodeId, name, clusterSlug } = stored.identity;
    print(
      options,
      { nodeId, name, cluster: clusterSlug, state: options.state },
      () => `joined cluster ${clusterSlug} as ${name} (${nodeId}); run it with: ${runCommand(options)}`,
    );
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}

export function addJoinCommand(program: Command): void {
  program
    .command("join")
    .description("make this host a node: sends a request under a join token and waits for approval")
    .requiredOption("--control <host:port>", "control's public address; repeat for replicas", hostPorts)
    .requiredOption("--token-file <file>", "file holding the join token; - reads standard input")
    .requiredOption("--state <dir>", "folder for this membership's identity")
    .option("--name <name>", "name to ask for (default: the host's)")
    .option("--roles <roles>", "roles to ask for, comma-separated")
    .option("--address <host:port>", "where other nodes dial this one; repeat for several", hostPorts)
    .option("--dial-out-only", "no inbound port: links are kept from inside")
    .option("--region <region>", "region")
    .addHelpText(
      "after",
      "\nExample:\n  weft join --control control.example:7400 --token-file relay.token --state /var/lib/weft/default --roles relay --address relay1.example:7444",
    )
    .action(action(join));
}
