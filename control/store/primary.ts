/**
 * Which server is the primary. PostgreSQL promotes a standby onto a new timeline; whoever is on a lower one than somebody
 * has seen was replaced, whatever it thinks of itself.
 *
 * A1. A connection's server is named once, when the connection is made: a primary changes its timeline only by having been
 *     a standby, and standbys are refused.
 * A2. Nothing is read from or written to a server on a lower timeline than this process has seen, or of another database
 *     system: two histories are never mixed in one process.
 */

import { assert, WeftError } from "../../lib/errors.ts";

/** A server that accepts writes. */
export interface Primary {
  /** PostgreSQL's system identifier: the same for a primary and every standby made from it. */
  readonly systemIdentifier: string;
  /** Raised by every promotion. */
  readonly timeline: number;
}

/**
 * Asks a server who it is. The timeline is that of the WAL it writes now: what the control file says follows only with the
 * first checkpoint after a promotion.
 */
export const PRIMARY_QUERY = `select standby, case when standby then 0 else
    ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer end as timeline,
  (select system_identifier::text from pg_control_system()) as "systemIdentifier"
  from (select pg_is_in_recovery() as standby offset 0) own`;

interface PrimaryRow {
  readonly standby: boolean;
  readonly timeline: number;
  readonly systemIdentifier: string;
}

/** What `PRIMARY_QUERY` answered. Throws `unavailable` (STORE_NOT_PRIMARY) for a standby. */
export function primaryOf(rows: readonly object[]): Primary {
  const [row] = rows as readonly PrimaryRow[];
  assert(row !== undefined, "a server says who it is");
  if (row.standby) throw notPrimary("the control store is not the primary");
  return { systemIdentifier: row.systemIdentifier, timeline: row.timeline };
}

export function isSamePrimary(a: Primary | undefined, b: Primary): boolean {
  return a !== undefined && a.systemIdentifier === b.systemIdentifier && a.timeline === b.timeline;
}

/** What one process has seen of primaries (A2). */
export class PrimaryGuard {
  #newest: Primary | undefined;

  /** The primary on the highest timeline seen, if any was. */
  newest(): Primary | undefined {
    return this.#newest;
  }

  /** Takes notice of a primary. Throws `unavailable` (STORE_NOT_PRIMARY) for one that was replaced. */
  judge(primary: Primary): void {
    const newest = this.#newest;
    if (newest !== undefined && newest.systemIdentifier !== primary.systemIdentifier) {
      throw notPrimary(
        "the control store is another database system than this process has used; nothing was changed. Start control again if that is meant",
      );
    }
    if (newest !== undefined && primary.timeline < newest.timeline) {
      throw notPrimary(
        `the control store was replaced: it is on timeline ${primary.timeline}, and timeline ${newest.timeline} has been seen; nothing was changed`,
      );
    }
    this.#newest = primary;
  }
}

export function notPrimary(message: string): WeftError {
  return new WeftError("unavailable", message, { detail: "STORE_NOT_PRIMARY" });
}
