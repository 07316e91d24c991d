/**
 * What the stores of a whole run are made from, made when the first test asks for it: one PostgreSQL server of each version
 * with a migrated database to copy, and a migrated embedded cluster. Making them anew for every file costs a second or two
 * each time. Lives in the process of the runner; tests ask over a socket (shared-stores.ts).
 */

import { execFile } from "node:child_process";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { migrate } from "../../control/store/migrate.ts";
import { openPostgres } from "../../control/store/pg.ts";
import { silentLog } from "../../lib/log.ts";
import packageFacts from "../../package.json" with { type: "json" };
import { type PostgresServer, startPostgres } from "./postgres.ts";

const run = promisify(execFile);

/** Where tests ask, as an environment variable. */
export const RUN_STORES = "WEFT_TEST_RUN_STORES";

export interface RunPostgres {
  /** Connection string of the maintenance database, as superuser. */
  readonly url: string;
  /** Name of a database with every migration in it and nothing else. Nobody connects to it. */
  readonly migrated: string;
}

export interface RunPglite {
  /** Data directory of an embedded cluster with every migration in it and nothing else. */
  readonly directory: string;
  /** The same as PGlite dumps it, uncompressed. */
  readonly dump: string;
}

/** Answers until `stop`, which ends the servers as well. `folder` is short, and somebody else's to remove. */
export async function serveRunStores(folder: string): Promise<{ readonly socket: string; stop(): Promise<void> }> {
  const servers: PostgresServer[] = [];
  const made = new Map<string, Promise<unknown>>();
  const once = (key: string, make: () => Promise<unknown>): Promise<unknown> => {
    const known = made.get(key) ?? make();
    made.set(key, known);
    return known;
  };
  const answer = (url: URL): Promise<unknown> => {
    if (url.pathname === "/pglite") return once("pglite", () => makePglite(folder));
    const program = url.searchParams.get("program") ?? undefined;
    return once(`postgres ${program}`, () => makePostgres(program, servers));
  };
  const socket = join(folder, "run.sock");
  const server = createServer((request, response) => {
    answer(new URL(request.url ?? "/", "http://run")).then(
      (value) => response.end(JSON.stringify(value)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return {
    socket,
    async stop() {
      await closed(server);
      await Promise.allSettled(made.values());
      await Promise.all(servers.map((each) => each.stop()));
    },
  };
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function makePostgres(program: string | undefined, servers: PostgresServer[]): Promise<RunPostgres> {
  const server = await startPostgres({ shared: true, ...(program === undefined ? {} : { program }) });
  servers.push(server);
  const url = await server.database();
  const sql = openPostgres({ url, log: silentLog });
  await migrate(sql);
  await sql.close();
  return { url: server.url, migrated: new URL(url).pathname.slice(1) };
}

/** In a process of its own: it computes for seconds, and the runner has tests to attend to. */
async function makePglite(folder: string): Promise<RunPglite> {
  const directory = join(folder, "pglite");
  const dump = join(folder, "pglite.tar");
  const flags = packageFacts.config.briefControlFlags;
  await run(process.execPath, [...flags, fileURLToPath(new URL("make-pglite.ts", import.meta.url)), directory, dump]);
  return { directory, dump };
}
