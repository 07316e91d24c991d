/**
 * What an agent left behind when it was ended by force: found again and ended, before the next one starts anything.
 *
 * O1. Every process of a workload carries a mark in its environment that only this state folder makes. Whoever carries it when
 *     an agent starts was left by the one before.
 * O2. A program may overwrite its environment. The leader of each group is written down too, with the time it was started:
 *     its group is ended when that very process is still there. A process number alone proves nothing. Where it cannot be
 *     written down, the mark alone has to do: a full disk stops no workload.
 * O3. One agent at a time supervises a state folder: another one that lives keeps its processes.
 */

import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { readFileIfAny, replaceFile } from "../../lib/files.ts";
import { type Random, randomLabel } from "../../lib/random.ts";
import { signalGroup, signalProcess } from "./process-group.ts";

export const markVariable = "WEFT_WORKLOAD_MARK";

const birthSchema = z.object({ pid: z.number().int(), started: z.string(), boot: z.string() });
const ownerSchema = z.object({ mark: z.string(), agent: birthSchema });
type Birth = z.output<typeof birthSchema>;

/** Fields of proc(5) stat from the state on. The name in parentheses before it may hold anything. */
function statFields(stat: string): readonly string[] {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** A process by its number and when it began, as the kernel counts. Undefined when there is none, or no /proc. */
function birthOf(pid: number): Birth | undefined {
  try {
    const fields = statFields(readFileSync(`/proc/${pid}/stat`, "utf8"));
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return fields[0] === "Z" ? undefined : { pid, started: fields[19] ?? "", boot };
  } catch {
    return undefined;
  }
}

function isSame(known: Birth): boolean {
  const now = birthOf(known.pid);
  return now !== undefined && now.started === known.started && now.boot === known.boot;
}

function parsed<T>(schema: z.ZodType<T>, bytes: Buffer | undefined): T | undefined {
  if (bytes === undefined) return undefined;
  try {
    return schema.safeParse(JSON.parse(bytes.toString())).data;
  } catch {
    return undefined;
  }
}

/** Writes down the leader of a workload's group (O2). Never throws. */
export function noteLeader(folder: string, pid: number): void {
  const birth = birthOf(pid);
  if (birth === undefined) return;
  try {
    // Not flushed to the disk: after a crash of the host there is nobody to be found.
    writeFileSync(join(folder, "process.json"), JSON.stringify(birth), { mode: 0o600 });
  } catch {
    // An older note names a process that is gone, which proves nothing.
  }
}

/** What was written down of a leader that is gone. Never throws. */
export function forgetLeader(folder: string): void {
  try {
    rmSync(join(folder, "process.json"), { force: true });
  } catch {
    // As in `noteLeader`.
  }
}

async function allProcesses(): Promise<string[]> {
  return (await readdir("/proc").catch((): string[] => [])).filter((name) => /^\d+$/.test(name));
}

/** Whether anybody of a group still runs. Who ended and was not reaped by its parent is no one. */
export async function groupLives(leader: number): Promise<boolean> {
  if (!signalGroup(leader, 0)) return false;
  const stats = (await allProcesses()).map((pid) => readFile(`/proc/${pid}/stat`, "utf8").catch(() => ""));
  return (await Promise.all(stats)).some((stat) => {
    const [state, , group] = statFields(stat);
    return group === String(leader) && state !== "Z";
  });
}

/** Processes whose environment holds the mark, or one that begins with it. */
async function markedProcesses(mark: string): Promise<number[]> {
  const needle = `${markVariable}=${mark}`;
  const found = await Promise.all(
    (await allProcesses()).map(async (pid) => {
      const environ = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "");
      // The whole mark or a part of it that ends with a dot: `a.b` is no mark of `a.bc`.
      const isMarked = environ
        .split("\0")
        .some((each) => each === needle || each.startsWith(needle.endsWith(".") ? needle : `${needle}.`));
      return isMarked ? [Number(pid)] : [];
    }),
  );
  return found.flat();
}

/** Signals whoever carries a mark; 0 only counts. Returns how many there were. */
export async function signalMarked(mark: string, signal: NodeJS.Signals | 0): Promise<number> {
  const pids = await markedProcesses(mark);
  if (signal === 0) return pids.length;
  return pids.filter((pid) => signalProcess(pid, signal)).length;
}

/** The mark of a state folder's processes; every workload's own is this and its name. Undefined: another agent lives (O3). */
export function claimMark(folder: string, random: Random, ownPid: number): string | undefined {
  const path = join(folder, "owner.json");
  const known = parsed(ownerSchema, readFileIfAny(path));
  if (known !== undefined && known.agent.pid !== ownPid && isSame(known.agent)) return undefined;
  const mark = known?.mark ?? randomLabel(random, 26);
  const agent = birthOf(ownPid) ?? { pid: ownPid, started: "", boot: "" };
  replaceFile(path, JSON.stringify({ mark, agent }));
  return mark;
}

/** This agent supervises the folder no longer. */
export function releaseMark(folder: string, mark: string): void {
  replaceFile(join(folder, "owner.json"), JSON.stringify({ mark, agent: { pid: 0, started: "", boot: "" } }));
}

/** Ends by force what the agent before has left; resolves with how many processes it met, once none is left. */
export async function endOrphans(folder: string, mark: string, pause: () => Promise<void>): Promise<number> {
  const leaders = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      const birth = parsed(birthSchema, readFileIfAny(join(path, "process.json")));
      forgetLeader(path);
      return birth !== undefined && isSame(birth) ? [birth.pid] : [];
    });
  for (const leader of leaders) signalGroup(leader, "SIGKILL");
  let met = leaders.length;
  for (;;) {
    const marked = await signalMarked(`${mark}.`, "SIGKILL");
    met = Math.max(met, marked);
    const groups = await Promise.all(leaders.map(groupLives));
    if (marked === 0 && !groups.includes(true)) return met;
    await pause();
  }
}
