/** Questions asked together. */

import { expect, it } from "vitest";
import { Batch, sharedRead } from "../../../lib/batch.ts";
import { WeftError } from "../../../lib/errors.ts";

function recorded(answer: (items: readonly number[]) => Promise<readonly number[]>, queueMaxCount = 100) {
  const runs: number[][] = [];
  const run = (items: readonly number[]): Promise<readonly number[]> => {
    runs.push([...items]);
    return answer(items);
  };
  return { runs, batch: new Batch<number, number>({ run, maxCount: 3, queueMaxCount }) };
}

const doubled = async (items: readonly number[]) => items.map((item) => item * 2);

it("B1 asks at once what comes in one turn, and then what came meanwhile, in order and in bounded runs", async () => {
  const { runs, batch } = recorded(doubled);
  const first = [1, 2].map((item) => batch.ask(item));
  await Promise.resolve();
  const later = [3, 4, 5, 6].map((item) => batch.ask(item));
  expect(await Promise.all([...first, ...later])).toEqual([2, 4, 6, 8, 10, 12]);
  expect(runs).toEqual([[1, 2], [3, 4, 5], [6]]);
  expect(await batch.ask(7)).toBe(14);
});

it("B2 a bad item fails alone; a store that is not there fails all of a run at once", async () => {
  const { runs, batch } = recorded(async (items) => {
    if (items.includes(13)) throw new Error("bad");
    return items;
  });
  const settled = await Promise.allSettled([1, 13, 2].map((item) => batch.ask(item)));
  expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(runs).toEqual([[1, 13, 2], [1], [13], [2]]);
  const gone = recorded(() =>
    Promise.reject(new WeftError("unavailable", "no store", { detail: "STORE_UNAVAILABLE" })),
  );
  const lost = await Promise.allSettled([1, 2].map((item) => gone.batch.ask(item)));
  expect(lost.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(gone.runs).toEqual([[1, 2]]);
});

it("B3 refuses what would wait behind too much, and goes on", async () => {
  const { batch } = recorded(doubled, 2);
  const asked = [1, 2].map((item) => batch.ask(item));
  await expect(batch.ask(3)).rejects.toMatchObject({ detail: "BATCH_FULL" });
  expect(await Promise.all(asked)).toEqual([2, 4]);
  expect(await batch.ask(4)).toBe(8);
});

it("a shared read answers all who asked before it began, and nobody with what was read before they asked", async () => {
  const reads: PromiseWithResolvers<number>[] = [];
  const read = sharedRead(() => {
    const next = Promise.withResolvers<number>();
    reads.push(next);
    return next.promise;
  });
  const first = [read("a"), read("a")];
  await Promise.resolve();
  const late = read("a");
  expect(reads).toHaveLength(1);
  reads[0]?.resolve(1);
  expect(await Promise.all(first)).toEqual([1, 1]);
  await Promise.resolve();
  expect(reads).toHaveLength(2);
  reads[1]?.resolve(2);
  expect(await late).toBe(2);
});

it("a shared read that fails is not repeated for each who asked, and is not remembered", async () => {
  let reads = 0;
  const read = sharedRead(async (key) => {
    reads += 1;
    if (reads === 1) throw new Error("forged");
    return key;
  });
  const settled = await Promise.allSettled([read("a"), read("a"), read("a"), read("b")]);
  expect(settled.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected", "fulfilled"]);
  expect(reads).toBe(2);
  expect(await read("a")).toBe("a");
});
