import { describe, expect, it } from "vitest";
import { Closers } from "../../../lib/closers.ts";

describe("closers", () => {
  it("close last first, one after the other, once", async () => {
    const order: string[] = [];
    const closers = new Closers();
    const first = Promise.withResolvers<void>();
    closers.add("a", () => void order.push("a"));
    closers.add("b", async () => {
      await first.promise;
      order.push("b");
    });
    const closing = closers.close();
    await closers.close();
    expect(order).toEqual([]);
    first.resolve();
    await closing;
    expect(order).toEqual(["b", "a"]);
  });

  it("run every close although some fail, and say which failed", async () => {
    const order: string[] = [];
    const closers = new Closers();
    closers.add("a", () => void order.push("a"));
    closers.add("b", () => Promise.reject(new Error("late")));
    closers.add("c", () => {
      throw new Error("at once");
    });
    const thrown = await closers.close().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(order).toEqual(["a"]);
    expect(thrown).toBeInstanceOf(AggregateError);
    const { errors } = thrown as AggregateError & { errors: Error[] };
    expect(errors.map(({ message, cause }) => [message, (cause as Error).message])).toEqual([
      ["closing c failed", "at once"],
      ["closing b failed", "late"],
    ]);
  });

  it("undo a start that failed half way, and nothing once handed over", async () => {
    const order: string[] = [];
    const start = async (fails: boolean): Promise<Closers> => {
      await using undo = new Closers();
      undo.add("port", () => void order.push("port"));
      if (fails) throw new Error("half way");
      return undo.move();
    };
    await expect(start(true)).rejects.toThrow("half way");
    expect(order).toEqual(["port"]);
    const running = await start(false);
    expect(order).toEqual(["port"]);
    await running.close();
    expect(order).toEqual(["port", "port"]);
  });
});
