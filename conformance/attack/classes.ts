/** Every class of attacks there is, in the order they are reported in. */

import { WeftError } from "../../lib/errors.ts";
import type { AttackClass } from "./attack-class.ts";
import { firstBytes } from "./first-bytes.ts";
import { http2Calls } from "./http2-calls.ts";
import { http2Faults } from "./http2-faults.ts";
import { http2Floods } from "./http2-floods.ts";
import { linkAbuse } from "./link-abuse.ts";
import { tlsHellos } from "./tls-hellos.ts";

export const attackClasses: readonly AttackClass[] = [
  ...firstBytes,
  ...tlsHellos,
  ...http2Floods,
  ...http2Faults,
  ...http2Calls,
  ...linkAbuse,
];

/**
 * The class of an id.
 * @throws WeftError not_found (ATTACK_CLASS), naming those there are.
 */
export function attackClass(id: string): AttackClass {
  const found = attackClasses.find((one) => one.id === id);
  if (found !== undefined) return found;
  const ids = attackClasses.map((one) => one.id).join(", ");
  throw new WeftError("not_found", `there is no class "${id}"; there are ${ids}`, { detail: "ATTACK_CLASS" });
}
