/**
 * `npm run bench -- revocation`: how long a revoked identity goes on, at the replica that was told, at every node, at a node
 * that cannot reach control but has one link, and how long anything goes on at nodes that hear nobody under fail-closed.
 */

import { Code, ConnectError } from "@connectrpc/connect";
import { messageOf } from "../lib/errors.ts";
import { eventually } from "../tests/harness/eventually.ts";
import { Gate } from "../tests/harness/gate.ts";
import { benchOptions, numberOption, readCommandLine } from "./load/options.ts";
import { say } from "./load/progress.ts";
import { exitOnSignals } from "./load/signals.ts";
import { type NodeHandle, Standing } from "./load/standing.ts";
import { quantile, round } from "./load/statistics.ts";
import { measureFailClosed } from "./revocation/deaf.ts";
import { makeVictim } from "./revocation/victim.ts";

const usage = `usage: npm run bench -- revocation [--samples 30] [--blocked-samples 12] [--connections 5] [--json]
  --samples          operators revoked, each with sessions at control and at every node (default 20)
  --blocked-samples  the same, at a node whose way to control is cut and which has one link that works (default 8)
  --connections      open at each listener when control stands still under fail-closed (default 5)
A fabric of seven nodes. Times are from the moment the revocation is asked for until calls are refused and the open stream has
ended. One JSON object goes to standard output, everything else to standard error.`;

/** The node whose way to control can be cut. */
const blockedName = "egress-2";

interface Options {
  readonly samples: number;
  readonly blockedSamples: number;
  readonly connections: number;
}

function optionsOf(args: readonly string[]): Options | undefined {
  const values = benchOptions(args, { samples: "20", "blocked-samples": "8", connections: "5" });
  if (values === undefined) return undefined;
  const count = (name: keyof typeof values): number => numberOption(`--${name}`, values[name], { min: 1, whole: true });
  return { samples: count("samples"), blockedSamples: count("blocked-samples"), connections: count("connections") };
}

interface Figures {
  readonly localMs: readonly number[];
  readonly nodesMs: readonly number[];
}

/** Revokes one operator after the other; each is at control and at `nodes` while that happens. */
async function measure(
  standing: Standing,
  nodes: readonly NodeHandle[],
  samples: number,
  as: string,
): Promise<Figures> {
  const localMs: number[] = [];
  const nodesMs: number[] = [];
  await standing.fabric.withSession(async (session) => {
    for (let sample = 0; sample < samples; sample += 1) {
      const victim = await makeVictim(session, standing, nodes, `${as}-${sample}`);
      try {
        const watched = [victim.refusedAtControl(), ...nodes.map((node) => victim.refusedAt(node))];
        const [askedMs, localAtMs = 0, ...atMs] = await Promise.all([victim.revoke(), ...watched]);
        localMs.push(localAtMs - askedMs);
        nodesMs.push(...atMs.map((each) => each - askedMs));
      } finally {
        victim.close();
      }
    }
  });
  return { localMs, nodesMs };
}

const p99 = (values: readonly number[]): { p99: number } => ({ p99: round(quantile(values, 0.99)) });

function tell(what: string, values: readonly number[]): void {
  const at = (share: number): string => `${round(quantile(values, share))} ms`;
  say(`${what}: ${values.length} samples, median ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1)}`);
}

/** Freezes everybody but the blocked node and one relay it has a link to. */
async function withOneLink<T>(standing: Standing, gate: Gate, work: (node: NodeHandle) => Promise<T>): Promise<T> {
  const blocked = standing.node(blockedName);
  const peer = await eventually(
    async () => {
      const { links } = await blocked.client.getStatus({});
      return links.find(({ state, peerName }) => state === "up" && peerName.startsWith("relay-"))?.peerName;
    },
    { withinMs: 20_000, everyMs: 100, what: `a link of ${blockedName}` },
  );
  const others = standing.nodes.filter(({ name }) => name !== blockedName && name !== peer);
  gate.close();
  for (const { child } of others) process.kill(child.pid, "SIGSTOP");
  say(`${blockedName} cannot reach control, and of its neighbours only ${peer} is awake`);
  try {
    return await work(blocked);
  } finally {
    for (const { child } of others) process.kill(child.pid, "SIGCONT");
    gate.open();
  }
}

async function run(options: Options): Promise<object> {
  const undo: (() => void | Promise<void>)[] = [];
  try {
    let gate: Gate | undefined;
    const standing = await Standing.start({
      onProgress: say,
      placeOf: async ({ name }, plan) => {
        if (name !== blockedName) return {};
        gate = await Gate.listen("127.0.0.1", plan.control.publicPort);
        undo.push(gate.stop.bind(gate));
        return { control: `${gate.host}:${gate.port}` };
      },
    });
    undo.push(() => standing.stop());
    if (gate === undefined) throw new Error(`there is no ${blockedName}`);
    const all = await measure(standing, standing.nodes, options.samples, "fleet");
    tell("refused at the replica told", all.localMs);
    tell("effective at a node", all.nodesMs);
    const blocked = await withOneLink(standing, gate, (node) =>
      measure(standing, [node], options.blockedSamples, "blocked"),
    );
    tell("effective at a node with control blocked and one link", blocked.nodesMs);
    const closed = await measureFailClosed(standing, options.connections);
    tell("stopped under fail-closed, after control stood still", closed);
    return {
      nodes: standing.nodes.length,
      local_ms: p99([...all.localMs, ...blocked.localMs]),
      fleet_ms: p99(all.nodesMs),
      control_blocked_ms: p99(blocked.nodesMs),
      fail_closed_ms: p99(closed),
    };
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

const options = readCommandLine(usage, optionsOf);
/** connect-node lets go of a session it is about to replace, and nobody is left to hear that a server has ended it. */
function forgiveEndedSessions(): void {
  process.on("uncaughtException", (thrown) => {
    if (thrown instanceof ConnectError && thrown.code === Code.Canceled) return;
    say(`a bug: ${messageOf(thrown)}`);
    process.exit(1);
  });
}

if (options !== undefined) {
  exitOnSignals();
  forgiveEndedSessions();
  try {
    process.stdout.write(`${JSON.stringify(await run(options))}\n`);
  } catch (thrown) {
    say(messageOf(thrown));
    process.exitCode = 1;
  }
}
