/**
 * A folder in memory for what tests write, where the machine has one to spare: hundreds of databases are made and thrown away
 * in a run, and writing them to a disk costs more than everything that is asked of them. No test proves anything by a disk:
 * power cuts cannot be tested here, and a killed process loses nothing in either.
 */

import { execFileSync } from "node:child_process";
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = "/dev/shm";
const TMPFS_MAGIC = 0x01021994;
/** A whole run keeps below 2 GiB there. */
const ROOM_MIN_BYTES = 4 * 1024 ** 3;
/** What a run takes itself, and what is taken there, come out of the same memory. */
const MEMORY_MIN_BYTES = 8 * 1024 ** 3;

/** The folder, or undefined where there is none, or not enough room or memory, or programs may not be run from it. */
export function memoryFolder(): string | undefined {
  try {
    accessSync(FOLDER, constants.W_OK | constants.X_OK);
    const { type, bavail, bsize } = statfsSync(FOLDER);
    if (type !== TMPFS_MAGIC || bavail * bsize < ROOM_MIN_BYTES) return undefined;
    if (memoryAvailableBytes() < MEMORY_MIN_BYTES) return undefined;
    return runsPrograms(FOLDER) ? FOLDER : undefined;
  } catch {
    return undefined;
  }
}

function memoryAvailableBytes(): number {
  const [, kibibytes = "0"] = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8")) ?? [];
  return Number(kibibytes) * 1024;
}

/** Containers like to mount it `noexec`; tests put programs into temporary folders. */
function runsPrograms(folder: string): boolean {
  const trial = mkdtempSync(join(folder, "wt-"));
  try {
    const program = join(trial, "program");
    writeFileSync(program, "#!/bin/sh\n", { mode: 0o700 });
    execFileSync(program);
    return true;
  } finally {
    rmSync(trial, { recursive: true, force: true });
  }
}
