/**
 * What may not be true of a process that holds keys: switches of the runtime that write session secrets to a file, open a
 * debugger or stop verifying peers. Checked once, at start, before any key is read.
 */

/** What a process was started with; `bin.ts` files pass `process.env` and `process.execArgv`. */
export interface StartFacts {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly execArgv: readonly string[];
}

/** EX_CONFIG of sysexits.h: the configuration is wrong, starting again changes nothing. */
export const EXIT_CONFIG = 78;

const unsafeFlags = ["--tls-keylog", "--inspect", "--inspect-brk", "--inspect-wait", "--inspect-port", "--tls-min-v1"];

/** The reasons this process must not start outside development; empty when there are none. */
export function unsafeStart(facts: StartFacts): string[] {
  const problems: string[] = [];
  if (facts.env["NODE_TLS_REJECT_UNAUTHORIZED"] === "0") {
    problems.push("NODE_TLS_REJECT_UNAUTHORIZED=0 turns the verification of peers off");
  }
  if (facts.env["SSLKEYLOGFILE"] !== undefined && facts.env["SSLKEYLOGFILE"] !== "") {
    problems.push("SSLKEYLOGFILE asks for session secrets to be written");
  }
  for (const [where, words] of [
    ["the command line", facts.execArgv],
    ["NODE_OPTIONS", (facts.env["NODE_OPTIONS"] ?? "").split(/[\s"']+/)],
  ] as const) {
    for (const flag of unsafeFlags) {
      // Node takes underscores for dashes, and abbreviates nothing.
      const given = words.some((word) => word.replaceAll("_", "-").split(/[=.]/)[0] === flag);
      if (given) problems.push(`${flag} in ${where} opens secrets of this process to others`);
    }
  }
  return problems;
}
