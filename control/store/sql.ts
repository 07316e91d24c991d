/**
 * The one port to the database. Plain SQL goes in, rows come out; `pg.ts` and `pglite.ts` implement it with the same
 * behaviour (tests/stores runs one contract suite over both).
 *
 * Q1. Rows: int8 -> number (an unsafe one is an error), bytea -> Uint8Array, jsonb -> parsed, text[] -> string[].
 * Q2. `tx` commits everything `fn` did or nothing. After a serialization failure or deadlock `fn` runs again, so it has no
 *     effect outside its transaction; `afterCommit` is the place for those.
 * Q3. Inside `fn` only the transaction may be used: a query past it would wait for itself on an embedded store.
 * Q4. What a caller may be told is a `WeftError`; everything else the database says stays in `cause` or reaches callers
 *     as "internal".
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { assert, errnoOf, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Primary } from "./primary.ts";

/** JSON goes in as text, with `$n::jsonb` in the statement. */
export type SqlParam = string | number | bigint | boolean | null | Uint8Array | readonly string[] | readonly number[];

export interface Queryable {
  /** Runs one statement and returns its rows. */
  query<Row extends object>(text: string, params?: readonly SqlParam[]): Promise<Row[]>;
}

export interface Tx extends Queryable {
  /** Calls `fn` once, if and when the transaction has been committed. What it throws is ignored: it only gives hints. */
  afterCommit(fn: () => void): void;
}

/** Called, in a transaction of its own, before anything else is done on a primary that this process has not used yet. */
export type MeetPrimary = (tx: Tx, primary: Primary) => Promise<void>;

export type TxMode = "read committed" | "repeatable read" | "serializable" | "read only";

export interface Sql extends Queryable {
  readonly driver: "postgres" | "pglite";
  tx<T>(fn: (tx: Tx) => Promise<T>, options?: { readonly mode?: TxMode }): Promise<T>;
  /** Runs several statements without parameters, in one implicit transaction of their own. */
  script(text: string): Promise<void>;
  /** Asks the primary for an answer now, and whether there is a newer one. Rejects as `query` does. */
  look(): Promise<Primary>;
  /** From now on `meet` comes first on every primary, the present one included: resolves once that has been met. */
  onPrimary(meet: MeetPrimary): Promise<void>;
  close(): Promise<void>;
}

/**
 * In a statement that only observes (beats, link samples): what it writes need not reach a standby, and must not wait for one
 * that is away. Part of something the statement selects, or it is not evaluated.
 */
export const LOCAL_DURABILITY = `set_config('synchronous_commit',
  case current_setting('synchronous_commit') when 'off' then 'off' else 'local' end, true)`;

/** The SQLSTATE found along the cause chain of anything thrown, or undefined. */
export function sqlState(thrown: unknown): string | undefined {
  for (let at = thrown, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1) {
    const { code } = at as { code?: unknown };
    if (typeof code === "string" && /^[0-9A-Z]{5}$/.test(code)) return code;
  }
  return undefined;
}

/** Whether a unique index refused a row; `constraint` narrows it to one index. */
export function isUniqueViolation(thrown: unknown, constraint?: string): boolean {
  if (sqlState(thrown) !== "23505") return false;
  if (constraint === undefined) return true;
  for (let at = thrown, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1) {
    if ((at as { constraint?: unknown }).constraint === constraint) return true;
  }
  return false;
}

/** The only row, or undefined when there is none. More than one is a bug. */
export function one<Row>(rows: readonly Row[]): Row | undefined {
  assert(rows.length <= 1, "a statement for one row returned several");
  return rows[0];
}

/** int8 text as a number (Q1). */
export function parseInt8(text: string): number {
  const value = Number(text);
  assert(Number.isSafeInteger(value), "a stored integer is beyond 2^53");
  return value;
}

/** The clause of `begin` or `set transaction` a mode stands for. */
export function isolationOf(mode: TxMode): string {
  return mode === "read only" ? "isolation level repeatable read read only" : `isolation level ${mode}`;
}

const CONNECTION_ERRNOS = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENOENT",
]);
const CONNECTION_STATE = /^(08...|57P0[1-5]|53[0-9A-Z]{3}|3D000|28...)$/;
const CONNECTION_TEXT =
  /Connection terminated|timeout exceeded when trying to connect|Query read timeout|not queryable|PGlite is closed/;

/** Whether running the transaction again can help: serialization failure or deadlock. */
export function isConflict(thrown: unknown): boolean {
  const state = sqlState(thrown);
  return state === "40001" || state === "40P01";
}

/** What the database threw, as callers may know it (Q4). */
export function storeError(thrown: unknown): unknown {
  if (thrown instanceof WeftError) return thrown;
  const state = sqlState(thrown);
  if (state === "25006") {
    return unavailable("the control store is not the primary; nothing was changed", "STORE_NOT_PRIMARY", thrown);
  }
  if (state === "57014" || state === "55P03") {
    return unavailable("the control store is too busy; nothing was changed", "STORE_BUSY", thrown);
  }
  if (isConflict(thrown)) {
    const options = { detail: "STORE_CONFLICT", retry: "now", cause: thrown } as const;
    return new WeftError("aborted", "others changed the same at the same time; nothing was changed", options);
  }
  // A NUL or a lone surrogate: no stored text has one, so nothing by that name exists.
  if (state === "22021" || state === "22P05") {
    return new WeftError("invalid_argument", "a text contains characters that cannot be stored", {
      detail: "TEXT_MALFORMED",
      cause: thrown,
    });
  }
  const lost =
    (state !== undefined && CONNECTION_STATE.test(state)) ||
    CONNECTION_ERRNOS.has(errnoOf(thrown) ?? "") ||
    (thrown instanceof AggregateError && thrown.errors.some((each) => CONNECTION_ERRNOS.has(errnoOf(each) ?? ""))) ||
    (thrown instanceof Error && CONNECTION_TEXT.test(thrown.message));
  return lost ? unavailable("the control store cannot be reached", "STORE_UNAVAILABLE", thrown) : thrown;
}

function unavailable(message: string, detail: string, cause: unknown): WeftError {
  return new WeftError("unavailable", message, { detail, cause });
}

interface Running {
  active: boolean;
}

/** Notices queries that go past the transaction they are made in (Q3). One per store. */
export class TxGuard {
  readonly #running = new AsyncLocalStorage<Running>();

  assertOutside(): void {
    assert(this.#running.getStore()?.active !== true, "a statement went past the transaction it belongs to");
  }

  /** Runs `fn` as the inside of a transaction. */
  async run<T>(fn: () => Promise<T>): Promise<T> {
    const running: Running = { active: true };
    try {
      return await this.#running.run(running, fn);
    } finally {
      running.active = false;
    }
  }
}

/** Runs an attempt until it commits or fails for another reason than a conflict; then gives the hints. */
export async function runTx<T>(attempt: (hints: (() => void)[]) => Promise<T>): Promise<T> {
  for (let count = 1; ; count += 1) {
    const hints: (() => void)[] = [];
    try {
      const result = await attempt(hints);
      give(hints);
      return result;
    } catch (thrown) {
      if (isConflict(thrown) && count < limits.txAttemptsMaxCount) continue;
      // A lost COMMIT may have committed: a hint too many costs one read.
      if (thrown instanceof WeftError && thrown.detail === "STORE_COMMIT_UNKNOWN") give(hints);
      throw storeError(thrown);
    }
  }
}

function give(hints: readonly (() => void)[]): void {
  for (const hint of hints) {
    try {
      hint();
    } catch {
      // Hints may be lost; whoever needs the row reads it within its own bound.
    }
  }
}
