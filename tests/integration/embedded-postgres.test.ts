/** The embedded PostgreSQL of `weft up` ends when it is told to, however early that is, and leaves nothing half made. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { writeSecretFile } from "../../certs/secret-file.ts";
import { eventually } from "../harness/eventually.ts";
import { freePort } from "../harness/loopback.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-embedded-"));
// As root the server is somebody else, who has to get through here.
chmodSync(folder, 0o711);
const place = join(folder, "postgres");
const data = join(place, "data");
const passwordFile = join(folder, "password");
writeSecretFile(passwordFile, "a password");
const script = fileURLToPath(new URL("../../cli/up/postgres.ts", import.meta.url));
let running: ChildProcess | undefined;
afterAll(() => {
  running?.kill("SIGTERM");
  rmSync(folder, { recursive: true, force: true });
});

async function start(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [script, data, String(await freePort()), passwordFile], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, WEFT_PARENT: "stdin" },
  });
  running = child;
  return child;
}

test("told to end while the cluster is made, it leaves neither a part of one nor the password", async () => {
  const child = await start();
  const ended = once(child, "exit");
  await eventually(() => existsSync(`${data}.new`));
  child.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
  // A cluster that was nearly made is finished: the next test starts it.
  expect(readdirSync(place).filter((name) => name !== "data")).toEqual([]);
}, 30_000);

test("told to end, or left alone, while the server starts, it takes the server with it", async () => {
  for (const end of [(child: ChildProcess) => child.kill("SIGTERM"), (child: ChildProcess) => child.stdin?.end()]) {
    const child = await start();
    const ended = once(child, "exit");
    await once(child.stderr as NonNullable<ChildProcess["stderr"]>, "data");
    child.stderr?.resume();
    expect(existsSync(join(data, "postmaster.pid"))).toBe(true);
    end(child);
    expect(await ended).toEqual([0, null]);
    expect(existsSync(join(data, "postmaster.pid"))).toBe(false);
    expect(readdirSync(place)).toEqual(["data"]);
  }
}, 30_000);
