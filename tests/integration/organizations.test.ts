/** LAW-T4 between organizations: what one's trunk goes through, moves and repeated bytes, is no business of another's. */

import { expect, it } from "vitest";
import type { EdgePath } from "../../edge/edge-path.ts";
import { KiB } from "../../lib/limits.ts";
import { closers, type Edges, echo, edges, openOf } from "../harness/edge-trunks.ts";
import { eventually } from "../harness/eventually.ts";

const shaken = { farEdge: "egress", organizationId: "org-shaken" };
const quiet = { farEdge: "egress", organizationId: "org-quiet" };

/** Keeps half a MiB under way, and counts what comes back. */
async function transfer(made: Edges, far: typeof quiet): Promise<{ bytes(): number; failed(): boolean; stop(): void }> {
  const channel = await made.pool.open(far, openOf(`echo-${far.organizationId}`));
  const block = Buffer.alloc(32 * KiB, 7);
  let [sent, got, stopped, failed] = [0, 0, false, false];
  const more = (): void => {
    while (!stopped && sent - got < 512 * KiB) {
      sent += block.length;
      channel.write(Buffer.from(block));
    }
  };
  channel.on("error", () => {
    failed = true;
  });
  channel.on("data", (chunk: Buffer) => {
    got += chunk.length;
    more();
  });
  more();
  return {
    bytes: () => got,
    failed: () => failed,
    stop: () => {
      stopped = true;
      channel.end();
    },
  };
}

function activePath(made: Edges, organizationId: string): EdgePath | undefined {
  const trunk = made.pool.trunks().find((one) => one.organizationId === organizationId);
  const attachments = trunk?.stats().attachments.filter(({ ready }) => ready) ?? [];
  // With a spare, so that the next fault is a move and not a hold.
  if (attachments.length < 2) return undefined;
  const hops = attachments.find(({ active }) => active)?.hops.join();
  return made.paths.find((path) => path.hops.join() === hops && !path.raw.destroyed);
}

const moves = (made: Edges, organizationId: string): number =>
  made.pool
    .trunks()
    .find((one) => one.organizationId === organizationId)
    ?.stats().moves ?? 0;

it("LAW-T4 an organization whose paths die again and again slows no other one", async () => {
  const made = await edges(echo);
  const [one, other] = await Promise.all([transfer(made, shaken), transfer(made, quiet)]);
  await eventually(() => one.bytes() > 0 && other.bytes() > 0, { what: "both transfers" });
  const rateOf = async (ms: number): Promise<number> => {
    const [fromMs, from] = [performance.now(), other.bytes()];
    await eventually(() => performance.now() - fromMs >= ms, { withinMs: 10 * ms, everyMs: 5 });
    return (other.bytes() - from) / (performance.now() - fromMs);
  };
  const before = await rateOf(700);
  const shaking = (async (): Promise<void> => {
    for (let n = 0; n < 6; n += 1) {
      await eventually(() => activePath(made, shaken.organizationId) !== undefined, { withinMs: 20_000, everyMs: 5 });
      activePath(made, shaken.organizationId)?.raw.resetAndDestroy();
    }
  })();
  const during = await rateOf(700);
  await shaking;
  await eventually(() => moves(made, shaken.organizationId) >= 5, { what: "the moves of the one" });
  // Of order, not of speed: beside the other's moves it goes on, and is never moved itself.
  expect(during).toBeGreaterThan(before / 10);
  expect(moves(made, quiet.organizationId)).toBe(0);
  expect([one.failed(), other.failed()]).toEqual([false, false]);
  one.stop();
  other.stop();
  await closers.close();
}, 120_000);
