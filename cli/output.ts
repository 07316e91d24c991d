/**
 * What a command says: for people by default, with `--json` exactly one object on one line of standard output. Errors go
 * to standard error; the exit code says what kind.
 */

import { ConfigError } from "../lib/config-error.ts";
import { errnoOf, messageOf, type Reason, WeftError } from "../lib/errors.ts";
import { columnGap, columnMin, fitColumns, pieces } from "./fit-columns.ts";
import { suggestion } from "./nearest.ts";

/** Exit codes, after sysexits where it has one. */
export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  unavailable: 69,
  denied: 77,
  config: 78,
  interrupted: 130,
} as const;

const exitByReason: Partial<Record<Reason, number>> = {
  invalid_argument: exitCodes.usage,
  unavailable: exitCodes.unavailable,
  deadline_exceeded: exitCodes.unavailable,
  // No command cancels its own calls: the other side hung up.
  canceled: exitCodes.unavailable,
  permission_denied: exitCodes.denied,
  unauthenticated: exitCodes.denied,
};

/** What to do next, for failures whose cure is known. */
export type Hints = Partial<Record<Reason, string>>;

/** As an operator. */
export const operatorHints: Hints = {
  unavailable: "is control running, and is its address right? (weft config show)",
  deadline_exceeded: "control did not answer in time; try again, or look at its log",
  canceled:
    "the connection was closed: the operator certificate may have expired, been renewed elsewhere, or been revoked",
  permission_denied: "this identity may not do that",
  unauthenticated: "the operator certificate was not accepted; it may have expired or been revoked",
};

/** A value as JSON: 64-bit integers become numbers while exact, bytes become hex. Protobuf's own fields are left out. */
export function plain(value: unknown): unknown {
  if (typeof value === "bigint")
    return value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER ? Number(value) : value.toString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .filter(([key, field]) => !key.startsWith("$") && field !== undefined)
        .map(([key, field]) => [key, plain(field)]),
    );
  }
  return value;
}

export interface OutputOptions {
  readonly json?: boolean | undefined;
}

/** Prints a result: the object with `--json`, else the text. */
export function print(options: OutputOptions, object: object, text: () => string): void {
  process.stdout.write(
    options.json === true ? `${JSON.stringify(plain(object))}\n` : `${text().replace(/\n?$/, "\n")}`,
  );
}

/** Escapes what a terminal might obey: control characters and bidirectional overrides. */
export function safeText(text: string): string {
  return Array.from(text, (character) =>
    isUnsafe(character.codePointAt(0) ?? 0) ? escaped(character) : character,
  ).join("");
}

/** The same for text of several lines, such as the end of a log. */
export function safeLines(text: string): string {
  return text.split("\n").map(safeText).join("\n");
}

/** C0 and C1 controls, marks and overrides of writing direction. */
const unsafeRanges = [
  [0x00, 0x1f],
  [0x7f, 0x9f],
  [0x200e, 0x200f],
  [0x202a, 0x202e],
  [0x2066, 0x2069],
] as const;

function isUnsafe(code: number): boolean {
  return unsafeRanges.some(([from, to]) => code >= from && code <= to);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/**
 * A table with as narrow columns as its content allows. On a terminal it fits the lines there, unless a word is wider: cells go on
 * below. Anywhere else each row is one line, whatever its length.
 */
export function table(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  lineWidth: number | undefined = process.stdout.isTTY ? process.stdout.columns : undefined,
): string {
  if (rows.length === 0) return "(none)";
  const safeRows = rows.map((row) => row.map(safeText));
  const columns = headers.map((header, at) => [header, ...safeRows.map((row) => row[at] ?? "")]);
  const widths = fitColumns(
    columns.map((cells) => ({ wanted: Math.max(...cells.map(({ length }) => length)), min: columnMin(cells) })),
    lineWidth,
  );
  const lines = (cells: readonly string[]): string[] => {
    const cut = cells.map((cell, column) => pieces(cell, widths[column] ?? cell.length));
    const height = Math.max(...cut.map(({ length }) => length));
    return Array.from({ length: height }, (_, at) =>
      cut
        .map((column, index) => (column[at] ?? "").padEnd(widths[index] ?? 0))
        .join(" ".repeat(columnGap))
        .trimEnd(),
    );
  };
  return [headers, ...safeRows].flatMap(lines).join("\n");
}

/** A number of bytes as people read it, exact. */
export function bytesText(bytes: bigint): string {
  const units: readonly (readonly [string, bigint])[] = [
    ["GB", 1_000_000_000n],
    ["GiB", 1_073_741_824n],
    ["MB", 1_000_000n],
    ["MiB", 1_048_576n],
    ["kB", 1_000n],
    ["KiB", 1_024n],
  ];
  const [unit, size] = units.find(([, each]) => bytes >= each && bytes % each === 0n) ?? ["B", 1n];
  return `${bytes / size} ${unit}`;
}

/** Milliseconds since the epoch as people read them, or a dash. */
export function when(ms: bigint | number): string {
  const value = Number(ms);
  return value === 0 ? "-" : new Date(value).toISOString().replace(/\.\d+Z$/, "Z");
}

/** An identity as people tell it apart: `operator/op-…` of its SPIFFE URI; other words as they are. */
export function actorName(spiffe: string): string {
  return /^spiffe:\/\/[^/]+\/cluster\/[^/]+\/([a-z]+\/[^/]+)$/.exec(spiffe)?.[1] ?? spiffe;
}

/** `NODE_ROLE_ENTRY`'s short name is `entry`: the enum key in lower case with dashes. */
export function enumName(enumObject: Readonly<Record<string, string | number>>, value: number): string {
  const key = Object.keys(enumObject).find((name) => enumObject[name] === value);
  return (key ?? String(value)).toLowerCase().replaceAll("_", "-");
}

/**
 * The value of a short enum name.
 * @throws WeftError invalid_argument listing the names there are.
 */
export function enumValue<E extends Readonly<Record<string, string | number>>>(
  enumObject: E,
  name: string,
  what: string,
): Extract<E[keyof E], number> {
  const wanted = name.toUpperCase().replaceAll("-", "_");
  const value = enumObject[wanted];
  if (typeof value === "number" && value !== 0) return value as Extract<E[keyof E], number>;
  const names = Object.entries(enumObject)
    .filter(([, number]) => typeof number === "number" && number !== 0)
    .map(([key]) => enumName({ [key]: 1 }, 1));
  const near = suggestion(names, enumName({ [wanted]: 1 }, 1));
  const message = `"${name}" is no ${what}${near || ";"} choose one of ${names.join(", ")}`;
  throw new WeftError("invalid_argument", message, { detail: "CLI_ENUM" });
}

/** Help text of a group of commands: what people do with it most. */
export function groupExamples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`;
}

/** A failure as programs read it: one object. */
export function failureFacts(thrown: unknown): object {
  if (thrown instanceof ConfigError) return { ok: false, error: "config", problems: thrown.problems };
  const error = thrown instanceof WeftError ? thrown : undefined;
  const [reason, detail] = [error?.reason ?? "internal", error?.detail ?? "INTERNAL"];
  return { ok: false, error: reason, detail, message: messageOf(thrown) };
}

/** The exit code for a failure. */
export function exitCodeOf(thrown: unknown): number {
  if (thrown instanceof ConfigError) return exitCodes.config;
  // Without a context, or with one that cannot be used, no start of the same command can do any better.
  const isOfContext = thrown instanceof WeftError && thrown.detail.startsWith("CONTEXT_");
  if (isOfContext && thrown.reason !== "unavailable") return exitCodes.config;
  const reason = reasonOf(thrown);
  return (reason === undefined ? undefined : exitByReason[reason]) ?? exitCodes.failure;
}

/** A refused certificate is seen as a connection that breaks off: TLS 1.3 tells the client after its handshake. */
function reasonOf(thrown: unknown): Reason | undefined {
  if (errnoOf(thrown) === "ECONNRESET") return "canceled";
  return thrown instanceof WeftError ? thrown.reason : undefined;
}

/** Says what went wrong and returns the exit code for it. */
export function report(thrown: unknown, options: OutputOptions, hints: Hints = operatorHints): number {
  if (options.json === true) process.stdout.write(`${JSON.stringify(failureFacts(thrown))}\n`);
  if (thrown instanceof ConfigError) {
    process.stderr.write(`weft: ${thrown.message}\n`);
    return exitCodeOf(thrown);
  }
  const error = thrown instanceof WeftError ? thrown : undefined;
  const message = messageOf(thrown);
  const reason = reasonOf(thrown);
  const hint = reason === undefined ? undefined : hints[reason];
  process.stderr.write(
    `weft: ${safeLines(message)}${error === undefined ? "" : ` [${error.detail}]`}\n${hint === undefined ? "" : `  ${hint}\n`}`,
  );
  return exitCodeOf(thrown);
}
