/**
 * Signals to process groups and processes that this agent started, and nothing else: the only file that signals others. What
 * is still alive when the agent's process exits goes with it.
 */

const living = new Set<number>();
let isHooked = false;

/** Remembers a group: it is ended by force when this process exits first. */
export function adoptGroup(leader: number): void {
  living.add(leader);
  if (isHooked) return;
  isHooked = true;
  process.on("exit", () => {
    for (const each of living) signalGroup(each, "SIGKILL");
  });
}

export function forgetGroup(leader: number): void {
  living.delete(leader);
}

function send(target: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(target, signal);
  } catch (thrown) {
    // Somebody is there whom this user may not signal: not gone.
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Sends a signal to every process of a group; false when there is none left. 0 only asks. */
export function signalGroup(leader: number, signal: NodeJS.Signals | 0): boolean {
  return leader > 1 && send(-leader, signal);
}

/** Sends a signal to one process; false when there is none. */
export function signalProcess(pid: number, signal: NodeJS.Signals | 0): boolean {
  return pid > 1 && send(pid, signal);
}
