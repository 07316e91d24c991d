import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { putEmptyStore } from "../../cli/up/store-template.ts";
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
});
