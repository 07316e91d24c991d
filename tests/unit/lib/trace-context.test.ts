import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { limits } from "../../../lib/limits.ts";
import { formatTraceparent, parseTraceparent } from "../../../lib/trace-context.ts";

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const spanId = "00f067aa0ba902b7";
const good = `00-${traceId}-${spanId}-01`;

describe("a traceparent", () => {
  it("says which trace and span a call came from, and whether they are recorded", () => {
    expect(parseTraceparent(good)).toEqual({ traceId, spanId, sampled: true });
    expect(parseTraceparent(`00-${traceId}-${spanId}-00`)).toMatchObject({ sampled: false });
    expect(parseTraceparent(`00-${traceId}-${spanId}-03`)).toMatchObject({ sampled: true });
    expect(formatTraceparent({ traceId, spanId, sampled: true })).toBe(good);
  });

  it("of a later version is read as far as it is known", () => {
    expect(parseTraceparent(`cc-${traceId}-${spanId}-01`)).toMatchObject({ traceId });
    expect(parseTraceparent(`cc-${traceId}-${spanId}-01-what-comes`)).toMatchObject({ traceId });
  });

  it.each([
    ["", "nothing"],
    [`${good} `, "a blank behind it"],
    [`${good}-00`, "more than version 00 has"],
    [`cc-${traceId}-${spanId}-01what`, "more without a dash"],
    [good.toUpperCase(), "capitals"],
    [`ff-${traceId}-${spanId}-01`, "the version that is none"],
    [`00-${"0".repeat(32)}-${spanId}-01`, "no trace"],
    [`00-${traceId}-${"0".repeat(16)}-01`, "no span"],
    [`00-${traceId.slice(1)}-${spanId}-01`, "a short id"],
    [`${good}, ${good}`, "two of them"],
    [`cc-${traceId}-${spanId}-01-${"x".repeat(limits.traceparentMaxBytes)}`, "more than anybody reads"],
  ])("is none: %s (%s)", (text) => {
    expect(parseTraceparent(text)).toBeUndefined();
  });

  it("is none, and nothing is thrown, whatever else it is", () => {
    for (const value of [undefined, null, 7, {}, [good], Buffer.from(good)]) {
      expect(parseTraceparent(value)).toBeUndefined();
    }
    fc.assert(
      fc.property(fc.string({ maxLength: 400 }), (text) => {
        const read = parseTraceparent(text);
        if (read !== undefined) expect(text).toContain(`${read.traceId}-${read.spanId}`);
      }),
    );
  });

  it("comes back as it went", () => {
    const hex = (chars: number): fc.Arbitrary<string> =>
      fc
        .uint8Array({ minLength: chars / 2, maxLength: chars / 2 })
        .map((bytes) => Buffer.from(bytes).toString("hex"))
        .filter((text) => !/^0+$/.test(text));
    fc.assert(
      fc.property(hex(32), hex(16), fc.boolean(), (trace, span, sampled) => {
        const context = { traceId: trace, spanId: span, sampled };
        expect(parseTraceparent(formatTraceparent(context))).toEqual(context);
      }),
    );
  });
});
