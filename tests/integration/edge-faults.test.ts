/** Hundreds of faults under trunks that carry data: nothing is lost, and nothing is left open. */

import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { EdgePath } from "../../edge/edge-path.ts";
import { KiB } from "../../lib/limits.ts";
import { type Random, randomInt, seededRandom, systemRandom } from "../../lib/random.ts";
import { runs } from "../harness/counts.ts";
import { closers, type Edges, echo, edges, far, openOf } from "../harness/edge-trunks.ts";
import { eventually } from "../harness/eventually.ts";

/** Spares are made at once: the spread over time is for herds. */
const eager: Random = { bytes: (count) => systemRandom.bytes(count), float: () => 0 };
const descriptors = (): number => readdirSync("/proc/self/fd").length;

function live(made: Edges): EdgePath[] {
  return made.paths.filter((path) => !path.raw.destroyed);
}

/** The path a trunk uses, once it has a spare as well. */
async function withSpare(made: Edges): Promise<{ active: EdgePath; spare: EdgePath }> {
  const find = (): { active: EdgePath; spare: EdgePath } | undefined => {
    const attachments =
      made.pool
        .trunks()[0]
        ?.stats()
        .attachments.filter(({ ready }) => ready) ?? [];
    const pathOf = (active: boolean): EdgePath | undefined => {
      const hops = attachments.find((attachment) => attachment.active === active)?.hops.join();
      return live(made).find((path) => path.hops.join() === hops);
    };
    const [active, spare] = [pathOf(true), pathOf(false)];
    return active === undefined || spare === undefined ? undefined : { active, spare };
  };
  await eventually(() => find() !== undefined, { what: "a spare path", withinMs: 30_000, everyMs: 5 });
  return find() as { active: EdgePath; spare: EdgePath };
}

/** Writes blocks until told to stop; everything must come back. */
async function carry(made: Edges, seed: number): Promise<{ stop(): Promise<void> }> {
  const channel = await made.pool.open(far, openOf(`echo-${seed}`));
  const random = seededRandom(seed);
  const [sent, got] = [createHash("sha256"), createHash("sha256")];
  let [sentBytes, gotBytes, stopped] = [0, 0, false];
  channel.on("data", (chunk: Buffer) => {
    got.update(chunk);
    gotBytes += chunk.length;
    if (sentBytes - gotBytes < 512 * KiB && !stopped) write();
  });
  const ended = new Promise<void>((resolve, reject) => {
    channel.once("end", resolve);
    channel.once("error", reject);
  });
  function write(): void {
    const block = Buffer.from(random.bytes(1 + randomInt(random, 64 * KiB)));
    sent.update(block);
    sentBytes += block.length;
    channel.write(block);
  }
  for (let i = 0; i < 8; i += 1) write();
  return {
    async stop() {
      stopped = true;
      channel.end();
      await ended;
      expect(gotBytes).toBe(sentBytes);
      expect(got.digest("hex")).toBe(sent.digest("hex"));
    },
  };
}

describe("trunks under faults", () => {
  it("LAW-T1 lose no byte, and leave no descriptor behind", async () => {
    const before = descriptors();
    const faultsPerTrunk = runs(6, 50);
    const trunkCount = 10;
    let faults = 0;
    const one = async (seed: number): Promise<void> => {
      const random = seededRandom(seed);
      const made = await edges(echo, () => true, { random: eager });
      const carried = await carry(made, seed);
      for (let i = 0; i < faultsPerTrunk; i += 1) {
        const { active, spare } = await withSpare(made);
        const what = random.float();
        // The one in use, the spare, or both at once: then a third path has to be found.
        if (what < 0.75) active.raw.resetAndDestroy();
        if (what >= 0.6) spare.raw.resetAndDestroy();
        faults += 1;
      }
      await carried.stop();
    };
    await Promise.all(Array.from({ length: trunkCount }, (_, i) => one(i + 1)));
    await closers.close();
    console.info(`faults: ${faults}`);
    await eventually(() => descriptors() <= before + 2, { what: "every descriptor to be closed", withinMs: 10_000 });
  }, 300_000);
});
