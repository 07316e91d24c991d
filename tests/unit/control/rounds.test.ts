import { expect, it } from "vitest";
import type { RotationDeps } from "../../../control/domain/rotation.ts";
import { startRotationJob } from "../../../control/jobs/rotation.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { silentLog } from "../../../lib/log.ts";

it("a job that stops waits for every look under way, so that nobody asks a store that was closed", async () => {
  const clock = new ManualClock();
  const { promise, resolve } = Promise.withResolvers<never[]>();
  let asked = 0;
  // What looks at phases is answered at once; what looks at ages, with every cluster, is not.
  const query = async (text: string): Promise<never[]> => {
    if (!text.includes("from cluster")) return [];
    asked += 1;
    return await promise;
  };
  const job = startRotationJob({ clock, log: silentLog, sql: { query } } as unknown as RotationDeps);
  clock.advance(limits.doorsRefreshMs);
  expect(asked).toBe(1);
  let stopped = false;
  const stopping = job.stop().then(() => {
    stopped = true;
  });
  await new Promise(setImmediate);
  expect(stopped).toBe(false);
  resolve([]);
  await stopping;
});
