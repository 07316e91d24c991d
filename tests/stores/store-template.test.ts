import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { copyTemplate, forgetTemplates, keepTemplate, putEmptyStore } from "../../cli/up/store-template.ts";
import { isInitialized } from "../../control/store/installation.ts";
import { migrate, ownMigrations } from "../../control/store/migrate.ts";
import { openPglite } from "../../control/store/pglite.ts";

describe("the store that a brief fabric begins with", () => {
  let folder: string;
  const spawned: string[] = [];
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "weft-template-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const put = async (name: string): Promise<string> => {
    const directory = join(folder, name);
    mkdirSync(directory);
    await putEmptyStore(directory, join(folder, "logs"), (child) => spawned.push(child.name));
    return directory;
  };

  it("is made once, and copied from then on", async () => {
    await put("first");
    const made = spawned.length;
    await put("second");
    expect(made).toBeLessThanOrEqual(1);
    expect(spawned).toHaveLength(made);
  });

  it("is for its owner alone, has the whole schema, and no installation in it", async () => {
    const directory = await put("third");
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    const sql = await openPglite({ directory });
    try {
      expect(await migrate(sql)).toEqual({ applied: [], version: ownMigrations().at(-1)?.number });
      expect(await isInitialized(sql)).toBe(false);
    } finally {
      await sql.close();
    }
  });

  /** A folder of templates with these in it, and a store to be kept. */
  function folderOf(...names: readonly string[]): { readonly templates: string; readonly made: string } {
    const templates = mkdtempSync(join(folder, "templates-"));
    const made = join(templates, "made");
    for (const name of ["made", ...names]) {
      mkdirSync(join(templates, name));
      for (let at = 0; at < 200; at += 1) writeFileSync(join(templates, name, `${at}`), "a page");
    }
    return { templates, made };
  }

  it("is not replaced while others may be copying it, nor is what others are making thrown away", async () => {
    const others = `store-${process.ppid}.a.half`;
    const { templates, made } = folderOf("store-now", others);
    const { ino } = statSync(join(templates, "store-now"));
    await keepTemplate(made, "store-now", templates);
    expect(statSync(join(templates, "store-now")).ino).toBe(ino);
    await keepTemplate(made, "store-next", templates);
    expect(readdirSync(templates).sort()).toEqual(["made", others, "store-next"].sort());
    expect(readdirSync(join(templates, "store-next"))).toHaveLength(200);
  });

  it("is whole or not there, also when it goes while it is being copied", async () => {
    const { templates } = folderOf("store-now");
    const to = join(templates, "copy");
    const [copied] = await Promise.all([copyTemplate("store-now", to, templates), forgetTemplates(templates)]);
    if (copied) expect(readdirSync(to)).toHaveLength(200);
    expect(await copyTemplate("store-now", join(templates, "later"), templates)).toBe(false);
    expect(readdirSync(templates).filter((file) => file.startsWith("store-"))).toEqual([]);
  });
});
