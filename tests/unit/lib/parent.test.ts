import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { whenParentGoes } from "../../../lib/parent.ts";
import { eventually } from "../../harness/eventually.ts";

describe("a process whose parent goes", () => {
  it.each([
    ["ends", (input: PassThrough) => void input.end()],
    ["breaks", (input: PassThrough) => void input.destroy(new Error("EIO"))],
    ["closes", (input: PassThrough) => void input.destroy()],
  ])("is told once when its input %s, and not by what comes before", async (_how, stop) => {
    const input = new PassThrough();
    let told = 0;
    let read = false;
    input.once("data", () => {
      read = true;
    });
    whenParentGoes(input, () => {
      told += 1;
    });
    input.write("nothing");
    await eventually(() => read);
    expect(told).toBe(0);
    stop(input);
    await eventually(() => told === 1 && input.closed);
    expect(told).toBe(1);
  });
});
