/**
 * An embedded store with its schema and nothing in it, kept beside the installed packages and copied for every fabric that
 * goes away: making one from nothing computes for seconds, and is the same every time. Whoever can write there can write the
 * program itself. A kept installation makes its own.
 */

import { createHash, randomUUID } from "node:crypto";
import { chmodSync, existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { errnoOf } from "../../lib/errors.ts";
import packageFacts from "../../package.json" with { type: "json" };
import { type OnSpawn, runChild } from "./processes.ts";

const cache = fileURLToPath(new URL("../../node_modules/.cache/weft/", import.meta.url));
const migrations = fileURLToPath(new URL("../../control/store/migrations/", import.meta.url));
const prefix = "store-";

/** Another schema or another database is another template. */
async function templateName(): Promise<string> {
  const hash = createHash("sha256").update(packageFacts.dependencies["@electric-sql/pglite"]);
  for (const file of (await readdir(migrations)).sort())
    hash.update(file).update(await readFile(join(migrations, file)));
  return `${prefix}${hash.digest("hex").slice(0, 16)}`;
}

/** Whether a process is still writing this one. */
function isBeingMade(file: string): boolean {
  const [, pid] = /^store-(\d+)\.[^.]+\.half$/.exec(file) ?? [];
  if (pid === undefined) return false;
  try {
    return process.kill(Number(pid), 0);
  } catch (cause) {
    return errnoOf(cause) !== "ESRCH";
  }
}

/** Removes every template: of what was before, or one that may be broken. Nothing is lost with them. */
export async function forgetTemplates(folder = cache): Promise<void> {
  const files = await readdir(folder).catch(() => []);
  const templates = files.filter((file) => file.startsWith(prefix) && !isBeingMade(file));
  await Promise.all(
    templates.map(async (file) => {
      // It is gone at once, whole: who is copying it finds out, and nobody begins to copy what is left of it.
      const aside = join(folder, `${prefix}${randomUUID()}.gone`);
      await rename(join(folder, file), aside).then(
        () => rm(aside, { recursive: true, force: true }),
        () => undefined,
      );
    }),
  );
}

/** Keeps the store just made as the template, in the place of others. One of that name is left: somebody may be copying it. */
export async function keepTemplate(directory: string, name: string, folder = cache): Promise<void> {
  if (existsSync(join(folder, name))) return;
  await forgetTemplates(folder);
  await mkdir(folder, { recursive: true });
  const half = join(folder, `${prefix}${process.pid}.${randomUUID()}.half`);
  await cp(directory, half, { recursive: true });
  // Complete or not there at all: two that start at once make the same, and the first is kept.
  await rename(half, join(folder, name)).catch(() => rm(half, { recursive: true, force: true }));
}

/** What tells a template from another one in its place. */
async function markOf(template: string): Promise<string | undefined> {
  return await stat(template).then(
    ({ ino, birthtimeMs }) => `${ino} ${birthtimeMs}`,
    () => undefined,
  );
}

/** Copies the template; false when there is none, or none any more: then what is in `directory` may lack anything. */
export async function copyTemplate(name: string, directory: string, folder = cache): Promise<boolean> {
  const template = join(folder, name);
  const mark = await markOf(template);
  if (mark === undefined) return false;
  const copied = await cp(template, directory, { recursive: true }).then(
    () => true,
    () => false,
  );
  return copied && (await markOf(template)) === mark;
}

/**
 * Makes `directory` an empty embedded store, from the template when there is one. Where nothing can be kept it is made anew.
 * @throws WeftError aborted when it can be neither copied nor made.
 */
export async function putEmptyStore(directory: string, logs: string, onSpawn: OnSpawn): Promise<void> {
  const name = await templateName();
  if (await copyTemplate(name, directory)) return chmodSync(directory, 0o700);
  await rm(directory, { recursive: true, force: true });
  const runtimeFlags = packageFacts.config.briefControlFlags;
  const args = [directory];
  await runChild({ name: "store", role: "store", script: "cli/up/make-store.ts", runtimeFlags, args, logs }, onSpawn);
  await keepTemplate(directory, name).catch(() => undefined);
}
