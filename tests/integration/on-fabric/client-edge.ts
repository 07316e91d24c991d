/**
 * The SDK and its two commands against a fabric of real processes: what a client can do, what it may not, and that it notices
 * nothing when the entry it uses freezes or dies in the middle of a transfer.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { createHash, type Hash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { dirname, join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { LoopReport } from "../../../cli/check/loop.ts";
import { type Client, type ClientEvent, connect } from "../../../client/connect.ts";
import { limits, MiB } from "../../../lib/limits.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, repository, run, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { trunksOf } from "../../harness/trunks.ts";

let world: TestFabric;
let folder: string;
beforeAll(async () => {
  world = await sharedFabric();
  folder = dirname((await world.addClient("laptop")).cert);
}, fabricWithinMs);

const clients: Client[] = [];
const children: ChildProcess[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

function clientOf(identity = folder): { client: Client; events: ClientEvent[] } {
  const events: ClientEvent[] = [];
  const client = connect({ identity, onEvent: (event) => events.push(event) });
  clients.push(client);
  return { client, events };
}

/** Node ids of the entries a client's paths go over: the one in use, and the spares'. */
function entriesOf(client: Client): { active: string | undefined; spare: string | undefined } {
  const attachments = client.trunks().flatMap((trunk) => trunk.attachments);
  return {
    active: attachments.find(({ active }) => active)?.hops[1],
    spare: attachments.find(({ active, ready }) => !active && ready)?.hops[1],
  };
}

/** Resolves with the process of the entry in use once there is a spare over another one. */
async function entryInUse(client: Client): Promise<number> {
  await eventually(() => entriesOf(client).spare !== undefined, { what: "a spare path" });
  const { active, spare } = entriesOf(client);
  expect(active).not.toBe(spare);
  const entry = world.fabric.processes.find(({ facts }) => facts.nodeId === active);
  if (entry === undefined) throw new Error("the client's entry is none of the fabric's");
  return entry.pid;
}

interface Carried {
  readonly sent: Hash;
  readonly received: Hash;
  bytes: number;
}

/** Sends random bytes through the echo and hashes both ways; `onHalf` is called in the middle. */
async function echo(client: Client, bytes: number, onHalf: () => void = () => {}): Promise<Carried> {
  const channel = await client.open("echo");
  const carried: Carried = { sent: createHash("sha256"), received: createHash("sha256"), bytes: 0 };
  let isHalf = false;
  channel.on("data", (chunk: Buffer) => {
    carried.bytes += chunk.length;
    carried.received.update(chunk);
    if (isHalf || carried.bytes < bytes / 2) return;
    isHalf = true;
    onHalf();
  });
  const ended = once(channel, "end");
  // One buffer, filled again as soon as its write was taken: what a caller may reuse is copied.
  const chunk = Buffer.alloc(64 * 1024);
  for (let left = bytes; left > 0; left -= chunk.length) {
    randomBytes(chunk.length).copy(chunk);
    carried.sent.update(chunk);
    await new Promise((resolve, reject) => channel.write(chunk, (error) => (error ? reject(error) : resolve(true))));
  }
  channel.end();
  await ended;
  return carried;
}

function expectEqual(carried: Carried, bytes: number): void {
  expect(carried.bytes).toBe(bytes);
  expect(carried.received.digest("hex")).toBe(carried.sent.digest("hex"));
}

/** `weft` as a child whose ends the test holds. */
function weft(...args: readonly string[]): ChildProcess & { text(): string; told(): string } {
  const child = spawn(process.execPath, [join(repository, "cli/bin.ts"), ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, WEFT_IDENTITY: folder },
  });
  children.push(child);
  const out: Buffer[] = [];
  let told = "";
  child.stdout?.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => (told += chunk.toString()));
  child.stdin?.on("error", () => {});
  return Object.assign(child, { text: () => Buffer.concat(out).toString(), told: () => told });
}

describe("the SDK", () => {
  it("carries 64 MiB each way, over a trunk that keeps a spare over another entry", async () => {
    const { client } = clientOf();
    expectEqual(await echo(client, 64 * MiB), 64 * MiB);
    await eventually(() => entriesOf(client).spare !== undefined, { what: "a spare path" });
    expect(entriesOf(client).spare).not.toBe(entriesOf(client).active);
  }, 60_000);

  it("goes over different relays with its two paths, though it knows none", async () => {
    const { client } = clientOf();
    const channel = await client.open("echo");
    await eventually(() => entriesOf(client).spare !== undefined, { what: "a spare path" });
    const [trunk] = client.trunks();
    const ways = await eventually(async () => {
      const held = (await Promise.all(["egress-1", "egress-2"].map((name) => trunksOf(world, name)))).flat();
      const found = held.find(({ trunkId }) => trunkId === trunk?.trunkIdHex);
      return found?.attachments.map(({ hops }) => hops.slice(1, -1));
    });
    expect(ways.length).toBe(2);
    expect(new Set(ways.flat()).size).toBe(ways.flat().length);
    // The client's own view holds its entries, its pool, and nothing of that.
    const seen = JSON.stringify(client.trunks());
    for (const relay of ways.flat()) expect(seen).not.toContain(relay);
    channel.destroy();
  }, 30_000);

  it("keeps the two directions of a channel apart", async () => {
    const { client } = clientOf();
    const channel = await client.open("web");
    channel.end("GET / HTTP/1.0\r\n\r\n");
    const chunks: Buffer[] = [];
    for await (const chunk of channel) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1\.1 200/);
  });

  it.each(["nothing-of-that-name", "Not A Name", ""])('says that there is no resource "%s"', async (name) => {
    const { client } = clientOf();
    await expect(client.open(name)).rejects.toMatchObject({
      reason: "not_found",
      detail: "UNKNOWN_RESOURCE",
      metadata: { stage: "ENTRY", writtenToTarget: "0", correlationId: expect.stringMatching(/^.{16}$/) },
    });
  });

  it("gives up when the caller does", async () => {
    const { client } = clientOf();
    await expect(client.open("echo", { signal: AbortSignal.abort() })).rejects.toMatchObject({ reason: "canceled" });
    // And is none the worse for it.
    (await client.open("echo")).destroy();
  });

  it("passes an entry that is not there, and says so when none is", async () => {
    const client = connect({ identity: folder, entries: ["127.0.0.1:1", world.publicAddress("entry-2")] });
    clients.push(client);
    (await client.open("echo")).destroy();
    const nowhere = connect({ identity: folder, entries: ["127.0.0.1:1"] });
    clients.push(nowhere);
    await expect(nowhere.open("echo")).rejects.toMatchObject({
      reason: "unavailable",
      detail: "NO_PATH",
      metadata: { stage: "FABRIC" },
    });
  });

  it("LAW-C3 shows a client of another organization nothing of this one's", async () => {
    expect((await world.weft("organization", "create", "other")).code).toBe(0);
    const stranger = dirname((await world.addClient("stranger", "other")).cert);
    const { client } = clientOf(stranger);
    // The entries have to hear of the client before they say anything else about it.
    await eventually(async () => {
      const thrown: unknown = await client.open("echo").catch((error: unknown) => error);
      expect(thrown).toMatchObject({ reason: "not_found", detail: "UNKNOWN_RESOURCE" });
      return true;
    });
  }, 30_000);

  it("LAW-I4 is cut off when its identity is revoked, and told so", async () => {
    const lost = dirname((await world.addClient("lost")).cert);
    const { client, events } = clientOf(lost);
    const channel = await eventually(() => client.open("echo"), { what: "the new client to be known" });
    await eventually(() => entriesOf(client).spare !== undefined, { what: "a spare path" });
    const ended = new Promise((resolve) => channel.once("close", resolve));
    expect((await world.weft("identity", "revoke", "lost")).code).toBe(0);
    // It keeps asking: only an answer would show that somebody still carries its bytes.
    const asking = setInterval(() => channel.write("?"), 20);
    await ended;
    clearInterval(asking);
    expect(channel.errored).toMatchObject({ detail: "TRUNK_LOST" });
    expect(events.at(-1)?.kind).toBe("lost");
    await expect(client.open("echo")).rejects.toMatchObject({ reason: "permission_denied", detail: "NOT_ALLOWED" });
  }, 30_000);
});

describe("weft connect", () => {
  it("passes the end of input on while the answer still comes, and ends with 0", async () => {
    const bytes = randomBytes(3 * MiB).toString("base64");
    const ran = await run(process.execPath, [join(repository, "cli/bin.ts"), "connect", "echo"], {
      stdin: bytes,
      env: { WEFT_IDENTITY: folder },
    });
    expect(ran.stderr).toBe("");
    expect(ran.stdout === bytes).toBe(true);
    expect(ran.code).toBe(0);
  }, 30_000);

  it("closes its output when the target does, while its input stays open", async () => {
    const child = weft("connect", "web");
    child.stdin?.write("GET / HTTP/1.0\r\n\r\n");
    await once(child.stdout as NodeJS.ReadableStream, "end");
    expect(child.text()).toMatch(/^HTTP\/1\.1 200/);
    expect(child.exitCode).toBeNull();
    child.stdin?.end();
    expect(await once(child, "exit")).toEqual([0, null]);
  }, 30_000);

  it.each<[string, readonly string[], number, RegExp]>([
    ["a resource nobody knows", ["connect", "nothing"], 1, /no such resource \[UNKNOWN_RESOURCE\]/],
    ["an entry that is not there", ["connect", "echo", "--entry", "127.0.0.1:1"], 69, /\[NO_PATH\]\n {2}is an entry/],
    ["a folder without an identity", ["connect", "echo", "--identity", "/nonexistent"], 1, /CLIENT_FOLDER_MISSING/],
    ["no address", ["connect", "echo", "--entry", "here"], 2, /host:port/],
    ["a forward that is none", ["forward", "web"], 2, /PORT:RESOURCE/],
    ["a forward to nowhere", ["forward", "0:web", "0:nothing"], 1, /nothing: there is no such resource/],
  ])(
    "says what is wrong with %s",
    async (_what, args, code, message) => {
      const ran = await run(process.execPath, [join(repository, "cli/bin.ts"), ...args], {
        env: { WEFT_IDENTITY: folder },
      });
      expect(ran.stderr).toMatch(message);
      expect(ran.stdout).toBe("");
      expect(ran.code).toBe(code);
    },
    30_000,
  );
});

describe("weft check", () => {
  it("M-L4 golden verifies five messages", async () => {
    const ran = await run(process.execPath, [join(repository, "cli/bin.ts"), "check", "golden"], {
      env: { WEFT_IDENTITY: folder },
    });
    expect(ran.stderr).toBe("");
    expect(ran.stdout.split("\n").filter((line) => line.endsWith("verified"))).toHaveLength(5);
    expect(ran.stdout).toContain("GOLDEN: 5 of 5 messages verified, 0 bytes lost");
    expect(ran.code).toBe(0);
  }, 30_000);

  it("M-L4 golden ends with 1 when the target says something else", async () => {
    const ran = await run(
      process.execPath,
      [join(repository, "cli/bin.ts"), "check", "golden", "web", "--answer-within", "300ms", "--json"],
      {
        env: { WEFT_IDENTITY: folder },
      },
    );
    expect(JSON.parse(ran.stdout)).toMatchObject({ ok: false, resource: "web" });
    expect(ran.code).toBe(1);
  }, 30_000);
});

describe("weft forward", () => {
  it("leads a local port to a resource, for any TCP client, until it is interrupted", async () => {
    const child = weft("forward", "0:web", "0:echo", "--json");
    const { forwards } = await eventually(
      () => JSON.parse(child.text()) as { forwards: { resource: string; address: string }[] },
      { withinMs: 15_000, what: "the forwards" },
    );
    expect(forwards.map(({ resource }) => resource)).toEqual(["web", "echo"]);
    expect(forwards.every(({ address }) => address.startsWith("127.0.0.1:"))).toBe(true);
    const [web, echoed] = forwards.map(({ address }) => address);
    const page = await fetch(`http://${web}/`);
    expect(page.status).toBe(200);
    const socket = connectTcp({ host: "127.0.0.1", port: Number(echoed?.split(":")[1]), allowHalfOpen: true });
    const bytes = randomBytes(MiB);
    socket.end(bytes);
    const back: Buffer[] = [];
    for await (const chunk of socket) back.push(chunk as Buffer);
    expect(Buffer.concat(back).equals(bytes)).toBe(true);
    child.kill("SIGINT");
    expect(await once(child, "exit")).toEqual([0, null]);
    expect(child.told()).toBe("");
  }, 40_000);
});

/** The egress that a client's only trunk ends at. */
async function egressInUse(client: Client): Promise<{ readonly name: string; readonly pid: number }> {
  const [trunk] = client.trunks();
  for (const name of ["egress-1", "egress-2"]) {
    const isThere = (await trunksOf(world, name)).some(({ trunkId }) => trunkId === trunk?.trunkIdHex);
    if (isThere) return { name, pid: world.fabric.process(name).pid };
  }
  throw new Error("no egress has the trunk");
}

describe("a frozen egress", () => {
  it("is not waited for: what is asked for meanwhile is opened at another of the pool, and its trunk ends", async () => {
    const { client } = clientOf();
    (await client.open("echo")).destroy();
    const [before] = client.trunks();
    const { pid } = await egressInUse(client);
    process.kill(pid, "SIGSTOP");
    try {
      // Without another egress it would be waited for until the trunk is given up.
      const withinMs = limits.holdInitiatorMs - 1_000;
      (await client.open("echo", { signal: AbortSignal.timeout(withinMs) })).destroy();
      expect(client.trunks().some(({ trunkIdHex }) => trunkIdHex !== before?.trunkIdHex)).toBe(true);
      (await client.open("echo")).destroy();
    } finally {
      process.kill(pid, "SIGCONT");
    }
    await eventually(() => client.trunks().every(({ trunkIdHex }) => trunkIdHex !== before?.trunkIdHex), {
      ...{ withinMs: 40_000, what: "the end of the trunk that was left" },
    });
  }, 120_000);
});

describe("losing the entry in use", () => {
  it("LAW-T1 frozen in mid-transfer: nothing is lost, and it may come back", async () => {
    const { client, events } = clientOf();
    const opened = await client.open("echo");
    const pid = await entryInUse(client);
    try {
      expectEqual(await echo(client, 64 * MiB, () => process.kill(pid, "SIGSTOP")), 64 * MiB);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    const moved = events.filter((event) => event.kind === "moved");
    expect(moved.length).toBeGreaterThan(0);
    expect(moved[0]?.fromEntry).not.toBe(moved[0]?.toEntry);
    opened.destroy();
  }, 60_000);

  it("LAW-T1 killed in mid-transfer: nothing is lost, and weft connect notices nothing either", async () => {
    const { client, events } = clientOf();
    await client.open("echo");
    const pid = await entryInUse(client);
    const child = weft("connect", "echo", "--verbose");
    const loop = weft("check", "loop", "--tick", "100ms", "--for", "3s", "--json");
    // It may end before anybody waits for it.
    const looped = once(loop, "exit");
    child.stdin?.write("before\n");
    await eventually(() => child.text() === "before\n", { withinMs: 15_000, what: "the echo" });
    expectEqual(await echo(client, 64 * MiB, () => process.kill(pid, "SIGKILL")), 64 * MiB);
    expect(events.find((event) => event.kind === "moved")).toMatchObject({ resource: "echo" });
    expect(events.some((event) => event.kind === "lost")).toBe(false);
    child.stdin?.end("after\n");
    expect(await once(child, "exit")).toEqual([0, null]);
    expect(child.text()).toBe("before\nafter\n");
    // M-L4: every byte of the loop came back, over the other entry since.
    expect(await looped).toEqual([0, null]);
    const looping = JSON.parse(loop.text()) as LoopReport;
    expect(looping).toMatchObject({ ok: true, sent: 30, received: 30, bytesLost: 0 });
    // Where it went, by the names the client's folder has; numbers as people read them.
    const ways = looping.ticks.flatMap(({ up, path }) => (up ? [path.join(" > ")] : []));
    expect(ways.length).toBeGreaterThan(0);
    expect(ways).toEqual(ways.map(() => expect.stringMatching(/^entry-[12] > path-\d+ > demo-exit$/)));
    for (const { fromName, fromPath, toPath, gapMs } of looping.failovers) {
      expect([fromName, ...toPath]).toEqual([
        fromPath[0],
        expect.stringMatching(/^entry-/),
        expect.any(String),
        "demo-exit",
      ]);
      expect(gapMs).toBe(Number(gapMs.toFixed(1)));
    }
    // New channels do not miss it.
    (await client.open("echo")).destroy();
  }, 60_000);
});

describe("losing the egress in use", () => {
  it("opens what comes next at another of the pool, at once, and says how far the lost channel got", async () => {
    const { client, events } = clientOf();
    const held = await client.open("echo");
    held.write("counted");
    await once(held, "data");
    await eventually(() => held.writtenToTarget === 7, { what: "the egress's report" });
    process.kill((await egressInUse(client)).pid, "SIGKILL");
    await eventually(() => client.open("echo"), { what: "a channel at the other egress" });
    expect(client.trunks().length).toBe(2);
    // The old trunk may hope for a while; it is given up here.
    const ended = new Promise((resolve) => held.once("close", resolve));
    await client.close();
    await ended;
    expect(held.errored).toMatchObject({ detail: "TRUNK_LOST", metadata: { writtenToTarget: "7" } });
    expect(events.some((event) => event.kind === "lost")).toBe(true);
  }, 60_000);
});
