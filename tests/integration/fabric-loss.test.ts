/**
 * What a fabric does when parts of it are gone, on real processes that are killed: what ARCHITECTURE.md says under "What
 * happens when something is gone".
 */

import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { echoOnce } from "../../cli/up/fabric.ts";
import { pathInUse } from "../../cli/up/smoke.ts";
import { eventually } from "../harness/eventually.ts";
import { fabricWithinMs, startTestFabric, type TestFabric } from "../harness/fabric.ts";

let world: TestFabric;
beforeAll(async () => {
  world = await startTestFabric();
}, fabricWithinMs);
afterAll(async () => await world?.stop(), fabricWithinMs);

const relays = ["relay-1", "relay-2", "relay-3"];
let lost = "";

const echoPort = (): number => world.fabric.listenerPort("echo-entry-1");

/** A connection through an entry that has carried a byte and stays open. */
async function heldConnection(): Promise<{ socket: Socket; ended: Promise<string> }> {
  const socket = connect({ host: "127.0.0.1", port: echoPort(), noDelay: true });
  const ended = new Promise<string>((resolve) => {
    let error = "end";
    socket.on("error", (thrown: NodeJS.ErrnoException) => (error = thrown.code ?? "error"));
    socket.on("close", () => resolve(error));
  });
  socket.write("?");
  await new Promise((resolve) => socket.once("data", resolve));
  return { socket, ended };
}

function kill(name: string): Promise<unknown> {
  const { pid, exited } = world.fabric.process(name);
  process.kill(pid, "SIGKILL");
  return exited;
}

/** Milliseconds until bytes come through the entry again. */
async function msUntilCarrying(): Promise<number> {
  const startedMs = performance.now();
  await eventually(() => echoOnce(echoPort(), 1_000), {
    withinMs: 15_000,
    everyMs: 20,
    what: "bytes through the entry",
  });
  return performance.now() - startedMs;
}

describe("a fabric that loses parts", () => {
  it("ends the connections of a dead relay honestly and opens the next one over another", async () => {
    const before = await pathInUse(world.fabric, "entry-1");
    lost = before[1] ?? "";
    expect(relays).toContain(lost);
    const held = await heldConnection();
    await kill(lost);
    // No hang: the plain TCP client sees a reset, because nobody knows what its target still got.
    expect(await held.ended).toBe("ECONNRESET");
    await msUntilCarrying();
    expect(await pathInUse(world.fabric, "entry-1")).not.toContain(lost);
  }, 60_000);

  it("LAW-T2 carries on, and opens new channels, without any control", async () => {
    const held = await heldConnection();
    await kill("control");
    await expect(echoOnce(echoPort(), 5_000)).resolves.toBeGreaterThan(0);
    const answer = new Promise((resolve) => held.socket.once("data", resolve));
    held.socket.write("still there");
    expect(String(await answer)).toBe("still there");
    held.socket.destroy();
  }, 30_000);

  it("LAW-T2 finds another way on its own while control is gone", async () => {
    const status = await world.weft("node", "list");
    expect(status.code).toBe(69);
    // Of the two that are left, one goes on: whichever the entry was using.
    const [relay = ""] = relays.filter((name) => name !== lost);
    await kill(relay);
    await msUntilCarrying();
  }, 60_000);
});
