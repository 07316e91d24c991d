/** The node process: configuration, signals, the ready line. `weft node run` and `weft up` end up here. */

import { readFileSync } from "node:fs";
import { hostname, platform, release } from "node:os";
import { pathToFileURL } from "node:url";
import { NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import { Backoff, linkBackoff } from "../lib/backoff.ts";
import { sleep, systemClock } from "../lib/clock.ts";
import { ConfigError } from "../lib/config-error.ts";
import { EXIT_CONFIG, unsafeStart } from "../lib/env.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { openLog } from "../lib/log.ts";
import { whenParentGoes } from "../lib/parent.ts";
import { shuffled, systemRandom } from "../lib/random.ts";
import packageFacts from "../package.json" with { type: "json" };
import { defaultCapabilities } from "./capabilities.ts";
import { loadNodeConfig, type NodeConfig } from "./config.ts";
import { loadIdentity } from "./identity-store.ts";
import { joinCluster } from "./join.ts";
import { type NodeHandle, startNode } from "./main.ts";

/** Resolves at the first SIGINT or SIGTERM, or when its parent goes; a second one ends the process at once. */
function untilAsked(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = (): void => {
      if (asked) process.exit(130);
      asked = true;
      resolve();
    };
    process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
    if (process.env["WEFT_PARENT"] === "stdin") whenParentGoes(process.stdin, onSignal);
  });
}

/**
 * Joins when the state folder is empty and the configuration says how; says on standard output what it waits for and what an
 * operator must approve. A control that is not there yet is waited for, in short attempts.
 */
async function joinIfNew(config: NodeConfig, signal: AbortSignal): Promise<void> {
  if (config.join === undefined || loadIdentity(config.stateDir) !== undefined) return;
  const backoff = new Backoff(linkBackoff, systemRandom);
  const deadlineMs = systemClock.monoMs() + limits.joinStartWithinMs;
  for (let told = ""; ; ) {
    try {
      return await join(config, config.join, signal);
    } catch (thrown) {
      const waitMs = backoff.nextMs();
      const isSilent = thrown instanceof WeftError && silences.has(thrown.reason);
      if (!isSilent || signal.aborted || systemClock.monoMs() + waitMs > deadlineMs) throw thrown;
      const error = messageOf(thrown);
      if (error !== told) process.stdout.write(`${JSON.stringify({ waiting: "control", error })}\n`);
      told = error;
      await sleep(systemClock, waitMs, signal);
    }
  }
}

/** Nobody has said no. */
const silences: ReadonlySet<string> = new Set(["unavailable", "deadline_exceeded"]);

async function join(
  config: NodeConfig,
  wish: Exclude<NodeConfig["join"], undefined>,
  signal: AbortSignal,
): Promise<void> {
  const roleByName = { entry: NodeRole.ENTRY, relay: NodeRole.RELAY, egress: NodeRole.EGRESS } as const;
  await joinCluster(
    {
      stateDir: config.stateDir,
      control: config.control,
      clock: systemClock,
      onPending: (pending) => process.stdout.write(`${JSON.stringify({ pending: true, ...pending })}\n`),
    },
    readFileSync(wish.tokenFile, "utf8"),
    {
      name: wish.name,
      roles: wish.roles.map((name) => roleByName[name]),
      capabilities: defaultCapabilities(config.dialOutOnly),
      addresses: wish.addresses,
      dialOutOnly: config.dialOutOnly,
      region: config.region,
      facts: { hostname: hostname(), platform: platform(), kernel: release(), node: process.version },
    },
    signal,
  );
}

/**
 * Runs a node until it is asked to stop: drain, grace, force. Prints one JSON line on standard output once it is ready.
 * @throws ConfigError or WeftError when it cannot start.
 */
export async function runNodeProcess(flags: Readonly<Record<string, unknown>>): Promise<void> {
  const { config: file, ...values } = flags;
  const asGiven = loadNodeConfig({ env: process.env, flags: values, ...(typeof file === "string" ? { file } : {}) });
  // Each node prefers another replica, and stays with it: together they ask all of them.
  const config = { ...asGiven, control: shuffled(systemRandom, asGiven.control) };
  const problems = config.dev ? [] : unsafeStart({ env: process.env, execArgv: process.execArgv });
  if (problems.length > 0) throw new ConfigError(problems);
  const log = openLog({ level: config.logLevel, process: "node" });
  const stopping = new AbortController();
  const asked = untilAsked().then(() => stopping.abort());
  let node: NodeHandle | undefined;
  try {
    await joinIfNew(config, stopping.signal);
    node = await startNode(config, {
      log,
      pid: process.pid,
      version: packageFacts.version,
      rssPeakBytes: () => process.resourceUsage().maxRSS * 1024,
    });
    const { nodeId, name, publicAddress, operatorAddress, metricsAddress } = node;
    const metrics = metricsAddress === "" ? {} : { metrics: metricsAddress };
    const ready = { ready: true, nodeId, name, public: publicAddress, operator: operatorAddress, ...metrics };
    process.stdout.write(`${JSON.stringify(ready)}\n`);
    await asked;
    const force = setTimeout(() => process.exit(1), limits.drainGraceMs * 2);
    force.unref();
    await node.drain(limits.drainGraceMs);
  } finally {
    await node?.[Symbol.asyncDispose]();
  }
}

/** Flags as `--some-flag value` or `--some-flag` for true; `weft node run` offers the same with help. */
function flagsOf(argv: readonly string[]): Record<string, unknown> {
  const flags: Record<string, unknown> = {};
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? "";
    if (!word.startsWith("--")) continue;
    const key = word.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const next = argv[at + 1];
    if (next === undefined || next.startsWith("--")) flags[key] = true;
    else {
      flags[key] = next;
      at += 1;
    }
  }
  return flags;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  runNodeProcess(flagsOf(process.argv.slice(2))).catch((thrown: unknown) => {
    process.stderr.write(`weft: ${messageOf(thrown)}\n`);
    process.exitCode = thrown instanceof ConfigError ? EXIT_CONFIG : 1;
  });
}
