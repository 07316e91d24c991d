/**
 * A fabric that hears nobody: control stands still, and under `fail-closed` everything has to stop by itself. Watched are
 * connections that are open, and ones that are tried anew.
 */

import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { PolicyService } from "../../gen/weft/admin/v1/policy_pb.ts";
import { OfflineMode } from "../../gen/weft/fabric/v1/role_pb.ts";
import { eventually } from "../../tests/harness/eventually.ts";
import { say } from "../load/progress.ts";
import type { Standing } from "../load/standing.ts";

const tickMs = 100;
const newEveryMs = 250;
/** The bound is 60 s after the newest feed; whatever goes on after this does not stop. */
const givenUpMs = 80_000;

const closed = (socket: Socket): Promise<number> =>
  new Promise((resolve) => void socket.once("close", () => resolve(performance.now())));

/** A connection to a listener that answers byte for byte. Rejects when it does not answer. */
async function echoing(port: number): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  socket.on("error", () => {});
  socket.write("x");
  const answered = new Promise<true>((resolve) => void socket.once("data", () => resolve(true)));
  const ended = closed(socket).then(() => false);
  if (!(await Promise.race([answered, ended, delay(8_000, false)]))) {
    socket.destroy();
    throw new Error("no answer");
  }
  return socket;
}

/** Keeps a byte going; resolves with when the connection ended. */
async function untilEnded(socket: Socket): Promise<number> {
  const timer = setInterval(() => void socket.write("x"), tickMs);
  socket.resume();
  const atMs = await closed(socket);
  clearInterval(timer);
  return atMs;
}

/** Opens one connection after the other; resolves with when the first of an unbroken row of refusals was met. */
async function untilRefused(port: number, endMs: number): Promise<number> {
  let refusedMs: number | undefined;
  let refusals = 0;
  while (performance.now() < endMs && refusals < 5) {
    const startedMs = performance.now();
    try {
      (await echoing(port)).destroy();
      refusedMs = undefined;
      refusals = 0;
    } catch {
      refusedMs ??= startedMs;
      refusals += 1;
    }
    await delay(newEveryMs);
  }
  if (refusedMs === undefined || refusals < 5) throw new Error("new connections were taken beyond every bound");
  return refusedMs;
}

/** Has everything fail closed, stops control and measures from then, ms: one figure for each connection and each listener. */
export async function measureFailClosed(standing: Standing, perListener: number): Promise<readonly number[]> {
  const ports = standing.fabric.plan.listeners.filter(({ resource }) => resource === "echo").map(({ port }) => port);
  await standing.fabric.withSession(async (session) => {
    const policy = { mode: OfflineMode.FAIL_CLOSED };
    await session.client(PolicyService).setOfflinePolicy({ clusterId: standing.clusterId, policy });
  });
  for (const { client, name } of standing.nodes) {
    await eventually(
      async () => (await client.getStatus({})).offline?.states.some(({ mode }) => mode === OfflineMode.FAIL_CLOSED),
      { withinMs: 20_000, everyMs: 100, what: `the policy at ${name}` },
    );
  }
  const sockets = await Promise.all(ports.flatMap((port) => Array.from({ length: perListener }, () => echoing(port))));
  const { pid } = standing.control;
  process.kill(pid, "SIGSTOP");
  const stoppedMs = performance.now();
  say(`control stands still; ${sockets.length} connections are open under fail-closed`);
  try {
    const ended = sockets.map((socket) =>
      Promise.race([untilEnded(socket), delay(givenUpMs).then(() => Promise.reject(new Error("a connection stays")))]),
    );
    const refused = ports.map((port) => untilRefused(port, stoppedMs + givenUpMs));
    return (await Promise.all([...ended, ...refused])).map((atMs) => atMs - stoppedMs);
  } finally {
    process.kill(pid, "SIGCONT");
    for (const socket of sockets) socket.destroy();
  }
}
