/**
 * One error type for everything that is expected to go wrong. `reason` decides what a caller may do, `detail` is a stable
 * machine-readable class in UPPER_SNAKE_CASE, `message` is for people and may leave the process, `cause` never does.
 * Bugs stay ordinary exceptions and reach callers as "internal".
 */

export const reasons = [
  "canceled",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
] as const;

/** The failure's class; one to one with the gRPC status codes of the same names. */
export type Reason = (typeof reasons)[number];

/** Whether trying the same again can help. */
export type Retry = "never" | "later" | "now";

export interface WeftErrorOptions {
  readonly detail?: string;
  readonly retry?: Retry;
  readonly cause?: unknown;
  /** Small public facts for the caller (field names, limits); never secrets, addresses of nodes or SQL. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export class WeftError extends Error {
  override readonly name = "WeftError";
  readonly reason: Reason;
  readonly detail: string;
  readonly retry: Retry;
  readonly metadata: Readonly<Record<string, string>>;

  constructor(reason: Reason, message: string, options: WeftErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.detail = options.detail ?? reason.toUpperCase();
    this.retry = options.retry ?? (reason === "unavailable" || reason === "resource_exhausted" ? "later" : "never");
    this.metadata = options.metadata ?? {};
  }
}

/** The message of anything thrown, for logs of this process. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The errno string (`ECONNREFUSED`) found along the cause chain of anything thrown, or undefined. */
export function errnoOf(thrown: unknown): string | undefined {
  for (let at = thrown, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1) {
    const code = (at as NodeJS.ErrnoException).code;
    if (typeof code === "string") return code;
  }
  return undefined;
}

/** Throws when `condition` is false: for bugs, never for input. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
