/** `node make-pglite.ts DIRECTORY DUMP`: makes a migrated embedded cluster, as a directory and as a dump (run-stores.ts). */

import { writeFileSync } from "node:fs";
import { PGlite } from "@electric-sql/pglite";
import { migrate } from "../../control/store/migrate.ts";
import { openPglite } from "../../control/store/pglite.ts";

const [directory = "", dump = ""] = process.argv.slice(2);
const sql = await openPglite({ directory });
await migrate(sql);
await sql.close();
const cluster = await PGlite.create({ dataDir: directory });
writeFileSync(dump, Buffer.from(await (await cluster.dumpDataDir("none")).arrayBuffer()));
await cluster.close();
