import { describe, expect, it } from "vitest";
import { base64Text, JsonMembers, plainText } from "../../../lib/json-members.ts";

describe("members of a JSON object", () => {
  const members = new JsonMembers({ name: "a", count: 3, list: ["x"], none: [] });

  it("are given as they are", () => {
    expect([members.text("name"), members.number("count"), members.number("absent")]).toEqual(["a", 3, undefined]);
    expect([members.list("list", String), members.list("absent", String), members.some("list", String)]).toEqual([
      ["x"],
      undefined,
      ["x"],
    ]);
  });

  it.each<[string, () => unknown]>([
    ["no text", () => members.text("count")],
    ["no number", () => members.number("name")],
    ["no list", () => members.list("name", String)],
    ["no items", () => members.some("none", String)],
    ["no members", () => members.some("absent", String)],
    ["a list for an object", () => new JsonMembers([])],
    ["nothing for an object", () => new JsonMembers(null)],
  ])("are refused when they are something else: %s", (_what, ask) => {
    expect(ask).toThrow(TypeError);
  });

  it("are text or none", () => {
    expect(plainText("")).toBe("");
    expect(() => plainText(3)).toThrow(TypeError);
  });

  it("are objects, member by member", () => {
    expect(new JsonMembers({ all: { a: "x" } }).entries("all", plainText)).toEqual({ a: "x" });
    expect(() => new JsonMembers({ all: [] }).entries("all", plainText)).toThrow(TypeError);
    expect([members.has("name"), members.has("absent")]).toEqual([true, false]);
  });

  it("are base64 or none", () => {
    expect(["AA==", "AAA=", "AAAA", "+/9z"].map(base64Text)).toEqual(["AA==", "AAA=", "AAAA", "+/9z"]);
    for (const bad of ["", "A", "AAA", "A===", "AA A", "_-9z", 3]) expect(() => base64Text(bad)).toThrow(TypeError);
  });
});
