/** LAW-T1 to LAW-T3, DT2 and KP1 to KP2 in seeded worlds: the second half of the seeds. */

import { expect, it } from "vitest";
import { runs } from "../harness/counts.ts";
import { playSeeds, range } from "./playing.ts";

it("LAW-T1 LAW-T2 LAW-T3 every byte once, in order, within bounds, and all comes to rest (late seeds)", {
  timeout: 3_600_000,
}, async () => {
  const count = runs(1_000, 20_000);
  const played = await playSeeds(range(1_000_001, count));
  console.info(JSON.stringify({ ...played, failures: played.failures.length }));
  expect(played.failures.join("\n\n")).toBe("");
  // The worlds must have been worth playing.
  expect(played.runs).toBe(count + 0);
  expect(played.moves).toBeGreaterThan(count);
  expect(played.accusations).toBeGreaterThan(count / 5);
  expect(played.replayedBytes).toBeGreaterThan(count * 1_000);
  expect(played.bytes).toBeGreaterThan(count * 50_000);
});
