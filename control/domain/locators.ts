/**
 * The locators by which entries recognise clients' resume handles (fabric/path/handle.ts): pseudo-random per egress, pool and
 * day, derived from the sealing key, so that every replica finds the same ones and nothing has to be stored or restored.
 */

import { type EgressLocators, LOCATOR_BYTES } from "../../fabric/path/handle.ts";
import { limits } from "../../lib/limits.ts";
import type { TrustSeal } from "../store/trust.ts";

/** No table has this name: a locator is never the MAC of a row. */
const PURPOSE = "client-locator";

/** The locators of an egress in a pool for a snapshot of that time. */
export function locatorsOf(
  seal: Pick<TrustSeal, "mac">,
  about: { readonly clusterId: string; readonly poolId: string; readonly nodeId: string },
  atMs: number,
): EgressLocators {
  const { clusterId, poolId, nodeId } = about;
  const period = Math.floor(atMs / limits.locatorPeriodMs);
  const of = (at: number): Uint8Array => seal.mac(PURPOSE, [clusterId, poolId, nodeId, at]).subarray(0, LOCATOR_BYTES);
  return { egressNodeId: nodeId, previous: of(period - 1), current: of(period), next: of(period + 1) };
}
