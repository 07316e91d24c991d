import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ReplyGuard } from "../../../control/hints/reply-guard.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

describe("REVIEW-22 what a Redis may say", () => {
  const heard = [
    "+OK\r\n",
    "-NOAUTH Authentication required.\r\n",
    "*3\r\n$9\r\nsubscribe\r\n$13\r\nweft:hints:v1\r\n:1\r\n",
    "*3\r\n$7\r\nmessage\r\n$13\r\nweft:hints:v1\r\n$9\r\nfeed:cl-a\r\n",
  ];

  it("is let through however it is cut", () => {
    const all = bytes(heard.join(""));
    fc.assert(
      fc.property(fc.array(fc.nat(all.length), { maxLength: 20 }), (cuts) => {
        const guard = new ReplyGuard(true);
        const edges = [0, ...cuts.sort((a, b) => a - b), all.length];
        return edges.slice(1).every((end, at) => guard.accepts(all.subarray(edges[at], end)));
      }),
    );
    expect(new ReplyGuard(false).accepts(bytes("+OK\r\n:3\r\n-ERR no\r\n"))).toBe(true);
  });

  it.each([
    ":1\r\n",
    "$-1\r\n",
    "*-1\r\n",
    "*3\r\n$7\r\nmessage\r\n$-1\r\n",
    "*3\r\n*1\r\n",
    "*3\r\n:1\r\n",
    "*2\r\n$7\r\nmessage\r\n",
    "$900000000\r\nx",
    "*3\r\n$7\r\nmessage\r\n$900\r\n",
    "_\r\n",
    "%1\r\n",
    "+PONG\r\n",
    ">3\r\n",
    "x".repeat(600),
    "+OK\n",
    "*3\r\n$2\r\nabX",
  ])("is not %j", (text) => {
    expect(new ReplyGuard(true).accepts(bytes(text))).toBe(false);
  });

  it("is no array for a connection that only tells", () => {
    expect(new ReplyGuard(false).accepts(bytes(heard[3] ?? ""))).toBe(false);
  });
});
