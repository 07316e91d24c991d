import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from "vitest";
import { tellEach, tryEach } from "../../../cli/batch.ts";
import { WeftError } from "../../../lib/errors.ts";

const missing = new WeftError("not_found", 'there is no node "b"', { detail: "CLI_NOT_FOUND" });
const away = new WeftError("unavailable", "control is away", { detail: "CONNECTION_LOST" });
const failing = (failures: Readonly<Record<string, unknown>>) => async (item: string) => {
  if (failures[item] !== undefined) throw failures[item];
  return { id: `id-${item}` };
};

describe("several things by one command", () => {
  let out: MockInstance;
  let err: MockInstance;
  beforeEach(() => {
    out = vi.spyOn(process.stdout, "write").mockReturnValue(true);
    err = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  });
  afterEach(() => vi.restoreAllMocks());
  const said = (mock: MockInstance): string => mock.mock.calls.map(([text]) => String(text)).join("");
  const text = ({ id }: { readonly id: string }, item: string): string => `${item} is ${id}`;

  it("are all tried, each once, when one of them cannot be done", async () => {
    const results = await tryEach(["a", "b", "a", "c"], failing({ b: missing }));
    expect(tellEach({}, results, text)).toBe(1);
    expect(said(out)).toBe("a is id-a\nc is id-c\n");
    expect(said(err)).toBe('weft: b: there is no node "b" [CLI_NOT_FOUND]\nweft: 2 of 3 done; not done: b\n');
  });

  it("are one object with --json, a result for each", async () => {
    const results = await tryEach(["a", "b"], failing({ b: missing }));
    expect(tellEach({ json: true }, results, text)).toBe(1);
    expect(JSON.parse(said(out))).toEqual({
      ok: false,
      done: 1,
      failed: 1,
      results: [
        { item: "a", ok: true, id: "id-a" },
        { item: "b", ok: false, error: "not_found", detail: "CLI_NOT_FOUND", message: 'there is no node "b"' },
      ],
    });
  });

  it("are not tried any more once control does not answer, and told to be so", async () => {
    const results = await tryEach(["a", "b", "c"], failing({ b: away }));
    expect(tellEach({ json: true }, results, text)).toBe(69);
    expect(JSON.parse(said(out))).toMatchObject({
      results: [{ ok: true }, { detail: "CONNECTION_LOST" }, { item: "c", ok: false, detail: "NOT_TRIED" }],
    });
    expect(said(err)).toContain("weft: c: not tried\nweft: 1 of 3 done; not done: b, c\n");
  });

  it("leave the exit code alone when everything was done", async () => {
    const results = await tryEach(["a", "b"], failing({}));
    expect(tellEach({ json: true }, results, text)).toBeUndefined();
    expect(JSON.parse(said(out))).toMatchObject({ ok: true, done: 2, failed: 0 });
    expect(said(err)).toBe("");
  });
});
