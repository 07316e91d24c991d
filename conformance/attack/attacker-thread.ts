/** The thread of an `Attacker`: one attack after the other, each within its range. */

import { setPriority } from "node:os";
import { parentPort } from "node:worker_threads";
import { systemClock } from "../../lib/clock.ts";
import { messageOf } from "../../lib/errors.ts";
import { systemRandom } from "../../lib/random.ts";
import type { AttackerSays, AttackOrder } from "./attacker.ts";
import { attackClass } from "./classes.ts";
import { Range } from "./range.ts";

/** What the target may still be reading when the last frame was sent; a cut that comes sooner is not waited for. */
const settleDefaultMs = 10_000;
const niceness = 10;

let stop = new AbortController();

function say(said: AttackerSays): void {
  parentPort?.postMessage(said);
}

async function attack(order: AttackOrder): Promise<void> {
  stop = new AbortController();
  const { classId, speaksHttp2, ...rest } = order;
  const { run, settleMs = settleDefaultMs, ...kind } = attackClass(classId);
  const cutAfterUnits = speaksHttp2 ? kind.cutAfterUnits : (kind.cutAfterUnitsUnserved ?? kind.cutAfterUnits);
  const range = new Range({ ...rest, clock: systemClock, random: systemRandom, signal: stop.signal });
  try {
    await Promise.all([run(range), range.ended]);
  } finally {
    say({ kind: "sent" });
    await range.close(cutAfterUnits, settleMs);
  }
  say({ kind: "done", tally: range.tally });
}

try {
  // Of this thread alone, where threads have one; elsewhere nothing is asked for.
  if (process.platform === "linux") setPriority(niceness);
} catch {
  // Not allowed: then it competes.
}

parentPort?.on("message", (order: AttackOrder | "stop") => {
  if (order === "stop") stop.abort();
  else attack(order).catch((thrown: unknown) => say({ kind: "failed", why: messageOf(thrown) }));
});
