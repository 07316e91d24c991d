import { expect, it } from "vitest";
import { ManualClock } from "../../../lib/clock.ts";
import { Turnstile } from "../../../node/turnstile.ts";

const never = new AbortController().signal;
const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

function open(bounds = { insideMaxCount: 2, waitingMaxCount: 2, lendMs: 250 }) {
  const clock = new ManualClock();
  const turnstile = new Turnstile(clock, bounds);
  const started: string[] = [];
  const enter = (name: string, signal = never) => {
    const work = Promise.withResolvers<string>();
    const result = turnstile.pass(() => {
      started.push(name);
      return work.promise;
    }, signal);
    result.catch(() => {});
    return { finish: () => work.resolve(name), result };
  };
  return { clock, started, enter };
}

it("lets so many in, the others in order of arrival", async () => {
  const { started, enter } = open();
  const a = enter("a");
  enter("b");
  enter("c");
  enter("d");
  await turn();
  expect(started).toEqual(["a", "b"]);
  await expect(enter("e").result).rejects.toMatchObject({ detail: "PATH_BUDGET" });
  a.finish();
  expect(await a.result).toBe("a");
  await turn();
  expect(started).toEqual(["a", "b", "c"]);
});

it("work that hangs keeps its place for a stated time only, and gives it back once", async () => {
  const { clock, started, enter } = open({ insideMaxCount: 1, waitingMaxCount: 4, lendMs: 250 });
  const hung = enter("hung");
  enter("next");
  enter("last");
  await turn();
  clock.advance(250);
  await turn();
  expect(started).toEqual(["hung", "next"]);
  hung.finish();
  await hung.result;
  await turn();
  expect(started).toEqual(["hung", "next"]);
});

it("who gives up waiting leaves no gap", async () => {
  const { started, enter } = open({ insideMaxCount: 1, waitingMaxCount: 4, lendMs: 250 });
  const a = enter("a");
  const abort = new AbortController();
  const b = enter("b", abort.signal);
  enter("c");
  abort.abort();
  await expect(b.result).rejects.toMatchObject({ detail: "PATH_CANCELED" });
  a.finish();
  await a.result;
  await turn();
  expect(started).toEqual(["a", "c"]);
});
