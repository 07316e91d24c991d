/** One seed: its world, its script, and what came of it. */

import { limits } from "../../lib/limits.ts";
import { type Random, randomInt, seededRandom } from "../../lib/random.ts";
import { Checks, LawBroken, leftovers, unrest } from "./checks.ts";
import { calm, type Fault, isHard, play, storm } from "./faults.ts";
import { watch } from "./probes.ts";
import { type Shape, World } from "./world.ts";

export interface Ran {
  readonly seed: number;
  readonly kind: "storm" | "calm";
  readonly shape: Shape;
  readonly faults: readonly Fault[];
  readonly moves: number;
  readonly accusations: number;
  readonly bytes: number;
  readonly replayedBytes: number;
  readonly opened: number;
  readonly turns: number;
  /** The law that was broken, and how; empty when none was. */
  readonly broken: string;
  readonly world: World;
}

const WARM_MS = 900;
/** What drained or was revoked is not used again for 30 s; then backoffs, a herd's spread, a second look for a better spare. */
const REST_WITHIN_MS = limits.shunnedNodeMs + 15_000;
const LOOK_EVERY_MS = 250;
/** Of storms: they end with a tie of moves. */
const TIES_SHARE = 0.1;

function shapeOf(random: Random): Shape {
  const outers = random.float() < 0.3 ? 1 + randomInt(random, 3) : 0;
  return {
    middles: 1 + randomInt(random, outers > 0 ? 3 : 4),
    outers,
    linkDelayMs: random.float() < 0.5 ? 0.2 + random.float() : 2 + random.float() * 12,
    leafLifeMs: random.float() < 0.15 ? 4_000 + random.float() * 12_000 : undefined,
    channels: 1 + randomInt(random, 3),
    lanes: (["bulk", "interactive", "both"] as const)[randomInt(random, 3)] ?? "bulk",
    writeEveryMs: 40 + random.float() * 110,
    writeMaxBytes: random.float() < 0.1 ? 8_000 : 1_200,
  };
}

export function openChannels(world: World): void {
  const { channels, lanes } = world.shape;
  for (let n = 0; n < channels; n += 1) {
    world.open(lanes === "both" ? (n % 2 === 0 ? "bulk" : "interactive") : lanes);
  }
}

/** The world of a seed with its script. */
export function prepare(seed: number): {
  readonly world: World;
  readonly kind: "storm" | "calm";
  readonly faults: Fault[];
} {
  const random = seededRandom(seed);
  const kind = random.float() < 0.25 ? "calm" : "storm";
  const world = new World(shapeOf(random), random);
  const faults =
    kind === "calm"
      ? calm(world, random, 1 + randomInt(random, 4), 1_500)
      : storm(world, random, 1 + randomInt(random, 6), 300 + random.float() * 2_200);
  // By a chance of their own: what a seed meant before there were ties it means still, as far as it has none.
  const own = seededRandom(seed + 2 ** 20);
  if (kind === "storm" && own.float() < TIES_SHARE) {
    const atMs = Math.max(0, ...faults.map((fault) => fault.atMs + fault.forMs)) + 1_000 + own.float() * 3_000;
    faults.push({ atMs, forMs: 1_000, kind: "tie", target: "" });
  }
  return { world, kind, faults };
}

/** Plays a seed and says what was broken. */
export async function runSeed(seed: number): Promise<Ran> {
  const { world, kind, faults } = prepare(seed);
  let broken = "";
  try {
    await playOut(world, kind, faults);
  } catch (error) {
    if (error instanceof LawBroken) broken = error.message;
    else broken = `a crash: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
  watch(undefined);
  const { moves, accusations, applications, opener, loop } = world;
  return {
    seed,
    kind,
    shape: world.shape,
    faults,
    moves: moves.filter(({ cause }) => cause !== "first").length,
    accusations: accusations.length,
    bytes: applications.reduce((sum, { arrivedBytes }) => sum + arrivedBytes, 0),
    replayedBytes: moves.reduce((sum, { replayedBytes }) => sum + replayedBytes, 0),
    opened: opener.opened,
    turns: loop.turns,
    broken,
    world,
  };
}

async function playOut(world: World, kind: "storm" | "calm", faults: readonly Fault[]): Promise<void> {
  const checks = new Checks(world, false);
  const { loop } = world;
  openChannels(world);
  const overMs = play(world, faults, WARM_MS);
  world.load();
  await loop.run(overMs + 400, checks.turn);
  world.loading = false;
  world.loop.at(loop.nowMs, () => {
    for (const { stream } of world.applications) if (stream.isPaused()) stream.resume();
  });
  await rest(world, checks, () => unrest(world), REST_WITHIN_MS, "not at rest");
  checkMoves(world, kind, faults);
  world.loop.at(loop.nowMs, () => {
    for (const application of world.applications) application.end();
  });
  await rest(world, checks, () => leftovers(world), 5_000, "left over");
}

/** Runs until nothing is left of `why`, at most for so long. */
async function rest(world: World, checks: Checks, why: () => string[], withinMs: number, what: string): Promise<void> {
  const { loop } = world;
  const untilMs = loop.nowMs + withinMs;
  for (;;) {
    await loop.run(loop.nowMs + LOOK_EVERY_MS, checks.turn);
    const left = why();
    if (left.length === 0) return;
    if (loop.nowMs >= untilMs) throw new LawBroken(`${what} after ${withinMs} ms: ${left.join("; ")}`);
  }
}

/** A calm world moves nothing but what gets old; others no more than their faults explain. */
function checkMoves(world: World, kind: "storm" | "calm", faults: readonly Fault[]): void {
  const moves = world.moves.filter(({ cause }) => cause !== "first");
  const { leafLifeMs } = world.shape;
  if (kind === "calm" && leafLifeMs === undefined && moves.length > 0) {
    throw new LawBroken(`${moves.length} moves without a fault, the first ${moves[0]?.cause}`);
  }
  const rotations = leafLifeMs === undefined ? 0 : world.loop.nowMs / (leafLifeMs / 2);
  const most =
    8 + 8 * faults.filter((fault) => isHard(fault) || fault.kind === "move" || fault.kind === "drain").length;
  if (moves.length > most + 8 * rotations) throw new LawBroken(`${moves.length} moves for ${faults.length} faults`);
}

/** A run as it is printed when it broke something. */
export function report({ seed, kind, shape, faults, broken, world }: Ran): string {
  const script = faults.map(({ atMs, forMs, kind: what, target }) => {
    return `  ${(atMs + WARM_MS).toFixed(1)} ms: ${what} ${target} for ${forMs.toFixed(1)} ms`;
  });
  const moves = world.moves.map(({ atMs, initiator, lane, cause, generation, hops }) => {
    return `  ${atMs.toFixed(1)} ms: ${initiator ? "near" : "far"} ${lane} to ${hops.join("-")} (${cause}, ${generation})`;
  });
  const head = `seed ${seed} (${kind}) at ${world.loop.nowMs.toFixed(1)} ms: ${broken}`;
  return [head, JSON.stringify(shape), "script:", ...script, "moves:", ...moves].join("\n");
}
