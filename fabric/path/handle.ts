/**
 * Resume handles: what a client shows to any entry of the cluster to reach the egress of its trunk again.
 *
 * HA1. A handle says nothing to whoever holds it: a random salt and a MAC of it. Two handles for one egress have nothing in
 *      common, so clients cannot count or compare egresses (LAW-C3).
 * HA2. It is good for one client and one pool, at every entry that knows the egress's locator, for one to two days.
 * HA3. It is no right: whoever could forge one (an entry, or a thief of its snapshot) steers a client that may use the pool to
 *      one egress of that pool, which entries do anyway. What proves a client is its certificate, what proves a trunk is
 *      its secret; neither is in here, and no handle opens anything that was sealed.
 */

import { createHmac } from "node:crypto";
import { sameBytes } from "../../certs/keys.ts";

export const LOCATOR_BYTES = 32;
export const HANDLE_SALT_BYTES = 16;
const TAG_BYTES = 16;
const DOMAIN = "weft/client-handle/v1\0";

/** The locators of one egress in one pool, as entries hold them. A handle is made with `current`. */
export interface EgressLocators {
  readonly egressNodeId: string;
  readonly previous: Uint8Array;
  readonly current: Uint8Array;
  readonly next: Uint8Array;
}

/** For whom a handle is good (HA2). */
export interface HandleScope {
  readonly clientId: string;
  readonly poolId: string;
}

/** A handle that leads back to the egress of `locators`. `salt`: 16 fresh random bytes. */
export function makeHandle(locators: EgressLocators, scope: HandleScope, salt: Uint8Array): Uint8Array {
  return Buffer.concat([salt, tagOf(locators.current, scope, salt)]);
}

/** The egress a handle leads back to, or undefined when it is none of these or for somebody else. Never throws. */
export function readHandle(
  handle: Uint8Array,
  scope: HandleScope,
  known: readonly EgressLocators[],
): string | undefined {
  if (handle.length !== HANDLE_SALT_BYTES + TAG_BYTES) return undefined;
  const salt = handle.subarray(0, HANDLE_SALT_BYTES);
  const tag = handle.subarray(HANDLE_SALT_BYTES);
  const leads = (locator: Uint8Array): boolean =>
    locator.length === LOCATOR_BYTES && sameBytes(tagOf(locator, scope, salt), tag);
  return known.find(({ previous, current, next }) => [current, previous, next].some(leads))?.egressNodeId;
}

function tagOf(locator: Uint8Array, { clientId, poolId }: HandleScope, salt: Uint8Array): Buffer {
  // Ids are [a-z0-9-]: a NUL separates them for certain.
  const mac = createHmac("sha256", locator).update(DOMAIN).update(salt).update(`${clientId}\0${poolId}`);
  return mac.digest().subarray(0, TAG_BYTES);
}
