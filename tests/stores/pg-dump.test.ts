/** PostgreSQL's own dump, of the server version that it belongs to. */

import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dumpWithPostgres } from "../../control/store/pg-dump.ts";
import { leave } from "../harness/left-behind.ts";
import { requirePeer } from "../harness/peers.ts";
import { type Databases, sharedPostgres } from "../harness/shared-stores.ts";

const peer = requirePeer("postgres15", "dumps by pg_dump");
const dir = mkdtempSync(join(tmpdir(), "weft-dump-"));
afterAll(() => {
  leave(dir);
  rmSync(dir, { recursive: true, force: true });
});

describe.skipIf(peer.missing)("pg_dump", () => {
  let server: Databases;
  let url: string;
  beforeAll(async () => {
    server = await sharedPostgres(peer.path);
    url = await server.migrated();
  });
  afterAll(() => server.stop());

  it("writes a dump nobody else can read, over nothing", async () => {
    const file = join(dir, "one.dump");
    await dumpWithPostgres({ url, file });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file).subarray(0, 5).toString("latin1")).toBe("PGDMP");
    await expect(dumpWithPostgres({ url, file })).rejects.toMatchObject({ detail: "BACKUP_EXISTS" });
  });

  it("says why it failed, without the password, and leaves no file", async () => {
    const file = join(dir, "two.dump");
    const wrong = url.replace("weft@", "weft:hunter2@").replace(/\/[^/]*$/, "/nowhere");
    const thrown: unknown = await dumpWithPostgres({ url: wrong, file }).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ detail: "PG_DUMP_FAILED", message: expect.stringContaining("nowhere") });
    expect((thrown as Error).message).not.toContain("hunter2");
    expect(existsSync(file)).toBe(false);
  });

  it("finds the server that answers among several, as control does", async () => {
    const file = join(dir, "three.dump");
    await dumpWithPostgres({ url: url.replace("127.0.0.1:", "127.0.0.1:1,127.0.0.1:"), file });
    expect(readFileSync(file).subarray(0, 5).toString("latin1")).toBe("PGDMP");
  });

  it("sends a password to no remote server that it does not verify", async () => {
    const file = join(dir, "four.dump");
    for (const query of ["", "?sslmode=prefer", "?sslmode=require"]) {
      const remote = `postgres://weft:hunter2@192.0.2.1/weft${query}`;
      await expect(dumpWithPostgres({ url: remote, file })).rejects.toMatchObject({ detail: "STORE_INSECURE" });
    }
    expect(existsSync(file)).toBe(false);
  });
});
