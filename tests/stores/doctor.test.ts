/** Doctor on stores of other versions than this program's, on the real server. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { lookAtControlHost } from "../../cli/doctor/control-host.ts";
import { diagnose } from "../../cli/doctor/judgements.ts";
import { migrate, ownMigrations } from "../../control/store/migrate.ts";
import { openPostgres } from "../../control/store/pg.ts";
import { silentLog } from "../../lib/log.ts";
import { type Databases, sharedPostgres } from "../harness/shared-stores.ts";

let server: Databases;
let folder: string;
beforeAll(async () => {
  server = await sharedPostgres();
  folder = mkdtempSync(join(tmpdir(), "weft-doctor-"));
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await server.stop();
});

/** What doctor finds on a control host whose configuration names this store. */
async function findings(url: string) {
  const [file, sealingKeyFile, postgresUrlFile] = ["control.json", "sealing.key", "postgres.url"].map((name) =>
    join(folder, name),
  );
  writeFileSync(sealingKeyFile ?? "", "not read here", { mode: 0o600 });
  writeFileSync(postgresUrlFile ?? "", url, { mode: 0o600 });
  writeFileSync(file ?? "", JSON.stringify({ sealingKeyFile, postgresUrlFile, publicPort: 0, operatorPort: 0 }));
  const { checks } = diagnose(await lookAtControlHost({ file: file ?? "", env: {} }));
  return checks.flatMap(({ check, findings: found }) => found.map(({ problem, fix }) => ({ check, problem, fix })));
}

it("M-F12 doctor names a schema older than this program's, and says to rehearse", async () => {
  const url = await server.database();
  const sql = openPostgres({ url, log: silentLog });
  await migrate(sql, ownMigrations().slice(0, 3));
  await sql.close();
  expect(await findings(url)).toEqual([
    {
      check: "store-version",
      problem: `its schema is 3, and this program's is ${ownMigrations().length}: the first control that starts changes it`,
      fix: expect.stringContaining("weft db rehearse"),
    },
  ]);
});

it("M-F12 doctor has nothing to say about the store this program made", async () => {
  expect(await findings(await server.migrated())).toEqual([]);
});

it("M-F12 doctor names a server that is not there", async () => {
  expect(await findings("postgres://weft@127.0.0.1:1/weft")).toMatchObject([
    { check: "store-version", problem: expect.stringContaining("127.0.0.1:1/weft cannot be reached") },
  ]);
});
