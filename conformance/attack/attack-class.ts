/** A class of attacks: what is sent, what the target must do about it, and where it was seen. */

import type { Range } from "./range.ts";

export interface AttackClass {
  /** Stable, for comparing reports. */
  readonly id: string;
  /** One line for people. */
  readonly title: string;
  /** Where it comes from: CVEs and threat rows. */
  readonly seen: string;
  /** The lowest layer the target must speak for it to mean anything; links: with whoever holds a node's identity. */
  readonly layer: "bytes" | "tls" | "http2" | "link";
  /** A connection that has sent so many units must be ended by the target. Absent: it may stand, its answers are judged. */
  readonly cutAfterUnits?: number;
  /** The same where HTTP/2 is not spoken with the attacker: there it must be gone whatever it sends. */
  readonly cutAfterUnitsUnserved?: number;
  /** How long after the attack the target may take for that. */
  readonly settleMs?: number;
  /** Attacks until the range is over. Never rejects for what the target does. */
  readonly run: (range: Range) => Promise<void>;
}
