/** What store functions and services are given: the store, the key that authenticates its rows, and the outside world. */

import type { Clock } from "../../lib/clock.ts";
import type { Log } from "../../lib/log.ts";
import type { Random } from "../../lib/random.ts";
import type { Hints } from "../hints/hints.ts";
import type { Sql } from "./sql.ts";
import type { TrustSeal } from "./trust.ts";

/** How long the leaves issued here live, ms; the profile's life for what is left out (certs/profiles.ts). */
export interface LeafLives {
  /** Of nodes, pools and replicas of control. */
  readonly hostsMs?: number;
  readonly clientsMs?: number;
}

export interface StoreContext {
  readonly sql: Sql;
  readonly seal: TrustSeal;
  readonly hints: Hints;
  readonly random: Random;
  readonly clock: Clock;
  readonly log: Log;
  readonly leafLives?: LeafLives;
}
