/** CPU time of processes, from the kernel; zero where there is no /proc. */

import { readFileSync } from "node:fs";

/** Ticks of the kernel's clock per second: 100 on every Linux. */
const ticksPerSecond = 100;

/** CPU seconds a process has used so far. */
export function cpuSecondsOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  } catch {
    return 0;
  }
}

/** Starts to watch some processes; the returned function says how many CPU seconds each has used since. */
export function watchCpu(processes: Readonly<Record<string, number>>): () => Record<string, number> {
  const before = Object.entries(processes).map(([name, pid]) => ({ name, pid, at: cpuSecondsOf(pid) }));
  return () =>
    Object.fromEntries(before.map(({ name, pid, at }) => [name, Number((cpuSecondsOf(pid) - at).toFixed(2))]));
}
