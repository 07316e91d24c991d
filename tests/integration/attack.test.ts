/**
 * Every class of `weft attack` against a fabric of real processes, two seconds each: nothing dies, grows, moves or waits.
 * `npm run attack` does the same for a minute each, on every port.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { attackFabric } from "../../conformance/attack/attack-fabric.ts";
import { onceEach } from "../../conformance/attack/attack-plan.ts";
import { attackClasses } from "../../conformance/attack/classes.ts";
import { type ClassVerdict, tolerances } from "../../conformance/attack/verdict.ts";
import { isSoak } from "../harness/counts.ts";
import { eventually } from "../harness/eventually.ts";
import { repository, run } from "../harness/fabric.ts";
import { migratedDirectory } from "../harness/shared-stores.ts";

const seconds = isSoak ? 30 : 2;
// Gentle enough for processes that are attacked beside each other on two processors, and past every bound within two seconds.
const bounds = {
  seconds,
  connectionsMaxCount: 32,
  connectionsPerSecond: 60,
  unitsPerSecond: 5_000,
  bytesMax: 256 * 1_024 * 1_024,
};

const weft = join(repository, "cli/bin.ts");

describe("weft attack", () => {
  it("refuses every target but this machine's own", async () => {
    const { code, stdout } = await run(process.execPath, [weft, "attack", "--target", "192.0.2.1:443", "--json"]);
    expect([code, JSON.parse(stdout)]).toEqual([77, expect.objectContaining({ ok: false, detail: "ATTACK_TARGET" })]);
  });

  it("stops at SIGINT, says in one object what it had, and leaves nothing", async () => {
    const sockets = new Set<Socket>();
    let accepted = 0;
    const server = createServer((socket) => {
      accepted += 1;
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => sockets.delete(socket));
      socket.once("data", () => socket.end());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const target = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const words = ["attack", "--target", target, "--class", "first-bytes-garbage", "--seconds", "600", "--json"];
    const child = spawn(process.execPath, [weft, ...words], { stdio: ["ignore", "pipe", "ignore"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    let stdout = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    const closed = once(child, "close");
    await eventually(() => accepted > 100, { withinMs: 60_000, what: "an attack under way" });
    child.kill("SIGINT");
    expect((await closed)[0]).toBe(130);
    expect(stdout).toMatch(/^\{.*\}\n$/);
    expect(JSON.parse(stdout)).toMatchObject({ interrupted: true });
    await eventually(() => sockets.size === 0, { what: "no connection left" });
    server.close();
  }, 90_000);
});

describe("a fabric withstands", () => {
  const stopped = new AbortController();
  let verdicts: ClassVerdict[] = [];

  beforeAll(
    async () => {
      // Below it a stall is what a suite that runs beside this one does to everybody.
      const allowed = { ...tolerances, floorMs: 100, loopDelayMaxMs: 200 };
      const how = { bounds, quietMs: 300, plan: onceEach, allowed, putStore: migratedDirectory };
      verdicts = await attackFabric({ ...how, signal: stopped.signal });
    },
    isSoak ? 1_800_000 : 300_000,
  );
  afterAll(() => stopped.abort());

  it.each(attackClasses.map(({ id, title, seen }) => ({ id, title, seen })))("$id ($seen): $title", ({ id }) => {
    const verdict = verdicts.find((one) => one.class === id);
    expect(verdict?.reasons, JSON.stringify(verdict)).toEqual([]);
    expect(verdict).toMatchObject({ result: "pass", alive: true, failed: 0 });
    expect((verdict?.tally.connections ?? 0) > 0 && (verdict?.asked ?? 0) > 0).toBe(true);
  });
});
