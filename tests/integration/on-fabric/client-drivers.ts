/**
 * The SDK under libraries that others wrote: pg, undici and ssh2 speak over channels of `open`, and over the ports of `forward`,
 * to a real PostgreSQL, HTTP server and SSH server behind an egress.
 */

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { dirname } from "node:path";
import type { Duplex } from "node:stream";
import pg from "pg";
import ssh2, { type ClientChannel } from "ssh2";
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { numberedBytes } from "../../../cli/up/download.ts";
import { type Client, connect } from "../../../client/connect.ts";
import { MiB } from "../../../lib/limits.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { type Databases, sharedPostgres } from "../../harness/shared-stores.ts";
import { type SshServer, startSshServer } from "../../harness/ssh-server.ts";

let world: TestFabric;
let client: Client;
let databases: Databases;
let database: URL;
let ssh: SshServer;

beforeAll(async () => {
  world = await sharedFabric();
  databases = await sharedPostgres();
  database = new URL(await databases.database());
  ssh = await startSshServer("ssh2 over a channel");
  const targets = { "driver-db": database.port, "driver-ssh": String(ssh.port) };
  for (const [name, port] of Object.entries(targets)) {
    const added = await world.weft("resource", "add", name, "--pool", "demo-exit", "--target", `127.0.0.1:${port}`);
    if (added.code !== 0) throw new Error(added.stderr);
  }
  client = connect({ identity: dirname((await world.addClient("drivers")).cert) });
  // Entries and egresses have to hear of both, and of the client.
  const isKnown = async (): Promise<boolean> => {
    for (const name of Object.keys(targets)) (await client.open(name)).destroy();
    return true;
  };
  await eventually(isKnown, { withinMs: 20_000, what: "the resources to be known" });
}, fabricWithinMs);
afterAll(async () => {
  await client?.close();
  await ssh?.stop();
  await databases?.stop();
}, fabricWithinMs);

describe("pg", () => {
  const account = (): pg.ClientConfig => ({ user: database.username, database: database.pathname.slice(1) });

  /** pg dials by itself: an open channel as a socket that is connected as soon as it is asked to be. */
  function dialled(channel: Duplex): Socket {
    const asked = {
      setNoDelay: () => asked,
      connect: () => process.nextTick(() => channel.emit("connect")),
      ref: () => asked,
      unref: () => asked,
    };
    return Object.assign(channel, asked) as unknown as Socket;
  }

  it("asks, is told errors, is notified and gets rows of 8 MiB over one channel", async () => {
    const channel = await client.open("driver-db");
    const session = new pg.Client({ ...account(), stream: () => dialled(channel) });
    await session.connect();
    await session.query("create table notes (id int primary key, body text)");
    await session.query("insert into notes select n, repeat(md5(n::text), 32768) from generate_series(1, 8) n");
    await expect(session.query("insert into notes values (1, '')")).rejects.toMatchObject({ code: "23505" });
    const { rows } = await session.query<{ body: string; sum: string }>(
      "select body, md5(body) as sum from notes where id <= $1 order by id",
      [8],
    );
    expect(rows.map(({ body }) => body.length)).toEqual(Array.from({ length: 8 }, () => MiB));
    expect(rows.map(({ body }) => createHash("md5").update(body).digest("hex"))).toEqual(rows.map(({ sum }) => sum));
    const notified = once(session, "notification");
    await session.query("listen news");
    await session.query("select pg_notify('news', 'hello')");
    expect(await notified).toMatchObject([{ channel: "news", payload: "hello" }]);
    const closed = once(channel, "close");
    await session.end();
    await closed;
    expect(channel.errored).toBeNull();
  }, 30_000);

  it("pools connections through a forwarded port", async () => {
    const forward = await client.forward({ resource: "driver-db", port: 0 });
    const pool = new pg.Pool({ ...account(), host: forward.host, port: forward.port, max: 4 });
    const answers = await Promise.all(
      Array.from({ length: 16 }, (_, n) =>
        pool.query<{ n: number; pid: number }>("select $1::int as n, pg_backend_pid() as pid", [n]),
      ),
    );
    expect(answers.map(({ rows }) => rows[0]?.n)).toEqual(Array.from({ length: 16 }, (_, n) => n));
    expect(new Set(answers.map(({ rows }) => rows[0]?.pid)).size).toBe(forward.connections());
    await pool.end();
    await forward.close();
  }, 30_000);
});

describe("undici", () => {
  it("requests again and again over the channels of an agent, and downloads 4 MiB", async () => {
    let opened = 0;
    const dispatcher = new Agent({
      connections: 4,
      connect: (_options, callback) => {
        opened += 1;
        client.open("web").then(
          (channel) => callback(null, channel as Duplex as Socket),
          (thrown: unknown) => callback(thrown as Error, null),
        );
      },
    });
    const asked = Array.from({ length: 24 }, (_, n) => `/page-${n}`);
    const pages = await Promise.all(
      asked.map(async (path) => (await request(`http://web${path}`, { dispatcher })).body.text()),
    );
    expect(pages).toEqual(asked.map((path) => `hello through weft\nyou asked for GET ${path}\n`));
    expect(opened).toBeLessThanOrEqual(4);
    const bytes = 4 * MiB;
    const { body } = await request(`http://web/download?bytes=${bytes}&rate=50000000`, { dispatcher });
    expect(Buffer.from(await body.arrayBuffer()).equals(numberedBytes(0, bytes))).toBe(true);
    await dispatcher.close();
  }, 30_000);

  it("is told in the SDK's words why there is no connection", async () => {
    const dispatcher = new Agent({
      connect: (_options, callback) => {
        client.open("nothing-there").catch((thrown: unknown) => callback(thrown as Error, null));
      },
    });
    await expect(request("http://web/", { dispatcher })).rejects.toMatchObject({
      reason: "not_found",
      detail: "UNKNOWN_RESOURCE",
    });
    await dispatcher.close();
  }, 30_000);
});

describe("ssh2", () => {
  const exec = (session: InstanceType<typeof ssh2.Client>, command: string): Promise<ClientChannel> =>
    new Promise((resolve, reject) => {
      session.exec(command, (error, channel) => (error === undefined ? resolve(channel) : reject(error)));
    });

  it("logs in with a key, runs programs side by side, and carries 4 MiB through one both ways", async () => {
    const session = new ssh2.Client();
    const ready = once(session, "ready");
    const channel = await client.open("driver-ssh");
    const { username, privateKey, isHostKey } = ssh;
    session.connect({ sock: channel, username, privateKey, hostVerifier: isHostKey });
    await ready;
    const bytes = randomBytes(4 * MiB);
    const cat = await exec(session, "cat");
    const failing = await exec(session, "echo sorry >&2; exit 3");
    const exited = once(failing, "exit");
    failing.resume();
    cat.end(bytes);
    const back: Buffer[] = [];
    for await (const chunk of cat) back.push(chunk as Buffer);
    expect(Buffer.concat(back).equals(bytes)).toBe(true);
    expect((await exited)[0]).toBe(3);
    const closed = once(channel, "close");
    session.end();
    await closed;
  }, 30_000);

  it("refuses a server with another key", async () => {
    const session = new ssh2.Client();
    const failed = once(session, "error");
    failed.catch(() => {});
    const { username, privateKey } = ssh;
    session.connect({ sock: await client.open("driver-ssh"), username, privateKey, hostVerifier: () => false });
    expect(String((await failed)[0])).toMatch(/verif/i);
  }, 30_000);
});
