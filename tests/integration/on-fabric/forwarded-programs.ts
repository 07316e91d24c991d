/**
 * Programs that know nothing of Weft, over the ports of `weft forward`: OpenSSH's `ssh` streams through a real `sshd` and back, and
 * `psql` is in the middle of a COPY into a temporary table of a transaction, while the relay both run over is killed.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MiB } from "../../../lib/limits.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, repository, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { requirePeer } from "../../harness/peers.ts";
import { type Databases, sharedPostgres } from "../../harness/shared-stores.ts";
import { type SshServer, startSshServer } from "../../harness/ssh-server.ts";
import { trunksOf } from "../../harness/trunks.ts";

const suite = "ssh and psql, the programs, go on over weft forward when a relay is killed";
const [ssh, sshd, psql] = [requirePeer("ssh", suite), requirePeer("sshd", suite), requirePeer("psql", suite)];

const streamBytes = 48 * MiB;
const blockBytes = 64 * 1_024;
const rowCount = 4_000;
const resources = { ssh: "programs-ssh", db: "programs-db" } as const;

/** A program that was started, and what it has said so far. */
interface Started {
  readonly child: ChildProcess;
  out(): string;
  err(): string;
  /** Its exit code. */
  readonly ended: Promise<number | null>;
}

function start(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Started {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
  const said = { out: "", err: "" };
  child.stdout.on("data", (chunk: Buffer) => (said.out += chunk.toString("latin1")));
  child.stderr.on("data", (chunk: Buffer) => (said.err += chunk.toString()));
  child.stdin.on("error", () => {});
  const ended = once(child, "close").then(([code]) => code as number | null);
  return { child, out: () => said.out, err: () => said.err, ended };
}

/** Row n of the table; every one is another. */
const bodyOf = (n: number): string => createHash("sha512").update(String(n)).digest("hex").repeat(4);

function write(child: ChildProcess, bytes: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdin?.write(bytes, (error) => (error == null ? resolve() : reject(error)));
  });
}

describe.skipIf(ssh.missing || sshd.missing || psql.missing)("programs over weft forward", () => {
  let world: TestFabric;
  let databases: Databases;
  let database: URL;
  let server: SshServer;
  let clientId: string;
  let forward: Started;
  let ports: Readonly<Record<keyof typeof resources, number>>;

  beforeAll(async () => {
    world = await sharedFabric();
    [databases, server] = await Promise.all([sharedPostgres(), startSshServer(suite)]);
    database = new URL(await databases.database());
    for (const [name, port] of [
      [resources.ssh, server.port],
      [resources.db, database.port],
    ]) {
      const added = await world.weft(
        "resource",
        "add",
        `${name}`,
        "--pool",
        "demo-exit",
        "--target",
        `127.0.0.1:${port}`,
      );
      if (added.code !== 0) throw new Error(added.stderr);
    }
    const identity = dirname((await world.addClient("programs")).cert);
    ({ clientId } = JSON.parse(readFileSync(join(identity, "client.json"), "utf8")) as { clientId: string });
    // It refuses names that nobody knows, and entries have to hear of new ones.
    const isUp = async (): Promise<boolean> => {
      const wanted = Object.values(resources).map((name) => `0:${name}`);
      const args = ["forward", ...wanted, "--identity", identity, "--verbose", "--json"];
      forward = start(process.execPath, [join(repository, "cli/bin.ts"), ...args]);
      await Promise.race([forward.ended, eventually(() => forward.out().endsWith("\n"), { withinMs: 20_000 })]);
      return forward.child.exitCode === null;
    };
    await eventually(isUp, { withinMs: 40_000, what: "weft forward" });
    const { forwards } = JSON.parse(forward.out()) as { forwards: { resource: string; address: string }[] };
    const portOf = (name: string): number =>
      Number(
        forwards
          .find(({ resource }) => resource === name)
          ?.address.split(":")
          .at(-1),
      );
    ports = { ssh: portOf(resources.ssh), db: portOf(resources.db) };
  }, fabricWithinMs);
  afterAll(async () => {
    forward?.child.kill("SIGINT");
    await forward?.ended;
    await server?.stop();
    await databases?.stop();
  }, fabricWithinMs);

  function startSsh(command: string): Started {
    const file = (name: string, content: string): string => {
      const path = join(world.scratch, name);
      writeFileSync(path, content, { mode: 0o600 });
      return path;
    };
    const known = file("programs-known-hosts", `[127.0.0.1]:${ports.ssh} ${server.hostKey}\n`);
    const settings = {
      BatchMode: "yes",
      IdentitiesOnly: "yes",
      IdentityAgent: "none",
      IdentityFile: file("programs-key", server.privateKey),
      StrictHostKeyChecking: "yes",
      GlobalKnownHostsFile: "/dev/null",
      UserKnownHostsFile: known,
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    const to = ["-p", String(ports.ssh), `${server.username}@127.0.0.1`];
    return start(ssh.path, ["-F", "none", "-T", ...options, ...to, command]);
  }

  function startPsql(): Started {
    const [user, name] = [database.username, database.pathname.slice(1)];
    const to = ["-h", "127.0.0.1", "-p", String(ports.db), "-U", user, "-d", name];
    return start(psql.path, ["-X", "-w", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", ...to]);
  }

  /** The relays that their bytes use, as the egress sees it, once each could go over another one. */
  async function relaysInUse(): Promise<string[]> {
    const look = async (): Promise<string[] | undefined> => {
      const held = (await Promise.all(["egress-1", "egress-2"].map((name) => trunksOf(world, name)))).flat();
      const relays = held
        .filter(({ farNodeId, channels }) => farNodeId.includes(`/client/${clientId}|`) && channels > 0)
        .flatMap(({ attachments }) => {
          const active = attachments.find((attachment) => attachment.active)?.hops[1] ?? "";
          const hasSpare = attachments.some(({ ready, hops }) => ready && !hops.includes(active));
          const found = world.fabric.processes.find(({ facts }) => facts.nodeId === active);
          return hasSpare && found !== undefined ? [found.name] : [];
        });
      return relays.length === Object.keys(resources).length ? [...new Set(relays)] : undefined;
    };
    const what = "a spare over another relay for each program";
    return await eventually(look, { withinMs: 30_000, everyMs: 100, what });
  }

  const rows = (from: number, until: number): string =>
    Array.from({ length: until - from }, (_, at) => `${from + at}\t${bodyOf(from + at)}\n`).join("");

  it("LAW-T1 ssh and psql notice nothing of a relay that is killed: no byte is lost, and a session stays the same", async () => {
    const copy = join(world.scratch, "programs-copy");
    const stream = startSsh(`tee '${copy}' && sha256sum <'${copy}' >&2`);
    const session = startPsql();
    await write(
      session.child,
      "begin;\nselect pg_backend_pid();\ncreate temp table t (n int, body text) on commit drop;\ncopy t from stdin;\n",
    );
    await write(session.child, rows(0, rowCount / 2));
    const [sent, received] = [createHash("sha256"), createHash("sha256")];
    let receivedBytes = 0;
    let onHalf = (): void => {};
    stream.child.stdout?.on("data", (chunk: Buffer) => {
      receivedBytes += chunk.length;
      received.update(chunk);
      if (receivedBytes >= streamBytes / 2) onHalf();
    });
    const feed = async (bytes: number): Promise<void> => {
      for (let left = bytes; left > 0; left -= blockBytes) {
        const block = randomBytes(blockBytes);
        sent.update(block);
        await write(stream.child, block);
      }
    };
    await feed(MiB);
    const backend = await eventually(() => /^\d+$/m.exec(session.out())?.[0], { what: "the session's process" });
    await eventually(() => receivedBytes === MiB, { withinMs: 20_000, what: "what ssh sent, back again" });

    // As a rule it is the same for both; with every one of three gone but one, there is still a way.
    const relays = await relaysInUse();
    const killed = new Promise<void>((resolve) => {
      onHalf = () => {
        onHalf = () => {};
        for (const relay of relays) process.kill(world.fabric.process(relay).pid, "SIGKILL");
        resolve();
      };
    });
    const fed = feed(streamBytes - MiB);
    await killed;
    await write(session.child, rows(rowCount / 2, rowCount));
    const asked = "select pg_backend_pid(), count(*), md5(string_agg(body, '' order by n)) from t";
    session.child.stdin?.end(`\\.\n${asked};\ncopy (select body from t order by n) to stdout;\ncommit;\n`);
    await fed;
    stream.child.stdin?.end();

    expect([await stream.ended, receivedBytes]).toEqual([0, streamBytes]);
    const sha256 = sent.digest("hex");
    expect(received.digest("hex")).toBe(sha256);
    expect(stream.err()).toBe(`${sha256}  -\n`);

    expect([await session.ended, session.err()]).toEqual([0, ""]);
    const bodies = Array.from({ length: rowCount }, (_, n) => bodyOf(n));
    const md5 = createHash("md5").update(bodies.join("")).digest("hex");
    const [first, found, ...copied] = session.out().trimEnd().split("\n");
    expect([first, found]).toEqual([backend, `${backend}|${rowCount}|${md5}`]);
    expect(copied).toEqual(bodies);

    // Neither was opened again: both moved, with what they had.
    for (const name of Object.values(resources)) expect(forward.err()).toContain(`${name}: moved`);
    for (const relay of relays) await world.fabric.restart(relay);
  }, 90_000);
});
