/**
 * One run of the failover bench: a window without a fault, the fault, a window of the same length with it, and the proof
 * that every byte arrived once.
 *
 * V1. A run counts only if the faulted node carried the active path in the 200 ms before the fault, a move was recorded
 *     after it, and no other move within the run's windows before it.
 * V2. Control is stopped from 1 s before the fault until every byte is verified.
 */

import { setTimeout as delay } from "node:timers/promises";
import { movesOf, type SeenEvent } from "../load/edge-watch.ts";
import type { Load, LoadVerdict } from "../load/load.ts";
import type { Standing } from "../load/standing.ts";
import { type FaultName, prepareFault, type World } from "./faults.ts";
import type { Subject } from "./subject.ts";

export interface RunOutcome {
  readonly valid: boolean;
  /** Why it does not count. */
  readonly why: string;
  /** What the fault was done to. */
  readonly node: string;
  readonly gapMs: number;
  readonly baselineMs: number;
  readonly medianMs: number;
  readonly moves: readonly SeenEvent[];
  /** From the fault to the first move, by the wall clock of the edges. */
  readonly movedAfterMs: number;
  readonly controlRpcs: number;
  /** Everything since the channels were opened. */
  readonly verdict: LoadVerdict;
}

export interface RunPlan {
  readonly fault: FaultName;
  readonly world: World;
  readonly load: Load;
  readonly subject: Subject;
  readonly windowMs: number;
}

/** How long the knowledge of the active path may be old when the fault is done. */
const activeMaxAgeMs = 200;
const controlStoppedBeforeMs = 1_000;
const baselineWindow = 1;
const faultWindow = 2;
const restWindow = 3;

/** Calls of upkeep, made on timers whatever trunks, paths and routes do. */
const upkeepCalls = new Set([
  "weft.heartbeat.v1.HeartbeatService/Beat",
  "weft.control.v1.ControlService/WatchSnapshot",
  "weft.control.v1.ControlService/ReportWorkloads",
  "weft.enrollment.v1.EnrollmentService/Renew",
  "weft.enrollment.v1.EnrollmentService/Recover",
  "weft.routing.v1.RoutingService/ReportLinks",
]);

/** Calls to control the edges have started that are not upkeep. */
async function controlCalls(standing: Standing, edges: readonly string[]): Promise<number> {
  let count = 0;
  for (const { counters } of await Promise.all(edges.map((name) => standing.node(name).client.getStatus({})))) {
    for (const [call, calls] of Object.entries(counters?.controlCalls ?? {})) {
      if (!upkeepCalls.has(call)) count += Number(calls);
    }
  }
  return count;
}

interface Done {
  readonly why: string;
  readonly firstEvent: number;
  readonly calls: number;
  readonly injectedAtMs: number;
}

/** Does the fault at the end of the window without one. */
async function windows(plan: RunPlan, node: string, fault: Awaited<ReturnType<typeof prepareFault>>): Promise<Done> {
  const { world, load, subject, windowMs } = plan;
  const { standing } = world;
  await load.sendInto(0);
  await delay(1_000);
  const eventsBefore = (await subject.events()).length;
  await load.sendInto(baselineWindow);
  await delay(Math.max(0, windowMs - controlStoppedBeforeMs));
  process.kill(standing.control.pid, "SIGSTOP");
  const callsBefore = await controlCalls(standing, subject.edges);
  // The phase of the fault within whatever runs on timers is left to chance.
  await delay(controlStoppedBeforeMs + Math.random() * 100);
  await load.sendInto(faultWindow);
  const before = await subject.events();
  const movedBefore = movesOf(before.slice(eventsBefore), { rotations: true }).length;
  const firstEvent = before.length;
  const { active, ageMs } = await askActive(subject);
  const injectedAtMs = Date.now();
  await fault.inject();
  await delay(windowMs);
  const calls = (await controlCalls(standing, subject.edges)) - callsBefore;
  await load.sendInto(restWindow);
  const why = !active.includes(node)
    ? `${node} did not carry the active path any more`
    : movedBefore > 0
      ? "the trunk moved before the fault"
      : ageMs > activeMaxAgeMs
        ? `it was ${Math.round(ageMs)} ms ago that ${node} was known to carry the active path`
        : "";
  return { why, firstEvent, calls, injectedAtMs };
}

/** The nodes of the active path, asked again until the answer came quickly enough to be of use. */
async function askActive(subject: Subject): Promise<{ readonly active: readonly string[]; readonly ageMs: number }> {
  for (let attempt = 1; ; attempt += 1) {
    const askedMs = performance.now();
    const active = await subject.active();
    const ageMs = performance.now() - askedMs;
    if (ageMs < activeMaxAgeMs / 2 || attempt === 10) return { active, ageMs };
  }
}

/** Runs one fault against a node that carries the bulk lane. Control runs again when this resolves or rejects. */
export async function failoverRun(plan: RunPlan): Promise<RunOutcome> {
  const { fault: name, world, load, subject } = plan;
  const [node = ""] = await subject.active();
  if (node === "") throw new Error("the bulk lane has no active path");
  await load.receiver.ask("clearWindows");
  const fault = await prepareFault(name, world, node);
  try {
    const { why, firstEvent, calls, injectedAtMs } = await windows(plan, node, fault);
    await fault.heal();
    // What thaws or passes again now must not be delivered twice.
    await delay(500);
    await load.stop();
    const verdict = await load.verify();
    const report = await load.receiver.ask("report", [baselineWindow, faultWindow]);
    const [baseline, faulted] = report.windows;
    const moves = movesOf((await subject.events()).slice(firstEvent));
    return {
      valid: why === "" && moves.length > 0,
      why: why !== "" ? why : moves.length > 0 ? "" : "no move was recorded",
      node,
      gapMs: (faulted?.maxMs ?? 0) - report.medianMs,
      baselineMs: (baseline?.maxMs ?? 0) - report.medianMs,
      medianMs: report.medianMs,
      moves,
      movedAfterMs: (moves[0]?.atMs ?? injectedAtMs) - injectedAtMs,
      controlRpcs: calls,
      verdict,
    };
  } finally {
    await load.sender.ask("stop");
    process.kill(world.standing.control.pid, "SIGCONT");
    await fault.restore();
  }
}
