/**
 * Waiting until every node has signed that it applied a revocation: `--wait` of whatever revokes. What is revoked is
 * revoked without it; this tells of whom that is proved, and names the others.
 */

import type { Command } from "commander";
import { CertificateService, type FeedReceiptState } from "../gen/weft/admin/v1/certificate_pb.ts";
import type { FeedPosition } from "../gen/weft/fabric/v1/feed_pb.ts";
import { NodeHealth } from "../gen/weft/fabric/v1/role_pb.ts";
import { sleep, systemClock } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";
import { durationMs } from "./arguments.ts";
import { enumName, exitCodes, type OutputOptions, table } from "./output.ts";
import type { Session } from "./session.ts";

const askEveryMs = 200;
const waitDefaultMs = 30_000;

export interface WaitOptions extends OutputOptions {
  readonly wait?: boolean;
  readonly timeout?: number;
}

/** Where a revocation has to arrive; what an answer says of it, whatever its type. */
type Place = Pick<FeedPosition, "clusterId" | "epoch" | "seq">;

/** A node that did not say so in time. */
export interface Straggler {
  readonly nodeId: string;
  readonly name: string;
  readonly clusterId: string;
  /** By control's clock; absent: it never beat. */
  readonly beatAgeMs?: bigint;
  readonly health: string;
  /** What its newest receipt says; 0.0: it gave none. */
  readonly holds: string;
}

export interface WaitOutcome {
  readonly nodes: number;
  readonly applied: number;
  readonly waitedMs: number;
  readonly stragglers: readonly Straggler[];
}

/** Gives a command that revokes `--wait` and `--timeout`. */
export function addWaitOptions(command: Command): Command {
  return command
    .option("--wait", "wait until every node has signed that it applied it; name those that did not")
    .option("--timeout <duration>", "how long to wait: 10s, 2m (default: 30s)", durationMs);
}

function stragglerOf(clusterId: string, state: FeedReceiptState): Straggler {
  return {
    nodeId: state.nodeId,
    name: state.nodeName,
    clusterId,
    ...(state.beatAgeMs === undefined ? {} : { beatAgeMs: state.beatAgeMs }),
    health: enumName(NodeHealth, state.health),
    holds: `${state.feedEpoch}.${state.feedSeq}`,
  };
}

/** How far everybody is now. */
async function look(session: Session, places: readonly Place[]): Promise<Omit<WaitOutcome, "waitedMs">> {
  const stragglers: Straggler[] = [];
  let nodes = 0;
  for (const { clusterId, epoch, seq } of places) {
    const asked = { clusterId, feedEpoch: epoch, feedSeq: seq };
    const answer = await session.client(CertificateService).listFeedReceipts(asked, { timeoutMs: 5_000 });
    nodes += answer.nodes.length;
    for (const state of answer.nodes) if (!state.applied) stragglers.push(stragglerOf(clusterId, state));
  }
  return { nodes, applied: nodes - stragglers.length, stragglers };
}

/**
 * Waits as the options say; undefined: they do not ask for it. Progress goes to standard error. Nodes that did not say so in
 * time are the outcome, and make the exit code that of something unavailable.
 */
export async function waitForFeeds(
  session: Session,
  options: WaitOptions,
  places: readonly Place[],
): Promise<WaitOutcome | undefined> {
  if (options.wait !== true) return undefined;
  const startedMs = systemClock.monoMs();
  const endMs = startedMs + (options.timeout ?? waitDefaultMs);
  let told = "";
  for (;;) {
    const seen = await look(session, places).catch((thrown: unknown) => {
      // Control may be away for a moment; that it revoked is known.
      if (thrown instanceof WeftError && thrown.reason === "unavailable" && systemClock.monoMs() < endMs)
        return undefined;
      throw thrown;
    });
    if (seen !== undefined) {
      const now = `applied by ${seen.applied} of ${seen.nodes} nodes`;
      if (now !== told && options.json !== true) process.stderr.write(`${now}\n`);
      told = now;
      const over = systemClock.monoMs() >= endMs;
      if (seen.stragglers.length > 0 && over) process.exitCode = exitCodes.unavailable;
      if (seen.stragglers.length === 0 || over)
        return { ...seen, waitedMs: Math.round(systemClock.monoMs() - startedMs) };
    }
    await sleep(systemClock, Math.min(askEveryMs, Math.max(1, endMs - systemClock.monoMs())));
  }
}

function agoText(ms: bigint | undefined): string {
  return ms === undefined ? "never" : `${(Number(ms) / 1_000).toFixed(1)} s ago`;
}

/** The outcome for people: a line, and the stragglers if there are any. Empty when nobody waited. */
export function waitText(outcome: WaitOutcome | undefined): string {
  if (outcome === undefined) return "";
  const { applied, nodes, waitedMs, stragglers } = outcome;
  const seconds = (waitedMs / 1_000).toFixed(1);
  if (stragglers.length === 0) return `\nall ${nodes} nodes have signed that they applied it, after ${seconds} s`;
  const rows = stragglers.map((row) => [row.name, row.health, agoText(row.beatAgeMs), row.holds]);
  const text = table(["STRAGGLER", "HEALTH", "LAST BEAT", "HOLDS FEED"], rows);
  return `\n${applied} of ${nodes} nodes applied it in ${seconds} s; these have not said so:\n${text}\nit stays revoked, and reaches them as soon as they hear control or a neighbour that knows it`;
}
