/**
 * An embedded store with its schema and nothing in it, kept beside the installed packages and copied for every fabric that
 * goes away: making one from nothing computes for seconds, and is the same every time. Whoever can write there can write the
 * program itself. A kept installation makes its own.
 */

import { createHash } from "node:crypto";
import { chmodSync, existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
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

/** Removes every template: of what was before, or one that may be broken. Nothing is lost with them. */
export async function forgetTemplates(): Promise<void> {
  const files = await readdir(cache).catch(() => []);
  const templates = files.filter((file) => file.startsWith(prefix));
  await Promise.all(templates.map((file) => rm(join(cache, file), { recursive: true, force: true })));
}

/** Keeps the store just made as the template, in the place of any before. */
async function keep(directory: string, name: string): Promise<void> {
  await forgetTemplates();
  await mkdir(cache, { recursive: true });
  const half = join(cache, `${prefix}${process.pid}.half`);
  await cp(directory, half, { recursive: true });
  // Complete or not there at all: two that start at once make the same, and the first is kept.
  await rename(half, join(cache, name)).catch(() => rm(half, { recursive: true, force: true }));
}

/**
 * Makes `directory` an empty embedded store, from the template when there is one. Where nothing can be kept it is made anew.
 * @throws WeftError aborted when it can be neither copied nor made.
 */
export async function putEmptyStore(directory: string, logs: string, onSpawn: OnSpawn): Promise<void> {
  const name = await templateName();
  const template = join(cache, name);
  if (existsSync(template)) {
    const copied = await cp(template, directory, { recursive: true }).then(
      () => true,
      () => false,
    );
    if (copied) {
      chmodSync(directory, 0o700);
      return;
    }
    // Somebody removed it in the middle of this.
    await rm(directory, { recursive: true, force: true });
  }
  const runtimeFlags = packageFacts.config.briefControlFlags;
  const args = [directory];
  await runChild({ name: "store", role: "store", script: "cli/up/make-store.ts", runtimeFlags, args, logs }, onSpawn);
  await keep(directory, name).catch(() => undefined);
}
