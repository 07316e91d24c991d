/** LAW-T4 at an entry: what one client may take leaves room for its organization, for others, and for the entry itself. */

import { expect, it } from "vitest";
import { ManualClock } from "../../../../lib/clock.ts";
import { limits } from "../../../../lib/limits.ts";
import { ClientBudget, type ClientKey } from "../../../../node/roles/client-budget.ts";

const who = (clientId: string, organizationId: string): ClientKey => ({ clientId, organizationId });

/** How many are taken before the first refusal. */
function taken(take: () => void): number {
  for (let count = 0; count < 5_000; count += 1) {
    try {
      take();
    } catch (thrown) {
      expect(thrown).toMatchObject({ reason: "resource_exhausted", detail: "CLIENT_PATHS", retry: "later" });
      return count;
    }
  }
  return Number.POSITIVE_INFINITY;
}

it("offers: client, organization and all clients each have their bound, and get their share back with time", () => {
  const clock = new ManualClock();
  const budget = new ClientBudget(clock);
  expect(taken(() => budget.offer(who("a", "org-1")))).toBe(limits.clientOffersPerClientBurstCount);
  const left = limits.clientOffersPerOrganizationBurstCount - limits.clientOffersPerClientBurstCount;
  expect(taken(() => budget.offer(who("b", "org-1")))).toBe(left);
  expect(taken(() => budget.offer(who("c", "org-2")))).toBe(
    limits.clientOffersBurstCount - limits.clientOffersPerOrganizationBurstCount,
  );
  clock.advance(1_000);
  expect(taken(() => budget.offer(who("a", "org-1")))).toBe(limits.clientOffersPerClientPerSecond);
});

it("live paths: a client at its bound takes no room from another; what closes gives its room back, once", () => {
  const budget = new ClientBudget(new ManualClock());
  const release = budget.path(who("a", "org-1"));
  expect(taken(() => void budget.path(who("a", "org-1")))).toBe(limits.livePathsPerClientMaxCount - 1);
  const rest = limits.livePathsPerClientOrganizationMaxCount - limits.livePathsPerClientMaxCount;
  expect(rest).toBeGreaterThan(0);
  budget.path(who("b", "org-1"))();
  release();
  release();
  expect(taken(() => void budget.path(who("a", "org-1")))).toBe(1);
  expect(taken(() => void budget.path(who("b", "org-1")))).toBe(Math.min(rest, limits.livePathsPerClientMaxCount));
  expect(taken(() => void budget.path(who("c", "org-1")))).toBe(0);
  budget.path(who("d", "org-2"));
});
