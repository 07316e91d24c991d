/**
 * One workload as a state machine: what is wished for, what its process does, and what follows. Pure: time and chance come
 * with every event, what is to be done goes back as effects; `supervised.ts` is the shell around it.
 *
 * WM1. There is at most one process: `spawn` is asked only when none was spawned, or the one before has ended with all of its
 *      group.
 * WM2. Nothing is spawned unless it is wished for right now, and a wish that ended is followed by the end of its process:
 *      politely at first, by force after its grace.
 * WM3. A process that ended by itself, or was ended because it was unwell, is followed by another one only after a wait within
 *      its bounds, and only `restartsMaxCount` times within the window: then it is failed until somebody wishes anew.
 * WM4. Stopped, degraded and failed have no process.
 */

export interface RunPolicy {
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  readonly restartsMaxCount: number;
  readonly windowMs: number;
  readonly stopGraceMs: number;
  /** Absent: running as soon as there is a process. */
  readonly health?: { readonly failuresMaxCount: number; readonly startWithinMs: number };
}

export type Wish =
  /** `fingerprint` names what is run: another one is another process. */
  | { readonly kind: "run"; readonly fingerprint: string; readonly policy: RunPolicy }
  /** `graceMs` shortens the grace of what runs: the agent itself is ending. */
  | { readonly kind: "stop"; readonly graceMs?: number }
  /** It is wished for, and this host will not run it. */
  | { readonly kind: "refuse"; readonly reason: string };

export type Phase =
  | { readonly at: "stopped" | "degraded" | "failed" }
  /** There is a process, or there is about to be one. */
  | { readonly at: "starting" | "running" | "unhealthy"; readonly startedAtMs: number; readonly failures: number }
  | { readonly at: "backoff"; readonly untilMs: number }
  | { readonly at: "stopping"; readonly killAtMs: number; readonly killed: boolean; readonly unwell: boolean };

export type WorkloadPhase = Phase["at"];

export interface MachineState {
  readonly phase: Phase;
  readonly wish: Wish;
  /** What the process that runs, or ran last, was started as. */
  readonly started: (Wish & { readonly kind: "run" }) | undefined;
  /** Why it is in this phase; empty where that says itself. */
  readonly reason: string;
  /** Waits since a process last stayed up for long. */
  readonly attempts: number;
  /** When processes ended that had to be followed by another one, within the window. */
  readonly ends: readonly number[];
  /** Processes that followed one that ended by itself or was unwell. */
  readonly restarts: number;
  /** How the process before ended; empty: none has. */
  readonly lastEnd: string;
}

export type MachineEvent =
  | { readonly kind: "wish"; readonly wish: Wish }
  | { readonly kind: "spawned" }
  | { readonly kind: "spawn-failed"; readonly reason: string }
  /** The process and all of its group are gone. */
  | { readonly kind: "ended"; readonly how: string }
  | { readonly kind: "healthy" }
  | { readonly kind: "unwell"; readonly reason: string }
  /** `wakeAtMs` has come. */
  | { readonly kind: "due" };

export type Effect = "spawn" | "term" | "kill";

export interface Step {
  readonly state: MachineState;
  readonly effects: readonly Effect[];
}

/** What a step needs of the world. */
export interface Now {
  readonly monoMs: number;
  /** 0..1. */
  readonly chance: number;
}

const jitterShare = 0.2;

/** A workload nobody has wished anything of. */
export const idleMachine: MachineState = {
  phase: { at: "stopped" },
  wish: { kind: "stop" },
  started: undefined,
  reason: "",
  attempts: 0,
  ends: [],
  restarts: 0,
  lastEnd: "",
};

/** When `due` is to be sent, in monotonic milliseconds; undefined: never. */
export function wakeAtMs({ phase, started }: MachineState): number | undefined {
  if (phase.at === "backoff") return phase.untilMs;
  if (phase.at === "stopping") return phase.killed ? undefined : phase.killAtMs;
  const health = started?.policy.health;
  return phase.at === "starting" && health !== undefined ? phase.startedAtMs + health.startWithinMs : undefined;
}

/** Whether there is a process, or is about to be one. */
export function isLive({ phase }: MachineState): boolean {
  return phase.at === "starting" || phase.at === "running" || phase.at === "unhealthy" || phase.at === "stopping";
}

/** The wait before the next start, in milliseconds: doubling, with jitter. */
export function backoffMs(policy: RunPolicy, attempts: number, chance: number): number {
  const base = Math.min(policy.backoffMaxMs, policy.backoffMinMs * 2 ** Math.min(attempts, 40));
  return base * (1 - jitterShare + 2 * jitterShare * chance);
}

/** What follows from an event. Events that mean nothing in a phase change nothing. */
export function step(state: MachineState, event: MachineEvent, now: Now): Step {
  switch (event.kind) {
    case "wish":
      return wished(state, event.wish, now);
    case "spawned":
      if (state.phase.at !== "starting" || state.started?.policy.health !== undefined) return same(state);
      return { state: { ...state, phase: { ...state.phase, at: "running" }, reason: "" }, effects: [] };
    case "spawn-failed":
      return isLive(state) ? ended({ ...state, reason: event.reason }, event.reason, now) : same(state);
    case "ended":
      return isLive(state) ? ended(state, event.how, now) : same(state);
    case "healthy":
      return healthy(state);
    case "unwell":
      return unwell(state, event.reason, now);
    case "due":
      return due(state, now);
  }
}

function same(state: MachineState): Step {
  return { state, effects: [] };
}

function wished(before: MachineState, wish: Wish, now: Now): Step {
  const state = { ...before, wish };
  if (state.phase.at === "stopping") return hurried(state, wish, now);
  if (isLive(state)) {
    const stays = wish.kind === "run" && wish.fingerprint === state.started?.fingerprint;
    return stays ? same(state) : stopping(state, now, { unwell: false, reason: "" });
  }
  // What waits or has failed goes on doing so until something else is wished for.
  const isNews = before.wish.kind !== "run" || wish.kind !== "run" || before.wish.fingerprint !== wish.fingerprint;
  return isNews ? settled(state, now) : same(state);
}

/** A stop that is under way may become shorter, never longer. */
function hurried(state: MachineState, wish: Wish, now: Now): Step {
  if (state.phase.at !== "stopping" || wish.kind !== "stop" || wish.graceMs === undefined) return same(state);
  const killAtMs = Math.min(state.phase.killAtMs, now.monoMs + wish.graceMs);
  return { state: { ...state, phase: { ...state.phase, killAtMs } }, effects: [] };
}

/** Without a process: what the wish says, from the beginning. */
function settled(state: MachineState, now: Now): Step {
  const { wish } = state;
  const fresh = { ...state, attempts: 0, ends: [] };
  if (wish.kind === "run") return spawning(fresh, wish, now);
  if (wish.kind === "refuse")
    return { state: { ...fresh, phase: { at: "degraded" }, reason: wish.reason }, effects: [] };
  return { state: { ...fresh, phase: { at: "stopped" }, reason: "" }, effects: [] };
}

function spawning(state: MachineState, wish: Wish & { readonly kind: "run" }, now: Now): Step {
  const phase = { at: "starting", startedAtMs: now.monoMs, failures: 0 } as const;
  return { state: { ...state, phase, started: wish, reason: "" }, effects: ["spawn"] };
}

function stopping(state: MachineState, now: Now, why: { readonly unwell: boolean; readonly reason: string }): Step {
  const grace = state.started?.policy.stopGraceMs ?? 0;
  const asked = state.wish.kind === "stop" ? (state.wish.graceMs ?? grace) : grace;
  const killAtMs = now.monoMs + Math.min(grace, asked);
  const phase = { at: "stopping", killAtMs, killed: false, unwell: why.unwell } as const;
  return { state: { ...state, phase, reason: why.reason }, effects: ["term"] };
}

function ended(before: MachineState, how: string, now: Now): Step {
  const state = { ...before, lastEnd: how };
  const { wish, phase, started } = state;
  const goesOn = wish.kind === "run" && wish.fingerprint === started?.fingerprint;
  if (!goesOn || (phase.at === "stopping" && !phase.unwell)) return settled(state, now);
  const { policy } = wish;
  const ends = [...state.ends.filter((at) => at > now.monoMs - policy.windowMs), now.monoMs];
  if (ends.length > policy.restartsMaxCount) {
    const reason = `ended ${ends.length} times within ${policy.windowMs} ms, the last time: ${how}`;
    return { state: { ...state, phase: { at: "failed" }, reason, ends }, effects: [] };
  }
  const upMs = "startedAtMs" in phase ? now.monoMs - phase.startedAtMs : 0;
  const attempts = upMs >= policy.backoffMaxMs ? 0 : state.attempts;
  const untilMs = now.monoMs + backoffMs(policy, attempts, now.chance);
  const reason = phase.at === "stopping" ? `was unwell: ${state.reason}` : `ended by itself: ${how}`;
  return {
    state: { ...state, phase: { at: "backoff", untilMs }, reason, ends, attempts: attempts + 1 },
    effects: [],
  };
}

function healthy(state: MachineState): Step {
  const { phase } = state;
  if (phase.at !== "starting" && phase.at !== "running" && phase.at !== "unhealthy") return same(state);
  return { state: { ...state, phase: { ...phase, at: "running", failures: 0 }, reason: "" }, effects: [] };
}

function unwell(state: MachineState, reason: string, now: Now): Step {
  const { phase, started } = state;
  // While it starts, it may be unwell until its time for that is over.
  if (phase.at === "starting") return { state: { ...state, reason }, effects: [] };
  if (phase.at !== "running" && phase.at !== "unhealthy") return same(state);
  const failures = phase.failures + 1;
  if (failures >= (started?.policy.health?.failuresMaxCount ?? 1))
    return stopping(state, now, { unwell: true, reason });
  return { state: { ...state, phase: { ...phase, at: "unhealthy", failures }, reason }, effects: [] };
}

function due(state: MachineState, now: Now): Step {
  const atMs = wakeAtMs(state);
  if (atMs === undefined || now.monoMs < atMs) return same(state);
  const { phase, wish } = state;
  if (phase.at === "stopping") return { state: { ...state, phase: { ...phase, killed: true } }, effects: ["kill"] };
  if (phase.at === "backoff" && wish.kind === "run") {
    return spawning({ ...state, restarts: state.restarts + 1 }, wish, now);
  }
  if (phase.at === "starting") {
    const reason = state.reason === "" ? "no answer" : state.reason;
    return stopping(state, now, { unwell: true, reason: `not well in time: ${reason}` });
  }
  return same(state);
}
