/**
 * The folder of a fabric nobody named a folder for. It goes when `weft up` ends; one that was killed leaves it behind, and
 * the next one removes it. Its processes have noticed by then (lib/parent.ts).
 */

import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errnoOf } from "../../lib/errors.ts";

const prefix = "weft-";
/** Holds the process id of the `weft up` a folder belongs to. */
export const ownerFile = "up.pid";

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    // Somebody else's: it lives.
    return errnoOf(thrown) === "EPERM";
  }
}

/** Whether a folder is this user's, made here, and its owner is gone. When in doubt: no. */
function isLeftBehind(folder: string): boolean {
  try {
    const facts = lstatSync(folder);
    if (!facts.isDirectory() || facts.uid !== process.getuid?.()) return false;
    const pid = Number(readFileSync(join(folder, ownerFile), "utf8"));
    return Number.isInteger(pid) && pid > 0 && !lives(pid);
  } catch {
    return false;
  }
}

/** Removes what killed fabrics left in `parent`; the folders that are gone now. */
function removeLeftBehind(parent: string): string[] {
  const left = readdirSync(parent)
    .filter((name) => name.startsWith(prefix))
    .map((name) => join(parent, name))
    .filter(isLeftBehind);
  for (const folder of left) rmSync(folder, { recursive: true, force: true });
  return left;
}

/** A new folder that belongs to this process. `say` is told what was removed. */
export function temporaryRoot(say: (line: string) => void, parent: string = tmpdir()): string {
  for (const folder of removeLeftBehind(parent)) say(`removed ${folder}, which a killed fabric had left behind`);
  const root = mkdtempSync(join(parent, prefix));
  writeFileSync(join(root, ownerFile), `${process.pid}\n`, { mode: 0o600 });
  return root;
}
