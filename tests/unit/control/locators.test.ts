import { expect, it } from "vitest";
import { SealingKey } from "../../../certs/seal.ts";
import { locatorsOf } from "../../../control/domain/locators.ts";
import { trustSeal } from "../../../control/store/trust.ts";
import { limits } from "../../../lib/limits.ts";
import { systemRandom } from "../../../lib/random.ts";

const key = new SealingKey(systemRandom.bytes(32));
const about = { clusterId: "cl-a", poolId: "pl-a", nodeId: "nd-a" };
const atMs = 1_800_000_000_000;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

it("locators are the same at every replica, and move on by one a day", () => {
  const today = locatorsOf(trustSeal(key), about, atMs);
  expect(locatorsOf(trustSeal(key), about, atMs + 1)).toEqual(today);
  const tomorrow = locatorsOf(trustSeal(key), about, atMs + limits.locatorPeriodMs);
  expect([tomorrow.previous, tomorrow.current].map(hex)).toEqual([today.current, today.next].map(hex));
});

it("locators of another node, pool, cluster or installation have nothing in common", () => {
  const other = trustSeal(new SealingKey(systemRandom.bytes(32)));
  const all = [
    locatorsOf(trustSeal(key), about, atMs),
    locatorsOf(other, about, atMs),
    ...(["clusterId", "poolId", "nodeId"] as const).map((field) =>
      locatorsOf(trustSeal(key), { ...about, [field]: "other" }, atMs),
    ),
  ].flatMap(({ previous, current, next }) => [previous, current, next].map(hex));
  expect(new Set(all).size).toBe(all.length);
  expect(all.every((locator) => locator.length === 64)).toBe(true);
});
