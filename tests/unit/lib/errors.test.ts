import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { assert, errnoOf, messageOf, reasons, WeftError } from "../../../lib/errors.ts";

describe("the one error type", () => {
  it.each(reasons)("%s has a detail of its own unless one is given", (reason) => {
    expect(new WeftError(reason, "m").detail).toBe(reason.toUpperCase());
    expect(new WeftError(reason, "m", { detail: "X_Y" }).detail).toBe("X_Y");
  });

  it("can be retried later when something is away or full, and never otherwise", () => {
    const later = reasons.filter((reason) => new WeftError(reason, "m").retry === "later");
    expect(later).toEqual(["resource_exhausted", "unavailable"]);
    expect(new WeftError("unavailable", "m", { retry: "never" }).retry).toBe("never");
  });

  it("keeps its cause for this process only: the message does not hold it", () => {
    const error = new WeftError("internal", "it failed", { cause: new Error("password=1") });
    expect(error.message).toBe("it failed");
    expect(messageOf(error.cause)).toBe("password=1");
    expect("cause" in new WeftError("internal", "m")).toBe(false);
  });

  it("finds the errno along the causes, as the host reports it", async () => {
    const thrown = await new Promise<unknown>((resolve) => {
      connect({ path: "/nonexistent/socket" }).once("error", resolve);
    });
    expect(errnoOf(thrown)).toBe("ENOENT");
    expect(errnoOf(new WeftError("unavailable", "m", { cause: new Error("x", { cause: thrown }) }))).toBe("ENOENT");
    expect(errnoOf("ENOENT")).toBeUndefined();
    const ring = new Error("a");
    ring.cause = ring;
    expect(errnoOf(ring)).toBeUndefined();
  });

  it("says what was thrown, whatever it was", () => {
    expect([messageOf(new Error("m")), messageOf("s"), messageOf(undefined)]).toEqual(["m", "s", "undefined"]);
    expect(() => assert(false, "bug")).toThrow("assertion failed: bug");
    expect(() => assert(true, "bug")).not.toThrow();
  });
});
