import { expect, it } from "vitest";
import { sourcePrefix } from "../../../lib/source-prefix.ts";

it("IPv4 goes by /24, mapped addresses too", () => {
  expect(sourcePrefix("203.0.113.7")).toBe("203.0.113.0/24");
  expect(sourcePrefix("::ffff:203.0.113.9")).toBe("203.0.113.0/24");
  expect(sourcePrefix("203.0.114.7")).not.toBe(sourcePrefix("203.0.113.7"));
});

it("IPv6 goes by /64 however it is written", () => {
  expect(sourcePrefix("2001:db8:0:1::7")).toBe("2001:db8:0:1::/64");
  expect(sourcePrefix("2001:0db8:0000:0001:ffff:1:2:3")).toBe("2001:db8:0:1::/64");
  expect(sourcePrefix("fe80::1%eth0")).toBe("fe80:0:0:0::/64");
  expect(sourcePrefix("::1")).toBe("0:0:0:0::/64");
  expect(sourcePrefix("2001:db8::203.0.113.1")).toBe("2001:db8:0:0::/64");
});

it("anything else is one stranger", () => {
  expect(sourcePrefix(undefined)).toBe("unknown");
  expect(sourcePrefix("not an address")).toBe("unknown");
});
