import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, it } from "vitest";
import { openPglite } from "../../control/store/pglite.ts";
import { briefly, migratedDirectory } from "../harness/shared-stores.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-pglite-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("keeps what it was given, in a directory nobody else can read, for one process at a time", async () => {
  const directory = join(folder, "store");
  const first = await openPglite({ directory });
  await first.script("create table t (n int); insert into t values (7)");
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  await expect(openPglite({ directory })).rejects.toMatchObject({
    reason: "failed_precondition",
    detail: "STORE_IN_USE",
  });
  await first.close();
  const second = await openPglite({ directory });
  expect(await second.query("select n from t")).toEqual([{ n: 7 }]);
  await second.close();
  await expect(second.query("select 1")).rejects.toMatchObject({ detail: "STORE_UNAVAILABLE" });
});

it("can be opened again after its process was killed", async () => {
  const directory = join(folder, "killed");
  await migratedDirectory(directory);
  const module = new URL("../../control/store/pglite.ts", import.meta.url).href;
  const script = `const { openPglite } = await import(${JSON.stringify(module)});
    const sql = await openPglite({ directory: ${JSON.stringify(directory)} });
    await sql.script("create table t (n int); insert into t values (7)");
    process.kill(process.pid, "SIGKILL");`;
  const killed = promisify(execFile)(process.execPath, [...briefly, "--input-type=module", "-e", script]);
  await expect(killed).rejects.toMatchObject({ signal: "SIGKILL" });
  const sql = await openPglite({ directory });
  expect(await sql.query("select n from t")).toEqual([{ n: 7 }]);
  await sql.close();
});
