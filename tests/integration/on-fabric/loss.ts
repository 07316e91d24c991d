/**
 * What a fabric does when parts of it are gone, on real processes that are killed: what ARCHITECTURE.md says under "What
 * happens when something is gone".
 */

import { connect, type Socket } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import { echoOnce } from "../../../cli/up/fabric.ts";
import { pathInUse } from "../../../cli/up/smoke.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, sharedFabric, type TestFabric } from "../../harness/fabric.ts";

let world: TestFabric;
beforeAll(async () => {
  world = await sharedFabric();
}, fabricWithinMs);

const relays = ["relay-1", "relay-2", "relay-3"];
let lost = "";

const echoPort = (): number => world.fabric.listenerPort("echo-entry-1");

interface Held {
  readonly socket: Socket;
  /** Sends a line; resolves with what comes back, or how the connection ended. */
  says(text: string): Promise<string>;
}

/** A connection through an entry that has carried a byte and stays open. */
async function heldConnection(): Promise<Held> {
  const socket = connect({ host: "127.0.0.1", port: echoPort(), noDelay: true });
  const ended = new Promise<string>((resolve) => {
    let error = "end";
    socket.on("error", (thrown: NodeJS.ErrnoException) => (error = thrown.code ?? "error"));
    socket.on("close", () => resolve(error));
  });
  const says = async (text: string): Promise<string> => {
    const answer = new Promise<string>((resolve) => socket.once("data", (chunk) => resolve(String(chunk))));
    socket.write(text);
    return await Promise.race([answer, ended]);
  };
  expect(await says("?")).toBe("?");
  return { socket, says };
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
  it("LAW-T1 keeps the connections of a dead relay, and opens the next ones over another", async () => {
    const held = await heldConnection();
    const before = await pathInUse(world.fabric, "entry-1");
    lost = before[1] ?? "";
    expect(relays).toContain(lost);
    await kill(lost);
    expect(await held.says("still there")).toBe("still there");
    const metrics = await fetch(`http://${world.fabric.process("entry-1").facts["metrics"]}/metrics`);
    expect(await metrics.text()).toMatch(/^weft_failover_gap_seconds_count\{.*cause=".+".*\} [1-9]/m);
    await msUntilCarrying();
    expect(await pathInUse(world.fabric, "entry-1")).not.toContain(lost);
    held.socket.destroy();
  }, 60_000);

  it("opens the next channels at another member of the pool when an egress is lost", async () => {
    const path = await pathInUse(world.fabric, "entry-1");
    const egress = path.at(-1) ?? "";
    expect(["egress-1", "egress-2"]).toContain(egress);
    await kill(egress);
    expect(await msUntilCarrying()).toBeLessThan(10_000);
  }, 60_000);

  it("LAW-T2 carries on, and opens new channels, without any control", async () => {
    const held = await heldConnection();
    await kill("control");
    await expect(echoOnce(echoPort(), 5_000)).resolves.toBeGreaterThan(0);
    expect(await held.says("still there")).toBe("still there");
    held.socket.destroy();
  }, 30_000);

  it("LAW-T2 finds another way on its own while control is gone", async () => {
    const status = await world.weft("node", "list");
    expect(status.code).toBe(69);
    // Of the two that are left, one goes on: whichever the entry was using.
    const [relay = ""] = relays.filter((name) => name !== lost);
    const held = await heldConnection();
    await kill(relay);
    expect(await held.says("still there")).toBe("still there");
    await msUntilCarrying();
    held.socket.destroy();
  }, 60_000);
});
