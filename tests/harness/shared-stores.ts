/**
 * Stores for tests that do not care where they come from: databases on the one PostgreSQL server of the run, and embedded
 * clusters begun from a copy. A test that stops, freezes or counts a whole server starts its own (postgres.ts); one that
 * is about beginning a store opens it as the product does.
 */

import { openAsBlob } from "node:fs";
import { cp } from "node:fs/promises";
import { request } from "node:http";
import pg from "pg";
import { openPglite } from "../../control/store/pglite.ts";
import type { Sql } from "../../control/store/sql.ts";
import { systemRandom } from "../../lib/random.ts";
import packageFacts from "../../package.json" with { type: "json" };
import { RUN_STORES, type RunPglite, type RunPostgres } from "./run-stores.ts";

/** Flags of the runtime for programs that open an embedded store for moments: as `control init` has (docs/decisions/0005). */
export const briefly: readonly string[] = packageFacts.config.briefControlFlags;

export interface Databases {
  /** Creates an empty database and returns its connection string. */
  database(): Promise<string>;
  /** The same with every migration in it. */
  migrated(): Promise<string>;
  /** Drops what was created, whoever is connected. */
  stop(): Promise<void>;
}

/** Databases on the server of the run; `program` as of `startPostgres`. Stop it after the file: all of it is in memory. */
export async function sharedPostgres(program?: string): Promise<Databases> {
  const query = program === undefined ? "" : `?program=${encodeURIComponent(program)}`;
  const { url, migrated } = await ask<RunPostgres>(`/postgres${query}`);
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  const created: string[] = [];
  const create = async (template: string): Promise<string> => {
    const name = `weft_${Buffer.from(systemRandom.bytes(8)).toString("hex")}`;
    // Copying files is the cheaper way where nothing is synced.
    await client.query(`create database ${name} template ${template} strategy file_copy`);
    created.push(name);
    return Object.assign(new URL(url), { pathname: `/${name}` }).href;
  };
  return {
    database: () => create("template0"),
    migrated: () => create(migrated),
    async stop() {
      for (const name of created.splice(0)) await client.query(`drop database ${name} with (force)`);
      await client.end();
    },
  };
}

/** An embedded store in memory with every migration in it. */
export async function migratedPglite(): Promise<Sql> {
  const { dump } = await ask<RunPglite>("/pglite");
  return await openPglite({ begin: await openAsBlob(dump) });
}

/** Makes `directory` the data directory of an embedded store with every migration in it. */
export async function migratedDirectory(directory: string): Promise<void> {
  const template = await ask<RunPglite>("/pglite");
  await cp(template.directory, directory, { recursive: true });
}

function ask<T>(path: string): Promise<T> {
  const socketPath = process.env[RUN_STORES];
  if (socketPath === undefined) throw new Error("no run of tests is under way: its set-up makes the stores");
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath, path, agent: false }, async (response) => {
      let text = "";
      for await (const chunk of response.setEncoding("utf8")) text += chunk;
      if (response.statusCode === 200) resolve(JSON.parse(text) as T);
      else reject(new Error(`the stores of the run: ${text}`));
    });
    asking.once("error", reject);
    asking.end();
  });
}
