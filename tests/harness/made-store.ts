/**
 * Embedded stores as they are before an installation is in them: a cluster of PGlite with today's tables, made once in a run
 * of the suite and copied from then on. Making a cluster takes seconds of a processor, copying one tenths of one. Whatever is
 * about making or migrating a store does not begin here.
 */

import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrate, ownMigrations } from "../../control/store/migrate.ts";
import { openPglite } from "../../control/store/pglite.ts";

/** Where the one to copy is: the suite's folder for temporary files goes with the run, and another schema has another name. */
function templatePath(): string {
  const schema = createHash("sha256");
  for (const { sha256 } of ownMigrations()) schema.update(sha256);
  return join(tmpdir(), `weft-made-store-${schema.digest("hex").slice(0, 16)}`);
}

/** Makes the one to copy. Two files of the suite may do so at once: the second one finds the name taken. */
async function makeTemplate(path: string): Promise<void> {
  const making = mkdtempSync(`${path}-`);
  const sql = await openPglite({ directory: making });
  await migrate(sql).finally(() => sql.close());
  try {
    renameSync(making, path);
  } catch (thrown) {
    rmSync(making, { recursive: true, force: true });
    if (!existsSync(path)) throw thrown;
  }
}

/** Puts a store with tables and nothing in them into `directory`, which is new. */
export async function putMadeStore(directory: string): Promise<void> {
  const template = templatePath();
  if (!existsSync(template)) await makeTemplate(template);
  cpSync(template, directory, { recursive: true });
}
