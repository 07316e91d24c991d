import { describe, expect, it } from "vitest";
import { RestoreHold } from "../../../control/domain/restore-hold.ts";
import type { StoreContext } from "../../../control/store/context.ts";
import { ManualClock } from "../../../lib/clock.ts";

describe("what is known of a restore", () => {
  it("is not what a look finds that began before it was forgotten", async () => {
    const looks: PromiseWithResolvers<object[]>[] = [];
    const query = (): Promise<object[]> => {
      const look = Promise.withResolvers<object[]>();
      looks.push(look);
      return look.promise;
    };
    const hold = new RestoreHold({ sql: { query }, clock: new ManualClock() } as unknown as StoreContext);
    const before = hold.holds();
    hold.forget();
    const after = hold.holds();
    expect(looks).toHaveLength(2);
    looks[1]?.resolve([]);
    expect(await after).toBe(false);
    looks[0]?.resolve([{ id: "r", settledAtMs: 1 }]);
    expect(await before).toBe(false);
    // The old look has neither taken the place of the newer one nor ended it.
    expect(await hold.newest()).toBeUndefined();
    expect(looks).toHaveLength(2);
  });
});
