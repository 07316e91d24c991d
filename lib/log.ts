/**
 * Structured logs with a fixed vocabulary. A message is a constant string; values are fields, and only the fields named
 * here may be logged: an allowlist, so that a secret cannot slip in under a new name.
 */

import pino from "pino";

/** The vocabulary. Ids and names only; a path or leg token appears as the first 8 hex digits of its hash (`pathTag`). */
export interface LogFields {
  readonly sub?: string;
  readonly cluster?: string;
  readonly node?: string;
  readonly peer?: string;
  readonly role?: string;
  readonly resource?: string;
  readonly organization?: string;
  readonly trunk?: string;
  readonly channel?: number;
  readonly pathTag?: string;
  readonly rpc?: string;
  readonly caller?: string;
  readonly requestId?: string;
  readonly code?: string;
  readonly reason?: string;
  readonly detail?: string;
  readonly state?: string;
  readonly version?: number;
  readonly epoch?: number;
  readonly seq?: number;
  readonly count?: number;
  readonly bytes?: number;
  readonly durationMs?: number;
  readonly port?: number;
  readonly address?: string;
  readonly error?: string;
}

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log whose every record carries `fields` too. */
  child(fields: LogFields): Log;
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

function wrap(logger: pino.Logger): Log {
  return {
    debug: (message, fields) => logger.debug(fields ?? {}, message),
    info: (message, fields) => logger.info(fields ?? {}, message),
    warn: (message, fields) => logger.warn(fields ?? {}, message),
    error: (message, fields) => logger.error(fields ?? {}, message),
    child: (fields) => wrap(logger.child(fields)),
  };
}

/** A JSON-lines log on standard error (descriptor 2): standard output belongs to a command's result. */
export function openLog(options: { level: LogLevel; process: string }): Log {
  const logger = pino(
    { level: options.level, base: { process: options.process }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: 2, sync: true }),
  );
  return wrap(logger);
}

export const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLog,
};
