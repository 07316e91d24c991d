/** Verdicts on callers, with a store whose answers come when the test says. */

import { expect, it } from "vitest";
import { SealingKey } from "../../../certs/seal.ts";
import { Allowlist } from "../../../control/domain/allowlist.ts";
import { memoryHints } from "../../../control/hints/memory.ts";
import type { Sql } from "../../../control/store/sql.ts";
import { trustSeal } from "../../../control/store/trust.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { silentLog } from "../../../lib/log.ts";
import { systemRandom } from "../../../lib/random.ts";

const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

it("LAW-I4 a version read before a change was told of is not taken for the one after it", async () => {
  const versions: PromiseWithResolvers<object[]>[] = [];
  let looks = 0;
  const query = async (text: string): Promise<object[]> => {
    if (!text.includes("from audit_head")) {
      looks += 1;
      return [];
    }
    const asked = Promise.withResolvers<object[]>();
    versions.push(asked);
    return await asked.promise;
  };
  const clock = new ManualClock();
  const seal = trustSeal(new SealingKey(new Uint8Array(32).fill(7)));
  const sql = { query } as unknown as Sql;
  const hints = memoryHints(clock);
  const allowlist = new Allowlist({ sql, seal, hints, clock, random: systemRandom, log: silentLog });
  const early = allowlist.judge("issuer", "a");
  allowlist.forget();
  const late = allowlist.judge("issuer", "b");
  expect(versions).toHaveLength(2);
  versions[0]?.resolve([{ seq: 1 }]);
  await early;
  await turn();
  versions[1]?.resolve([{ seq: 2 }]);
  await late;
  expect(looks).toBe(2);
  // What was kept of version 1 does not count any more, and version 2 is known without another question.
  await allowlist.judge("issuer", "a");
  expect([looks, versions.length]).toEqual([3, 2]);
  await allowlist.judge("issuer", "b");
  expect([looks, versions.length]).toEqual([3, 2]);
  allowlist.close();
});
