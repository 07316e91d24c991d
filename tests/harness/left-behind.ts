/**
 * What processes of tests leave behind is searched for secrets before it is thrown away: logs, stores and their journals,
 * backups, snapshots, reports, and the arguments and environments of processes. What is found is noted, and fails the run at
 * its end (global-setup.ts).
 *
 * LB1. A secret may be in the file that is there to hold it, which nobody else may read, and in no other.
 */

import { appendFileSync, existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { errnoOf } from "../../lib/errors.ts";
import { anySecret, type Leak, leaksIn, type Secret, secretsInFile } from "./leak-search.ts";

/** Files that are there to hold a secret. */
const secretFile = /(\.(key|token|password|url|pem)|^(identity|pending)\.json|^canaries\.jsonl)$/;
const fileMaxBytes = 256 * 1_024 * 1_024;

/** In the folder of the run. */
export const leaksFile = (folder = tmpdir()): string => join(folder, "leaks.jsonl");
export const canariesFile = (folder = tmpdir()): string => join(folder, "canaries.jsonl");
const costFile = (folder = tmpdir()): string => join(folder, "searches.txt");

interface Found {
  readonly path: string;
  readonly mtimeMs: number;
  readonly isSecret: boolean;
  readonly sizeBytes: number;
}

function filesBelow(folder: string): Found[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) => {
    const path = join(entry.parentPath, entry.name);
    const found = entry.isFile() ? lstatSync(path, { throwIfNoEntry: false }) : undefined;
    if (found === undefined) return [];
    const isSecret = secretFile.test(basename(path)) && (found.mode & 0o077) === 0;
    return [{ path, mtimeMs: found.mtimeMs, isSecret, sizeBytes: found.size }];
  });
}

/** The secrets of the files below a folder that are there to hold them. */
export function secretsBelow(folder: string): readonly Secret[] {
  return filesBelow(folder)
    .filter(({ isSecret, sizeBytes }) => isSecret && sizeBytes < 65_536)
    .flatMap(({ path }) => {
      const text = textIfAny(path);
      return text === undefined ? [] : secretsInFile(basename(path), text);
    });
}

/** A node that still runs may have replaced it meanwhile. */
function textIfAny(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
}

/**
 * Searches the files below a folder that were written after `sinceMs` (LB1): for secrets of any kind, for those that are
 * kept below it, and for `more`.
 */
export function leaksBelow(folder: string, sinceMs = 0, more: readonly Secret[] = []): readonly Leak[] {
  const secrets = [...anySecret, ...secretsBelow(folder), ...more];
  return filesBelow(folder).flatMap(({ path, mtimeMs, isSecret, sizeBytes }) => {
    if (isSecret || mtimeMs < sinceMs || sizeBytes === 0 || sizeBytes > fileMaxBytes) return [];
    try {
      return leaksIn(path, readFileSync(path), secrets);
    } catch {
      // Gone meanwhile, or not ours to read.
      return [];
    }
  });
}

/** Searches arguments and environment of processes that run; nothing where there is no /proc. */
export function leaksOfProcesses(
  processes: readonly { readonly name: string; readonly pid: number }[],
  secrets: readonly Secret[],
): readonly Leak[] {
  return processes.flatMap(({ name, pid }) =>
    ["cmdline", "environ"].flatMap((what) => {
      const file = `/proc/${pid}/${what}`;
      try {
        return leaksIn(`${what} of ${name}`, readFileSync(file), [...anySecret, ...secrets]);
      } catch {
        return [];
      }
    }),
  );
}

/** Notes what was found, for the end of the run. */
export function noteLeaks(leaks: readonly Leak[]): void {
  for (const leak of leaks) appendFileSync(leaksFile(), `${JSON.stringify(leak)}\n`);
}

/** Makes secrets known to the search at the end of the run: nobody else will know them by then. */
export function noteSecrets(secrets: readonly Secret[]): void {
  const lines = secrets.map(({ name, bytes }) => `${JSON.stringify({ name, hex: bytes.toString("hex") })}\n`);
  appendFileSync(canariesFile(), lines.join(""), { mode: 0o600 });
}

/** Searches a folder that is about to go, and remembers its secrets. */
export function leave(folder: string, sinceMs = 0, more: readonly Secret[] = []): void {
  const before = process.cpuUsage();
  noteSecrets([...secretsBelow(folder), ...more]);
  noteLeaks(leaksBelow(folder, sinceMs, more));
  const { user, system } = process.cpuUsage(before);
  appendFileSync(costFile(), `${Math.round((user + system) / 1_000)}\n`);
}

const linesOf = (file: string): string[] =>
  existsSync(file)
    ? readFileSync(file, "utf8")
        .split("\n")
        .filter((line) => line !== "")
    : [];

/** Everything noted in the folder of a run. */
export function notedIn(folder: string) {
  return {
    searches: linesOf(costFile(folder)).length,
    cpuMs: linesOf(costFile(folder)).reduce((sum, line) => sum + Number(line), 0),
    leaks: linesOf(leaksFile(folder)).map((line) => JSON.parse(line) as Leak) as readonly Leak[],
    secrets: linesOf(canariesFile(folder)).map((line): Secret => {
      const { name, hex } = JSON.parse(line) as { readonly name: string; readonly hex: string };
      return { name, bytes: Buffer.from(hex, "hex") };
    }),
  };
}
