import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ChannelEnd } from "../../../../gen/weft/channel/v1/channel_pb.ts";
import { ResourceTargetSchema } from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { ManualClock } from "../../../../lib/clock.ts";
import { limits } from "../../../../lib/limits.ts";
import { createCeilingJudge } from "../../../../node/ceiling.ts";
import { type Ceiling, loadNodeConfig } from "../../../../node/config.ts";
import { createOwnPorts } from "../../../../node/own-ports.ts";
import { type DialOutcome, dialTarget } from "../../../../node/roles/dial-target.ts";
import { eventually } from "../../../harness/eventually.ts";
import { freePort } from "../../../harness/loopback.ts";

const { ceiling: closed } = loadNodeConfig({ env: {}, flags: { stateDir: "s", control: "c:1" } });
const dir = mkdtempSync(join(tmpdir(), "weft-dial-"));
const open: Ceiling = {
  ...closed,
  unixPrefixes: [dir],
  targets: [{ cidr: "127.0.0.0/8", fromPort: 1, toPort: 65_535 }],
};
const only1: Ceiling = { ...closed, targets: [{ cidr: "127.0.0.1/32", fromPort: 1, toPort: 65_535 }] };

const accepted: Socket[] = [];
const listen = async (path?: string): Promise<Server> => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket);
    socket.on("error", () => {});
  });
  if (path === undefined) server.listen(0, "127.0.0.1");
  else server.listen(path);
  await once(server, "listening");
  return server;
};

let tcp: Server;
let port = 0;
beforeAll(async () => {
  tcp = await listen();
  port = (tcp.address() as AddressInfo).port;
});
afterAll(() => {
  tcp.close();
  for (const socket of accepted) socket.destroy();
  rmSync(dir, { recursive: true });
});

interface Dial {
  readonly host?: string;
  readonly port?: number;
  readonly unixPath?: string;
  readonly ceiling?: Ceiling;
  readonly answers?: readonly (readonly string[])[];
  readonly clock?: ManualClock;
  readonly signal?: AbortSignal;
  /** Ports the egress's own process listens on. */
  readonly own?: readonly number[];
}

async function dial(over: Dial): Promise<{ outcome: DialOutcome; asked: string[] }> {
  const asked: string[] = [];
  const resolve = async (host: string): Promise<readonly string[]> => {
    asked.push(host);
    const answer = over.answers?.[asked.length - 1];
    if (answer === undefined) throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
    return answer;
  };
  const own = createOwnPorts();
  for (const each of over.own ?? []) own.add(each);
  const ceiling = createCeilingJudge(over.ceiling ?? open);
  const deps = { ceiling, clock: over.clock ?? new ManualClock(), resolve, own };
  const target = create(ResourceTargetSchema, {
    host: over.host ?? "127.0.0.1",
    port: over.port ?? port,
    unixPath: over.unixPath ?? "",
  });
  const outcome = await dialTarget(deps, target, over.signal ?? new AbortController().signal);
  if (outcome.ok) outcome.socket.destroy();
  return { outcome, asked };
}

describe("a target is dialled", () => {
  it("at its address, without asking a resolver", async () => {
    const { outcome, asked } = await dial({});
    expect(outcome.ok).toBe(true);
    expect(asked).toEqual([]);
  });

  it("half-open capable and with its remote address the judged one", async () => {
    const before = accepted.length;
    const { outcome } = await dial({ host: "db.internal", answers: [["127.0.0.1"]] });
    expect(outcome.ok && outcome.socket.allowHalfOpen).toBe(true);
    await eventually(() => accepted.length > before);
  });

  it("on a Unix socket within the ceiling", async () => {
    const path = join(dir, "s.sock");
    const server = await listen(path);
    expect((await dial({ unixPath: path })).outcome.ok).toBe(true);
    server.close();
  });
});

describe("LAW-C6 REVIEW-17 the ceiling judges addresses, not names", () => {
  it("a name that is never resolved ends in time, without the resolver's help", async () => {
    const clock = new ManualClock();
    const dialling = dialTarget(
      { ceiling: createCeilingJudge(closed), clock, resolve: () => new Promise(() => {}) },
      create(ResourceTargetSchema, { host: "slow.example", port: 80 }),
      new AbortController().signal,
    );
    clock.advance(limits.targetConnectMs);
    expect(await dialling).toMatchObject({ ok: false, end: ChannelEnd.TARGET_TIMEOUT });
  });

  it("a name that first means a public and then a guarded address: asked once, the judged address is dialled", async () => {
    const clock = new ManualClock();
    const asked: string[] = [];
    const ending = new AbortController();
    const answers = [["192.0.2.1"], ["127.0.0.1"]];
    const before = accepted.length;
    const dialling = dialTarget(
      {
        ceiling: createCeilingJudge(closed),
        clock,
        resolve: async (host) => {
          asked.push(host);
          return answers[asked.length - 1] ?? [];
        },
      },
      create(ResourceTargetSchema, { host: "flip.example", port }),
      ending.signal,
    );
    await Promise.race([
      dialling,
      eventually(() => clock.nextDueInMs(), { everyMs: 1, withinMs: 500 }).catch(() => {}),
    ]);
    ending.abort();
    const outcome = await dialling;
    // 192.0.2.1 (TEST-NET) answers nobody; what matters is that loopback was not reached by the second answer.
    expect(outcome.ok).toBe(false);
    expect(asked).toEqual(["flip.example"]);
    expect(accepted.length).toBe(before);
  });

  it.each([
    ["loopback", ["127.0.0.1", "::1"]],
    ["mapped loopback", ["::ffff:127.0.0.1"]],
    ["metadata", ["169.254.169.254"]],
    ["nothing at all", []],
    ["something that is no address", ["localhost"]],
  ])("a name that means %s is refused without a connect", async (_what, addresses) => {
    const before = accepted.length;
    const { outcome } = await dial({ ceiling: closed, host: "x.internal", answers: [addresses] });
    expect(outcome).toEqual({
      ok: false,
      end: ChannelEnd.NOT_ALLOWED,
      why: "target beyond the ceiling",
      ceiling: true,
    });
    expect(accepted.length).toBe(before);
  });

  it("of several addresses only those within the ceiling are dialled", async () => {
    const { outcome } = await dial({
      ceiling: only1,
      host: "x.internal",
      answers: [["127.0.0.2", "169.254.169.254", "127.0.0.1"]],
    });
    expect(outcome.ok).toBe(true);
    const away = await dial({
      ceiling: only1,
      host: "x.internal",
      port: await freePort(),
      answers: [["127.0.0.2", "127.0.0.1"]],
    });
    expect(away.outcome).toMatchObject({ end: ChannelEnd.TARGET_REFUSED });
  });

  it.each(["127.0.0.1", "169.254.169.254", "::ffff:7f00:1", "0.0.0.0"])(
    "the address %s itself is refused",
    async (host) => {
      const { outcome, asked } = await dial({ ceiling: closed, host });
      expect(outcome).toMatchObject({ ok: false, end: ChannelEnd.NOT_ALLOWED, ceiling: true });
      expect(asked).toEqual([]);
    },
  );

  it("its own process's ports are refused, by every way that leads there and whatever the ceiling lists", async () => {
    const before = accepted.length;
    const wide: Ceiling = { ...open, targets: [...open.targets, { cidr: "::1/128", fromPort: 1, toPort: 65_535 }] };
    const refused = { ok: false, end: ChannelEnd.NOT_ALLOWED, ceiling: true };
    const interfaces = Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address));
    for (const host of ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "::1", ...interfaces])
      expect((await dial({ host, own: [port], ceiling: wide })).outcome, host).toMatchObject(refused);
    const named = await dial({ host: "me.internal", answers: [["127.0.0.1"]], own: [port] });
    expect(named.outcome).toMatchObject(refused);
    expect(accepted.length).toBe(before);
    // Another port of the same host, and the same port of another host, are somebody else's.
    expect((await dial({ own: [port + 1] })).outcome.ok).toBe(true);
    expect(createOwnPorts().isOwn("127.0.0.1", port)).toBe(false);
    const own = createOwnPorts();
    own.add(port);
    expect([own.isOwn("192.0.2.1", port), own.isOwn("127.0.0.1", port)]).toEqual([false, true]);
  });

  it("a Unix socket beyond the prefixes is refused", async () => {
    const { outcome } = await dial({ unixPath: join(dir, "..", "other.sock") });
    expect((await dial({ unixPath: `${dir}/../other.sock` })).outcome).toMatchObject({
      end: ChannelEnd.NOT_ALLOWED,
      ceiling: true,
    });
    expect(outcome).toMatchObject({ end: ChannelEnd.NOT_ALLOWED, ceiling: true });
  });
});

describe("a dial that fails says how", () => {
  it("a name that does not resolve", async () => {
    expect((await dial({ host: "none.internal", answers: [] })).outcome).toMatchObject({
      end: ChannelEnd.TARGET_UNREACHABLE,
      ceiling: false,
    });
  });

  it("a port nobody listens on, after trying every address", async () => {
    const { outcome } = await dial({
      host: "x.internal",
      port: await freePort(),
      answers: [["127.0.0.1", "127.0.0.2"]],
    });
    expect(outcome).toEqual({ ok: false, end: ChannelEnd.TARGET_REFUSED, why: "ECONNREFUSED", ceiling: false });
  });

  it("a Unix socket that is not there, and one whose path is too long", async () => {
    expect((await dial({ unixPath: join(dir, "none") })).outcome).toMatchObject({
      end: ChannelEnd.TARGET_REFUSED,
      why: "ENOENT",
    });
    expect((await dial({ unixPath: join(dir, "x".repeat(300)) })).outcome).toMatchObject({ ok: false, ceiling: false });
  });

  it("silence, by the clock", async () => {
    const clock = new ManualClock();
    const full = await silentListener();
    const dialling = dial({ port: full.port, clock });
    expect(await eventually(() => clock.nextDueInMs())).toBe(limits.targetConnectMs);
    clock.advance(limits.targetConnectMs);
    expect((await dialling).outcome).toMatchObject({ end: ChannelEnd.TARGET_TIMEOUT, why: "no answer in time" });
    expect(clock.nextDueInMs()).toBeUndefined();
    full.close();
  });

  it("the asker leaving, at once and for the addresses behind it too", async () => {
    const full = await silentListener();
    const clock = new ManualClock();
    const leaving = new AbortController();
    const dialling = dial({
      host: "x.internal",
      port: full.port,
      clock,
      signal: leaving.signal,
      answers: [["127.0.0.1", "127.0.0.1"]],
    });
    await eventually(() => clock.nextDueInMs());
    leaving.abort();
    expect((await dialling).outcome).toMatchObject({ end: ChannelEnd.CANCELED });
    expect(clock.nextDueInMs()).toBeUndefined();
    expect((await dial({ signal: leaving.signal })).outcome).toMatchObject({ end: ChannelEnd.CANCELED });
    full.close();
  });
});

/** A port whose accept queue is full: the kernel drops further SYNs, so a connect hangs. */
async function silentListener(): Promise<{ port: number; close(): void }> {
  const { spawn } = await import("node:child_process");
  const script =
    'import socket,sys\ns=socket.socket();s.bind(("127.0.0.1",0));s.listen(0)\n' +
    "held=[]\nfor _ in range(3):\n c=socket.socket();c.setblocking(False);c.connect_ex(s.getsockname());held.append(c)\n" +
    "print(s.getsockname()[1],flush=True);sys.stdin.read()";
  const child = spawn("python3", ["-c", script], { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return { port: Number(line.toString()), close: () => void child.stdin.end() };
}
