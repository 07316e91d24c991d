/**
 * One command for several things: each is tried by itself, and what became of each is told. One that cannot be done keeps no other from
 * being done; once control does not answer any more, the rest is not tried, and told to be so.
 *
 * With one thing a command answers as if there had never been several. With more, `--json` is one object with a result for each, in
 * their order, and the exit code is that of the first that was not done.
 */

import { isUnknownRoot } from "../certs/unknown-root.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { exitCodeOf, failureFacts, type OutputOptions, print, safeLines } from "./output.ts";
import { action, type GlobalOptions, type Session, withSession } from "./session.ts";

export interface Batch<Options, Answer extends object> {
  work(session: Session, item: string, options: Options): Promise<Answer>;
  /** What is told of one that was done. */
  text(answer: Answer, item: string): string;
}

type Result<Answer> =
  | { readonly item: string; readonly answer: Answer }
  | { readonly item: string; readonly thrown: unknown }
  | { readonly item: string; readonly notTried: true };

/** Whether the next one can only fare the same. */
function isGone(thrown: unknown): boolean {
  if (!(thrown instanceof WeftError)) return true;
  return (
    thrown.reason === "unavailable" || thrown.reason === "deadline_exceeded" || thrown.reason === "unauthenticated"
  );
}

/** Tries one after the other. Throws only what says that nothing was asked yet. */
export async function tryEach<Answer>(
  items: readonly string[],
  work: (item: string) => Promise<Answer>,
): Promise<Result<Answer>[]> {
  const results: Result<Answer>[] = [];
  let gone = false;
  for (const item of new Set(items)) {
    if (gone) {
      results.push({ item, notTried: true });
      continue;
    }
    try {
      results.push({ item, answer: await work(item) });
    } catch (thrown) {
      if (isUnknownRoot(thrown) && results.length === 0) throw thrown;
      gone = isGone(thrown);
      results.push({ item, thrown });
    }
  }
  return results;
}

function factsOf<Answer extends object>(result: Result<Answer>): object {
  const { item } = result;
  if ("answer" in result) return { item, ok: true, ...result.answer };
  if ("thrown" in result) return { item, ...failureFacts(result.thrown) };
  return { item, ok: false, error: "unavailable", detail: "NOT_TRIED", message: "not tried" };
}

function failureText<Answer>(result: Result<Answer>): string[] {
  if ("answer" in result) return [];
  if ("notTried" in result) return [`${result.item}: not tried`];
  const { item, thrown } = result;
  return [`${item}: ${messageOf(thrown)}${thrown instanceof WeftError ? ` [${thrown.detail}]` : ""}`];
}

/** Tells of each, what failed on standard error; the exit code for all. */
export function tellEach<Answer extends object>(
  options: OutputOptions,
  results: readonly Result<Answer>[],
  text: (answer: Answer, item: string) => string,
): number | undefined {
  const done = results.flatMap((result) => ("answer" in result ? [result] : []));
  const failed = results.filter((result) => !("answer" in result));
  const facts = { ok: failed.length === 0, done: done.length, failed: failed.length, results: results.map(factsOf) };
  if (options.json === true || done.length > 0)
    print(options, facts, () => done.map(({ answer, item }) => text(answer, item)).join("\n"));
  for (const line of failed.flatMap(failureText)) process.stderr.write(`weft: ${safeLines(line)}\n`);
  if (failed.length === 0) return undefined;
  const names = failed.map(({ item }) => item).join(", ");
  process.stderr.write(`weft: ${done.length} of ${results.length} done; not done: ${safeLines(names)}\n`);
  const first = failed.find((result) => "thrown" in result);
  return exitCodeOf(first !== undefined && "thrown" in first ? first.thrown : undefined);
}

/** Does it for each, and tells of each. */
export async function runBatch<Options extends GlobalOptions, Answer extends object>(
  batch: Batch<Options, Answer>,
  options: Options,
  items: readonly string[],
): Promise<void> {
  const [only, ...more] = items;
  if (only === undefined) return;
  if (more.length === 0) {
    const answer = await withSession(options, (session) => batch.work(session, only, options));
    return print(options, answer, () => batch.text(answer, only));
  }
  const results = await withSession(options, (session) => tryEach(items, (item) => batch.work(session, item, options)));
  process.exitCode = tellEach(options, results, batch.text) ?? process.exitCode;
}

/** As an action of a command whose argument is `<thing...>`. */
export function batchAction<Options extends GlobalOptions, Answer extends object>(batch: Batch<Options, Answer>) {
  return action((options: Options, items: string[]): Promise<void> => runBatch(batch, options, items));
}
