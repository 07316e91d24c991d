/**
 * Whether a recorded history of one lease could have come from one lease at all: a linearizability check. What was answered
 * carries the store's own time, which orders it; what was refused, or never answered, may stand anywhere within its call.
 *
 * H1. A fence has one holder, and fences are given out in the order of time, none left out except by a call nobody saw end.
 * H2. A tenure begins when the one before it has ended, and is prolonged only while it lasts.
 * H3. Every answer lies within its call; so does a moment that explains every refusal.
 * H4. Whoever looked at its own monotonic clock and went on acting did so before anybody else held.
 * H5. An enforcing point takes no lower fence after a higher one, and none of two holders.
 *
 * The objects have unique values (fences), so the order of what succeeded is known and no search is needed: the check is
 * exact, up to `slackMs` between a statement's look at the clock and the time it answers with.
 */

export interface Hold {
  readonly counter: number;
  /** The store's clock when the statement ran. */
  readonly atMs: number;
  readonly expiresAtMs: number;
}

export type LeaseOutcome =
  | ({ readonly kind: "held" } & Hold)
  | { readonly kind: "released"; readonly counter: number; readonly atMs: number }
  | { readonly kind: "refused" }
  /** The connection died: it may have happened, then or a little later, or not. */
  | { readonly kind: "unknown" };

export interface LeaseCall {
  readonly contender: string;
  readonly call: "acquire" | "renew" | "release";
  /** The fence a renewal or release was for; 0 of an acquire. */
  readonly counter: number;
  /** Wall clock of the host that the store's clock reads too. */
  readonly invokedMs: number;
  readonly returnedMs: number;
  readonly outcome: LeaseOutcome;
}

/** A contender looked at its own clock and took itself for the holder. */
export interface Look {
  readonly contender: string;
  readonly counter: number;
  /** When it really was, by the clock of `LeaseCall`. */
  readonly atMs: number;
}

/** What an enforcing point took, in the order in which it did. */
export interface Taken {
  readonly contender: string;
  readonly counter: number;
}

export interface LeaseHistory {
  readonly ttlMs: number;
  readonly calls: readonly LeaseCall[];
  readonly looks: readonly Look[];
  readonly taken: readonly Taken[];
}

/** Scheduling between the parts of one statement on a busy machine. */
export const slackMs = 60;
/** How long after its client heard of its death a statement may still have an effect. */
const lateEffectMs = 1_000;

interface Tenure {
  readonly contender: string;
  readonly counter: number;
  readonly fromMs: number;
  untilMs: number;
}

type Answered = LeaseCall & { readonly outcome: { readonly kind: "held" | "released" } & Omit<Hold, "expiresAtMs"> };

const isAnswered = (call: LeaseCall): call is Answered =>
  call.outcome.kind === "held" || call.outcome.kind === "released";

const say = (law: string, text: string, call: LeaseCall): string =>
  `${law}: ${text} (${call.contender} ${call.call} ${JSON.stringify(call.outcome)} in ${call.invokedMs.toFixed(0)}..${call.returnedMs.toFixed(0)})`;

/** Every way the history breaks the law; empty for one that a lease can have. */
export function violations(history: LeaseHistory): string[] {
  const found: string[] = [];
  const answered = history.calls
    .filter(isAnswered)
    .sort((a, b) => a.outcome.atMs - b.outcome.atMs || a.outcome.counter - b.outcome.counter);
  const unknown = history.calls.filter(({ outcome }) => outcome.kind === "unknown");
  for (const call of answered) {
    const { atMs } = call.outcome;
    if (atMs < call.invokedMs - slackMs || atMs > call.returnedMs + slackMs)
      found.push(say("H3", "answered outside of its call", call));
  }
  const tenures = replay(answered, unknown, found);
  for (const call of history.calls) {
    if (call.outcome.kind === "refused" && !isExplained(call, tenures, unknown, history.ttlMs))
      found.push(say("H3", "refused for no reason", call));
  }
  found.push(...lookFaults(history.looks, tenures), ...takenFaults(history.taken));
  return found;
}

/** Plays what was answered in the order of the store's time (H1, H2); returns who held when. */
function replay(answered: readonly Answered[], unknown: readonly LeaseCall[], found: string[]): Tenure[] {
  const tenures: Tenure[] = [];
  const unseen = unknown.filter(({ call }) => call === "acquire");
  let skipped = 0;
  for (const call of answered) {
    const last = tenures.at(-1);
    const { outcome, contender } = call;
    if (last !== undefined && outcome.counter < last.counter) {
      found.push(say("H1", `fence ${last.counter} had been given out`, call));
    } else if (last !== undefined && outcome.counter === last.counter) {
      if (contender !== last.contender) found.push(say("H1", `the fence is ${last.contender}'s`, call));
      const prolonged = unknown.some((each) => each.contender === contender && each.invokedMs <= outcome.atMs);
      if (outcome.atMs > last.untilMs + slackMs && !prolonged)
        found.push(say("H2", `the tenure had ended ${outcome.atMs - last.untilMs} ms before`, call));
      last.untilMs = outcome.kind === "held" ? expiryOf(call) : Math.min(last.untilMs, outcome.atMs);
    } else {
      const given = outcome.counter - (last?.counter ?? 0) - 1;
      skipped += given;
      if (skipped > unseen.filter(({ invokedMs }) => invokedMs <= outcome.atMs + slackMs).length)
        found.push(say("H1", `${given} fences were left out`, call));
      if (call.call !== "acquire") found.push(say("H1", "only acquiring gives a fence", call));
      // Only after a fence that nobody saw given out is it not known when the tenure before it ended.
      if (last !== undefined && outcome.atMs < last.untilMs - slackMs)
        found.push(say("H2", `${last.contender} held for ${last.untilMs - outcome.atMs} ms more`, call));
      tenures.push({ contender, counter: outcome.counter, fromMs: outcome.atMs, untilMs: expiryOf(call) });
    }
  }
  return tenures;
}

const expiryOf = ({ outcome }: Answered): number =>
  outcome.kind === "held" ? (outcome as Hold).expiresAtMs : outcome.atMs;

/** Whether some moment of the call explains that it was refused (H3). */
function isExplained(
  { contender, call, counter, invokedMs, returnedMs }: LeaseCall,
  tenures: readonly Tenure[],
  unknown: readonly LeaseCall[],
  ttlMs: number,
): boolean {
  const from = invokedMs - slackMs;
  const until = returnedMs + slackMs;
  if (call === "acquire") {
    const held = tenures.some((each) => each.contender !== contender && each.fromMs <= until && each.untilMs >= from);
    const maybe = (each: LeaseCall): boolean =>
      each.contender !== contender && each.invokedMs <= until && each.returnedMs + lateEffectMs + ttlMs >= from;
    return held || unknown.some(maybe);
  }
  const own = tenures.find((each) => each.counter === counter && each.contender === contender);
  const passedOn = tenures.some((each) => each.counter > counter && each.fromMs <= until);
  return own === undefined || own.untilMs <= until || passedOn;
}

function lookFaults(looks: readonly Look[], tenures: readonly Tenure[]): string[] {
  return looks.flatMap(({ contender, counter, atMs }) => {
    const next = tenures.find((each) => each.counter > counter);
    if (next === undefined || atMs <= next.fromMs + slackMs) return [];
    const lateMs = (atMs - next.fromMs).toFixed(0);
    return [`H4: ${contender} acted under ${counter} when ${next.contender} had held ${next.counter} for ${lateMs} ms`];
  });
}

function takenFaults(taken: readonly Taken[]): string[] {
  const found: string[] = [];
  let highest: Taken | undefined;
  for (const each of taken) {
    if (highest !== undefined && each.counter < highest.counter)
      found.push(`H5: ${each.contender} was taken under ${each.counter} after ${highest.counter}`);
    else if (highest?.counter === each.counter && highest.contender !== each.contender)
      found.push(`H5: ${each.contender} and ${highest.contender} were both taken under ${each.counter}`);
    else highest = each;
  }
  return found;
}
