/** LAW-T1 and LAW-T2 on real processes: the relay in use dies or freezes, and nobody's connection notices. */

import { createHash, randomBytes } from "node:crypto";
import { connect } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import { pathInUse } from "../../../cli/up/smoke.ts";
import { MiB } from "../../../lib/limits.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { standbyReady } from "../../harness/trunks.ts";

let world: TestFabric;
beforeAll(async () => {
  world = await sharedFabric();
}, fabricWithinMs);

/** Sends `bytes` through the echo while `atHalf` happens; resolves when all came back. */
async function hashedEcho(bytes: number, atHalf: () => void): Promise<boolean> {
  const socket = connect({ host: "127.0.0.1", port: world.fabric.listenerPort("echo-entry-1"), noDelay: true });
  const sent = createHash("sha256");
  const got = createHash("sha256");
  const block = randomBytes(64 * 1_024);
  let written = 0;
  let received = 0;
  let half = false;
  return await new Promise((resolve, reject) => {
    const write = (): void => {
      while (written < bytes) {
        sent.update(block);
        written += block.length;
        if (!socket.write(block)) return void socket.once("drain", write);
      }
      socket.end();
    };
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      received += chunk.length;
      got.update(chunk);
      if (half || received < bytes / 2) return;
      half = true;
      atHalf();
    });
    socket.on("end", () => resolve(received === bytes && sent.digest("hex") === got.digest("hex")));
    write();
  });
}

const relayInUse = async (): Promise<string> => (await pathInUse(world.fabric, "entry-1"))[1] ?? "";

describe("a relay that carries a connection", () => {
  it("LAW-T1 is frozen: all bytes arrive once, in order, over the standby; thawed, it disturbs nothing", async () => {
    expect(await hashedEcho(1 * MiB, () => {})).toBe(true);
    await standbyReady(world, "entry-1");
    const relay = await relayInUse();
    const { pid } = world.fabric.process(relay);
    try {
      expect(await hashedEcho(64 * MiB, () => void process.kill(pid, "SIGSTOP"))).toBe(true);
      // The lane that carries little moves by itself, when its own turn to be heard is over.
      await eventually(async () => (await relayInUse()) !== relay, { what: "another relay in use" });
    } finally {
      process.kill(pid, "SIGCONT");
    }
    expect(await hashedEcho(16 * MiB, () => {})).toBe(true);
  }, 60_000);

  it("LAW-T1 is killed: all bytes arrive once, in order, over the standby", async () => {
    await standbyReady(world, "entry-1");
    const relay = await relayInUse();
    const { pid } = world.fabric.process(relay);
    expect(await hashedEcho(64 * MiB, () => void process.kill(pid, "SIGKILL"))).toBe(true);
    await eventually(async () => (await relayInUse()) !== relay, { what: "another relay in use" });
    await world.fabric.restart(relay);
  }, 60_000);
});
