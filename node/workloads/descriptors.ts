/**
 * Descriptors that a program started from here would inherit. This process opens none such; what there is was left open by
 * whoever started it, and is closed before anything else is started.
 */

import { closeSync, readdirSync, readFileSync } from "node:fs";

/** O_CLOEXEC of fcntl(2) on Linux. */
const closeOnExec = 0o2000000;
const firstOwn = 3;

/** Open descriptors beyond the standard three that a child would get. Empty where there is no /proc. */
export function inheritedDescriptors(): number[] {
  let names: string[];
  try {
    names = readdirSync("/proc/self/fdinfo");
  } catch {
    return [];
  }
  return names.map(Number).filter((descriptor) => {
    if (descriptor < firstOwn) return false;
    try {
      const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8"))?.[1];
      return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0;
    } catch {
      // Closed meanwhile: it was the one this list was read from.
      return false;
    }
  });
}

/** Closes them. */
export function closeInherited(): void {
  for (const descriptor of inheritedDescriptors()) {
    try {
      closeSync(descriptor);
    } catch {
      // Nothing is lost when somebody else was faster.
    }
  }
}
