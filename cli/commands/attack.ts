/** `weft attack`: what HTTP/2, TLS and first bytes can do to a server, tried on one's own, within bounds, and judged. */

import type { Command } from "commander";
import type { AttackClass } from "../../conformance/attack/attack-class.ts";
import { attackFabric } from "../../conformance/attack/attack-fabric.ts";
import { classesFor } from "../../conformance/attack/attack-plan.ts";
import { type AttackReport, attackReport, attackTable, verdictLine } from "../../conformance/attack/attack-report.ts";
import { attackClass, attackClasses } from "../../conformance/attack/classes.ts";
import { speaksHttp2 } from "../../conformance/attack/http2-spoken.ts";
import type { AttackBounds } from "../../conformance/attack/range.ts";
import { type StrikeOptions, strike } from "../../conformance/attack/run-attack.ts";
import {
  type AttackTarget,
  type Credentials,
  type Endpoint,
  requireOwnTarget,
} from "../../conformance/attack/target.ts";
import type { ClassVerdict } from "../../conformance/attack/verdict.ts";
import { WeftError } from "../../lib/errors.ts";
import { loadOperatorContext } from "../../rpc/operator-context.ts";
import { type HostPort, hostPort, hostPortText, wholeNumber } from "../arguments.ts";
import { chosenContext } from "../contexts.ts";
import { abortOnSignals } from "../interrupts.ts";
import { exitCodes, print, safeLines, table } from "../output.ts";
import { action, type GlobalOptions } from "../session.ts";

interface AttackCommandOptions extends GlobalOptions {
  readonly target?: HostPort;
  readonly fabric?: boolean;
  readonly list?: boolean;
  readonly class?: readonly AttackClass[];
  readonly seconds: number;
  readonly serverName?: string;
  readonly identity?: string;
  readonly nodeState?: string;
  readonly pid?: number;
  readonly connections: number;
  readonly connectionsPerSecond: number;
  readonly unitsPerSecond: number;
  readonly bytes: number;
  readonly iOwnThisTarget?: boolean;
}

const secondsMax = 3_600;
const quietShare = 0.1;
const quietMinMs = 400;
const quietMaxMs = 3_000;

function say(line: string): void {
  process.stderr.write(`weft: ${safeLines(line)}\n`);
}

/** How it is attacked, whatever it is. */
function strikeOf(options: AttackCommandOptions): StrikeOptions {
  const bounds: AttackBounds = {
    seconds: options.seconds,
    connectionsMaxCount: options.connections,
    connectionsPerSecond: options.connectionsPerSecond,
    unitsPerSecond: options.unitsPerSecond,
    bytesMax: options.bytes,
  };
  const quietMs = Math.min(quietMaxMs, Math.max(quietMinMs, options.seconds * 1_000 * quietShare));
  return { bounds, quietMs, onVerdict: (verdict) => say(verdictLine(verdict)) };
}

function credentialsOf(options: AttackCommandOptions, target: HostPort): Credentials {
  const { identity, nodeState, context } = options;
  const given = [identity, nodeState, context].filter((folder) => folder !== undefined);
  if (given.length > 1)
    throw new WeftError("invalid_argument", "--context, --identity and --node-state are three callers; give one", {
      detail: "ATTACK_USAGE",
    });
  if (identity !== undefined) return { kind: "client", dir: identity };
  if (nodeState !== undefined) return { kind: "node", dir: nodeState, port: "control" };
  if (context === undefined) return { kind: "stranger" };
  const { dir, operatorAddress, replicas = [] } = loadOperatorContext(chosenContext(context).folder);
  const controls = [operatorAddress, ...replicas.map((replica) => replica.operatorAddress)];
  return { kind: "operator", dir, port: controls.includes(hostPortText(target)) ? "control" : "node" };
}

/** The port as a stranger meets it and, with an identity, as its owner does. */
async function targetsOf(options: AttackCommandOptions, target: HostPort): Promise<AttackTarget[]> {
  const credentials = credentialsOf(options, target);
  const named = options.serverName === undefined ? {} : { serverName: options.serverName };
  const of = async (as: Credentials): Promise<AttackTarget> => {
    const endpoint: Endpoint = { ...target, ...named, credentials: as };
    const known: Endpoint = { ...target, ...named, credentials };
    return {
      name: hostPortText(target),
      endpoint,
      healthy: credentials.kind === "stranger" ? { kind: "knock", endpoint } : { kind: "rpc", endpoint: known },
      speaksHttp2: await speaksHttp2(endpoint),
      ...(options.pid === undefined ? {} : { pid: options.pid }),
    };
  };
  const stranger = await of({ kind: "stranger" });
  if (credentials.kind === "stranger") return [stranger];
  const known = await of(credentials);
  if (!known.speaksHttp2)
    throw new WeftError("unauthenticated", `${known.name} does not take this identity`, { detail: "ATTACK_IDENTITY" });
  return [stranger, known];
}

async function attackTarget(
  options: AttackCommandOptions,
  target: HostPort,
  signal: AbortSignal,
): Promise<ClassVerdict[]> {
  requireOwnTarget(target, options.iOwnThisTarget === true);
  const sorties = (await targetsOf(options, target)).map((one) => ({
    target: one,
    classes: classesFor(one, options.class ?? attackClasses),
  }));
  return await strike(sorties, { ...strikeOf(options), signal });
}

/** Runs `work` until it ends or is interrupted; what it has by then is reported, and nothing is left of it. */
async function interruptible(work: (signal: AbortSignal) => Promise<ClassVerdict[]>): Promise<AttackReport> {
  const { signal, off } = abortOnSignals("stopping", "ATTACK_INTERRUPTED");
  try {
    return attackReport(await work(signal), signal.aborted);
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    return attackReport([], true);
  } finally {
    off();
  }
}

function listClasses(options: AttackCommandOptions): void {
  const rows = attackClasses.map(({ id, layer, title, seen }) => [id, layer, title, seen]);
  const classes = attackClasses.map(({ id, layer, title, seen }) => ({ id, layer, title, seen }));
  print(options, { classes }, () => table(["CLASS", "LAYER", "WHAT", "SEEN"], rows));
}

async function attack(options: AttackCommandOptions): Promise<void> {
  if (options.list === true) return listClasses(options);
  const { target, fabric } = options;
  if ((target === undefined) === (fabric !== true))
    throw new WeftError(
      "invalid_argument",
      "name what is attacked: --target HOST:PORT, or --fabric for one of its own",
      {
        detail: "ATTACK_USAGE",
      },
    );
  const report = await interruptible((signal) =>
    target === undefined
      ? attackFabric({
          ...strikeOf(options),
          ...(options.class === undefined ? {} : { classes: options.class }),
          signal,
          onProgress: say,
        })
      : attackTarget(options, target, signal),
  );
  if (report.interrupted) process.exitCode = exitCodes.interrupted;
  else if (!report.ok) process.exitCode = exitCodes.failure;
  print(options, report, () => attackTable(report));
}

export function addAttackCommand(program: Command): void {
  program
    .command("attack")
    .description("try classes of HTTP/2, TLS and first-bytes abuse on a port of one's own, within bounds, and judge")
    .option(
      "--target <host:port>",
      "the port; only of this machine's loopback, unless it is said to be one's own",
      hostPort,
    )
    .option("--fabric", "bring up a fabric and attack every port of it")
    .option("--list", "say which classes there are")
    .option("--class <ids>", "only these, with commas between them", (text) => text.split(",").map(attackClass))
    .option("--seconds <count>", "how long each class is tried", wholeNumber(secondsMax), 10)
    .option("--server-name <name>", "name to ask for in TLS, such as join.default.weft.internal")
    .option("--identity <dir>", "client folder: attack as that client too")
    .option("--node-state <dir>", "state folder of a node: attack control as that node too")
    .option("--pid <pid>", "process behind the port, when it runs here", wholeNumber())
    .option("--connections <count>", "at once, at most", wholeNumber(1_024), 64)
    .option("--connections-per-second <count>", "new ones, at most", wholeNumber(2_000), 200)
    .option("--units-per-second <count>", "frames or hellos, at most", wholeNumber(100_000), 20_000)
    .option("--bytes <count>", "of one class, at most", wholeNumber(), 512 * 1_024 * 1_024)
    .option("--i-own-this-target", "attack a target that is not this machine: its owner has agreed")
    .addHelpText(
      "after",
      "\nWith --context DIR it attacks as that operator too. Exit code 1 when a class was not withstood.\n\nExamples:\n  weft attack --list\n  weft attack --fabric --seconds 60 --json\n  weft attack --target 127.0.0.1:7443 --server-name join.default.weft.internal --class rapid-reset,ping-flood",
    )
    .action(action(attack));
}
