import { expect, it } from "vitest";
import { ManualClock } from "../../../lib/clock.ts";
import { seededRandom } from "../../../lib/random.ts";
import { LegTable } from "../../../relay/legs.ts";

function table(over: { maxCount?: number } = {}) {
  const clock = new ManualClock();
  const legs = new LegTable<string>({ clock, random: seededRandom(7), lifeMs: 5_000, ...over });
  const unused: string[] = [];
  const mint = (value: string, predecessor = "nd-a") =>
    legs.mint({ predecessor, initiator: "nd-i", value, onUnused: (why) => void unused.push(`${value} ${why}`) });
  return { clock, legs, mint, unused };
}

it("LAW-R1 a leg token is burnt at first use", () => {
  const { legs, mint, unused, clock } = table();
  const { token } = mint("p1");
  expect(legs.take(token)).toBe("p1");
  expect(legs.take(token)).toBeUndefined();
  clock.advance(10_000);
  expect(unused).toEqual([]);
});

it("LAW-R1 a leg token is nothing after 5 s", () => {
  const { legs, mint, unused, clock } = table();
  const { token } = mint("p1");
  clock.advance(4_999);
  expect(legs.count).toBe(1);
  clock.advance(1);
  expect(legs.take(token)).toBeUndefined();
  expect(unused).toEqual(["p1 expired"]);
});

it("LAW-R1 REVIEW-1 a leg token of another hop is unknown, and near misses are", () => {
  const { legs, mint } = table();
  const other = table();
  const { token } = mint("p1");
  expect(other.legs.take(token)).toBeUndefined();
  const near = Uint8Array.from(token);
  near[31] = (near[31] ?? 0) ^ 1;
  expect(legs.take(near)).toBeUndefined();
  expect(legs.take(token.subarray(0, 31))).toBeUndefined();
  expect(legs.take(token)).toBe("p1");
});

it("LAW-R1 a token told to somebody else is not found, and not burnt", () => {
  const { legs, mint } = table();
  const { token } = mint("p1", "nd-a");
  expect(legs.take(token, "nd-b")).toBeUndefined();
  expect(legs.take(token, "nd-a")).toBe("p1");
});

it("withdrawing and dropping let go once", () => {
  const { legs, mint, unused, clock } = table();
  const first = mint("p1", "nd-a");
  mint("p2", "nd-b");
  expect(first.withdraw()).toBe(true);
  expect(first.withdraw()).toBe(false);
  expect(legs.dropWhere(({ predecessor }) => predecessor === "nd-b")).toBe(1);
  clock.advance(10_000);
  expect(unused).toEqual(["p2 dropped"]);
  expect(legs.count).toBe(0);
  expect(clock.nextDueInMs()).toBeUndefined();
});

it("no more tokens are live than the bound", () => {
  const { mint, clock } = table({ maxCount: 2 });
  mint("p1");
  mint("p2");
  expect(() => mint("p3")).toThrow(expect.objectContaining({ detail: "PATH_BUDGET" }));
  clock.advance(5_000);
  expect(mint("p4").token).toHaveLength(32);
});

it("LAW-I2 the table keeps no token, and a tag tells nothing but itself", () => {
  const { legs, mint } = table();
  const { token, tag } = mint("p1");
  const hex = Buffer.from(token).toString("hex");
  expect(tag).toMatch(/^[0-9a-f]{8}$/);
  expect(hex).not.toContain(tag);
  expect(JSON.stringify(legs)).not.toContain(hex);
});
