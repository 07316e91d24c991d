/** What strangers get, and what is left when a part of control is gone or a node is nobody any more. */

import { connect as connectTcp, type Socket } from "node:net";
import { hostPort } from "../../cli/arguments.ts";
import { echoOnce } from "../../cli/up/fabric.ts";
import { encodeLegPreamble } from "../../fabric/preamble.ts";
import { limits, MiB } from "../../lib/limits.ts";
import { systemRandom } from "../../lib/random.ts";
import { type Check, holds, Skipped } from "../check.ts";
import { until } from "../until.ts";
import type { FabricWorld } from "./world.ts";

/** A connection that sends `bytes` and waits for its end; resolves with what it heard and how long it lived. */
function knock(address: string, bytes: Uint8Array): Promise<{ readonly heard: number; readonly livedMs: number }> {
  const startedMs = performance.now();
  let heard = 0;
  const socket: Socket = connectTcp(hostPort(address));
  socket.on("data", (chunk: Buffer) => (heard += chunk.length));
  socket.on("error", () => {});
  socket.once("connect", () => socket.write(bytes));
  return new Promise((resolve) =>
    socket.once("close", () => resolve({ heard, livedMs: performance.now() - startedMs })),
  );
}

async function guessedTokens(world: FabricWorld): Promise<string> {
  const address = world.publicAddress("relay-1");
  const before = (await world.status("relay-1")).counters?.tokensRefused ?? 0n;
  const guesses = 100;
  for (let round = 0; round < guesses; round += 20) {
    const knocks = Array.from({ length: 20 }, () => knock(address, encodeLegPreamble(systemRandom.bytes(32))));
    const answers = await Promise.all(knocks);
    holds(
      answers.every(({ heard }) => heard === 0),
      "a guessed token was answered",
    );
  }
  const refused = await until(async () => {
    const count = ((await world.status("relay-1")).counters?.tokensRefused ?? 0n) - before;
    return Number(count) >= guesses ? Number(count) : false;
  }, "the relay counts them");
  return `${guesses} guessed leg tokens closed without a byte, ${refused} counted`;
}

async function timedLooks(world: FabricWorld): Promise<string> {
  const address = world.publicAddress("relay-2");
  const nothing = await knock(address, Buffer.from("GET / HTTP/1.1\r\n\r\n"));
  holds(nothing.livedMs < limits.peekDeadlineMs, `what is nothing was looked at for ${nothing.livedMs} ms`);
  const silent = await Promise.all(
    ["W", "WEFT\x01half", "\x16\x03\x01\x02\x00\x01"].map((text) => knock(address, Buffer.from(text, "latin1"))),
  );
  const longest = Math.max(...silent.map(({ livedMs }) => livedMs));
  holds(longest < limits.peekDeadlineMs + 2_000, `a silent stranger was kept ${Math.round(longest)} ms`);
  const flood = Buffer.alloc(MiB);
  Buffer.from("160301400001003ffc0303", "hex").copy(flood);
  const flooded = await knock(address, flood);
  holds(flooded.heard === 0 && nothing.heard === 0, "a stranger was answered");
  return `silent strangers ${Math.round(longest)} ms (bound ${limits.peekDeadlineMs}), 1 MiB cut after ${Math.round(flooded.livedMs)} ms`;
}

async function withoutStore(world: FabricWorld): Promise<string> {
  const pid = Number(world.fabric.process("postgres").facts["postgresPid"]);
  const port = world.fabric.listenerPort("echo-entry-1");
  process.kill(pid, "SIGQUIT");
  const startedMs = performance.now();
  let refusals = 0;
  await until(
    async () => {
      const said = await world.weft("organization", "create", "conformance-later", "--json");
      await echoOnce(port, 5_000);
      if (said.code === 0) return true;
      holds(/UNAVAILABLE|unavailable|store|ALREADY/i.test(said.stderr + said.stdout), said.stderr);
      if (/already/i.test(said.stderr + said.stdout)) return true;
      refusals += 1;
      return false;
    },
    "changes are made again",
    { withinMs: 40_000 },
  );
  return `the store killed: ${refusals} changes refused, bytes went on, back after ${Math.round(performance.now() - startedMs)} ms`;
}

async function withoutHints(world: FabricWorld): Promise<string> {
  const { redis } = world;
  if (redis === undefined) throw new Skipped("no Redis is installed");
  const socket = connectTcp({ host: "127.0.0.1", port: Number(new URL(redis.url).port) });
  await new Promise<void>((resolve, reject) => {
    socket.once("data", (answer: Buffer) => (answer.includes("OK") ? resolve() : reject(new Error(String(answer)))));
    socket.once("error", reject);
    socket.write("FLUSHALL\r\n");
  });
  socket.destroy();
  const before = await world.json<{ nodes: unknown[] }>("node", "list");
  await redis.close();
  const after = await world.json<{ nodes: unknown[] }>("node", "list");
  holds(before.nodes.length === after.nodes.length, "another answer without Redis");
  await world.json("organization", "create", "conformance-no-hints");
  return "flushed, then gone: the same answers, and a change was made";
}

/** What a command that waited for signed receipts says. */
interface Waited {
  readonly nodes: number;
  readonly applied: number;
}

interface Node {
  readonly id: string;
  readonly name: string;
}

async function nodeRevoked(world: FabricWorld): Promise<string> {
  const { nodes } = await world.json<{ nodes: Node[] }>("node", "list");
  const gone = nodes.find(({ name }) => name === "relay-3");
  holds(gone !== undefined, "there is no relay-3");
  const others = world.fabric.plan.nodes.filter(({ name }) => name !== "relay-3").map(({ name }) => name);
  const startedMs = performance.now();
  const { wait } = await world.json<{ wait: Waited }>("node", "revoke", "relay-3", "--wait");
  const signedMs = Math.round(performance.now() - startedMs);
  holds(wait.applied === wait.nodes && wait.nodes >= others.length, `${wait.applied} of ${wait.nodes} have signed`);
  const isRid = async (name: string): Promise<boolean> => {
    const { links } = await world.status(name);
    return links.every(({ peerNodeId, state }) => peerNodeId !== gone.id || state !== "up");
  };
  for (const name of others) await until(() => isRid(name), `${name} is rid of it`, { withinMs: 5_000 });
  await echoOnce(world.fabric.listenerPort("echo-entry-1"), 10_000);
  return `${wait.applied} nodes signed that they applied it, ${signedMs} ms after the command began; none has a link to it`;
}

export const outageChecks: readonly Check<FabricWorld>[] = [
  { id: "R1.guessed-tokens", law: "LAW-R1", title: "guessed leg tokens at a relay", run: guessedTokens },
  {
    id: "R3.strangers",
    law: "LAW-R3",
    title: "first bytes that are nothing, never end, or never stop",
    run: timedLooks,
  },
  { id: "C5.without-store", law: "LAW-C5", title: "the store is killed under control", run: withoutStore },
  { id: "C4.without-redis", law: "LAW-C4", title: "Redis is flushed, and then gone", run: withoutHints },
  { id: "I4.node-revoked", law: "LAW-I4", title: "a relay is revoked", run: nodeRevoked },
];
