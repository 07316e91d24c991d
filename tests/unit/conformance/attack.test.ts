/** Verdicts on attacks, the bounds they are confined to, and whom they may be tried on. */

import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import type { AttackClass } from "../../../conformance/attack/attack-class.ts";
import { onceEach } from "../../../conformance/attack/attack-plan.ts";
import { attackReport } from "../../../conformance/attack/attack-report.ts";
import { attackClass, attackClasses } from "../../../conformance/attack/classes.ts";
import { clientHello } from "../../../conformance/attack/client-hello.ts";
import type { Front } from "../../../conformance/attack/fabric-targets.ts";
import { lateAnswer, type Phase, type Sample } from "../../../conformance/attack/healthy.ts";
import { Range, type Tally } from "../../../conformance/attack/range.ts";
import { runAttack } from "../../../conformance/attack/run-attack.ts";
import { type AttackTarget, isLoopback, requireOwnTarget } from "../../../conformance/attack/target.ts";
import { judge, type Measured } from "../../../conformance/attack/verdict.ts";
import { parseClientHello } from "../../../fabric/client-hello.ts";
import { systemClock } from "../../../lib/clock.ts";
import { MiB } from "../../../lib/limits.ts";
import { seededRandom, systemRandom } from "../../../lib/random.ts";

const tally: Tally = {
  connections: 5,
  refused: 0,
  units: 100,
  bytes: 1_000,
  cut: 5,
  standing: 0,
  cutAfterUnits: 20,
  answers: {},
  violations: [],
};

/** Two seconds of asking every 50 ms; `tookMs` of the nth question. */
function phase(tookMs: (nth: number) => number | undefined, kinds: readonly Sample["kind"][] = ["call"]): Phase {
  const samples = kinds.flatMap((kind) =>
    Array.from({ length: 40 }, (_, nth) => ({ kind, atMs: 1_000 + nth * 50, tookMs: tookMs(nth) })),
  );
  return { fromMs: 1_000, toMs: 3_000, samples };
}

const view = { startedAt: "7", rssBytes: 100 * MiB, waitedMs: 10 };

function measured(over: Partial<Measured>): Measured {
  return {
    class: attackClass("ping-flood"),
    target: "control public",
    as: "stranger",
    seconds: 2,
    tally,
    quiet: [phase(() => 5), phase(() => 6)],
    attack: phase(() => 8),
    before: view,
    after: { ...view, waitedMs: 30 },
    watchedMs: 2_000,
    falseFailovers: 0,
    ...over,
  };
}

const slow = phase((nth) => (nth % 8 === 0 ? 300 : 8));
const late: Phase = {
  ...slow,
  samples: slow.samples.map((one, at) =>
    at === 7 ? { ...one, tookMs: undefined, why: lateAnswer } : { ...one, tookMs: 8 },
  ),
};
const newcomers: Sample[] = [1, 2, 3, 4].map((nth) => ({
  kind: "newcomer",
  atMs: 1_000 + nth,
  tookMs: nth < 3 ? 4 : undefined,
}));

describe("a target withstands an attack", () => {
  it("that nobody noticed", () => {
    expect(judge(measured({}))).toMatchObject({ result: "pass", reasons: [], quietP99Ms: 6, p99Ms: 8 });
  });

  it("in spite of one stall in two seconds, which may be the machine's", () => {
    expect(judge(measured({ attack: phase((nth) => (nth === 20 ? 900 : 8)) })).result).toBe("pass");
  });

  it("and is slow for want of a processor, or as slow as an echo that does nothing", () => {
    expect(judge(measured({ attack: slow, after: { ...view, waitedMs: 600 } })).result).toBe("pass");
    expect(judge(measured({ attack: late, after: { ...view, waitedMs: 600 } })).result).toBe("pass");
    const reference = phase((nth) => (nth % 8 === 0 ? 200 : 1), ["reference"]).samples;
    expect(judge(measured({ attack: { ...slow, samples: [...slow.samples, ...reference] } })).result).toBe("pass");
  });
});

describe("a target does not withstand an attack", () => {
  it.each<[string, Partial<Measured>, RegExp]>([
    ["when healthy calls are slow in most of its time", { attack: slow }, /waited 300.0 ms, in quiet 6.0 ms/],
    [
      "when healthy calls fail",
      { attack: phase((nth) => (nth === 3 ? undefined : 8)) },
      /1 of 40 healthy calls failed/,
    ],
    ["when answers come too late", { attack: late }, /1 of 40 healthy calls were not answered in time/],
    [
      "when its event loop stands still",
      { attack: { ...slow, samples: phase((n) => (n % 8 ? 8 : 300), ["ping"]).samples } },
      /stood still/,
    ],
    ["when its memory grows", { after: { ...view, rssBytes: 165 * MiB } }, /memory grew by 65 MiB/],
    ["when its process ended", { after: "gone" }, /process ended/],
    ["when another process took its place", { after: { ...view, startedAt: "8" } }, /process ended/],
    ["when attackers stand that must be cut", { tally: { ...tally, standing: 2 } }, /2 attackers stood/],
    ["when it answers as it must not", { tally: { ...tally, violations: ["grpc-0 to call 3"] } }, /grpc-0/],
    ["when trunks moved", { falseFailovers: 1 }, /1 trunks moved/],
    [
      "when newcomers get no answer",
      { attack: { ...phase(() => 8), samples: [...phase(() => 8).samples, ...newcomers] } },
      /2 of 4 newcomers/,
    ],
    ["when nothing was tried", { tally: { ...tally, connections: 0 } }, /nothing was sent/],
  ])("%s", (_when, over, why) => {
    const { result, reasons } = judge(measured(over));
    expect([result, reasons.length]).toEqual(["fail", 1]);
    expect(reasons[0]).toMatch(why);
  });

  it("and then the report says no, as it does of nothing at all", () => {
    const verdicts = [judge(measured({})), judge(measured({ after: "gone" }))];
    expect(attackReport(verdicts)).toMatchObject({ ok: false, passed: 1, failed: 1 });
    expect(attackReport(verdicts.slice(0, 1)).ok).toBe(true);
    expect(attackReport([]).ok).toBe(false);
  });
});

it("only this machine is a target, unless somebody owns another", () => {
  for (const host of ["127.0.0.1", "127.8.9.10", "localhost", "::1", "[::1]"])
    expect([host, isLoopback(host)]).toEqual([host, true]);
  for (const host of ["0.0.0.0", "10.0.0.1", "127.0.0.1.example.org", "::2", "example.org", ""]) {
    expect([host, isLoopback(host)]).toEqual([host, false]);
    expect(() => requireOwnTarget({ host }, false)).toThrow(/--i-own-this-target/);
    expect(() => requireOwnTarget({ host }, true)).not.toThrow();
  }
});

it("every class is planned once, spread over the processes", () => {
  const target = (name: string, speaksHttp2: boolean): AttackTarget => ({
    name,
    speaksHttp2,
    endpoint: {
      host: "127.0.0.1",
      port: 1,
      credentials: speaksHttp2 ? { kind: "client", dir: "" } : { kind: "stranger" },
    },
    healthy: { kind: "echo", host: "127.0.0.1", port: 1 },
  });
  const fronts: Front[] = ["a", "b", "c"].map((process) => ({
    process,
    targets: [target(`${process} stranger`, false), target(`${process} known`, true)],
  }));
  const link = { kind: "node", dir: "", port: "link" } as const;
  const { endpoint, ...known } = target("c link", true);
  const last = fronts[2] as Front;
  fronts[2] = { ...last, targets: [...last.targets, { ...known, endpoint: { ...endpoint, credentials: link } }] };
  const planned = onceEach(fronts, attackClasses).map((sorties) => sorties.flatMap(({ classes }) => classes));
  expect(
    planned
      .flat()
      .map(({ id }) => id)
      .sort(),
  ).toEqual(attackClasses.map(({ id }) => id).sort());
  const elsewhere = planned.map((classes) => classes.filter(({ layer }) => layer !== "link"));
  const sizes = elsewhere.map(({ length }) => length);
  expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(2);
  // Links can be attacked at one of them only.
  expect(planned.map((classes, at) => classes.length - (sizes[at] ?? 0)).slice(0, 2)).toEqual([0, 0]);
});

it("hellos are good ones where nothing else was asked for", () => {
  const hello = clientHello(seededRandom(1), { serverName: Buffer.from("a.example"), protocols: [Buffer.from("h2")] });
  expect(parseClientHello(hello)).toEqual({ kind: "hello", serverName: "a.example" });
  const cut = clientHello(seededRandom(1), { serverName: Buffer.from("a.example"), recordBytes: 40 });
  expect(parseClientHello(cut)).toEqual({ kind: "hello", serverName: "a.example" });
});

async function serverOf(onSocket: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer(onSocket);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

const bounds = {
  seconds: 0.3,
  connectionsMaxCount: 3,
  connectionsPerSecond: 1_000,
  unitsPerSecond: 200,
  bytesMax: 1_000,
};

it("an attack keeps to its connections, its rate, its bytes and its time, and leaves nothing", async () => {
  const sockets = new Set<Socket>();
  let most = 0;
  let heard = 0;
  const { server, port } = await serverOf((socket) => {
    sockets.add(socket);
    most = Math.max(most, sockets.size);
    socket.on("data", (chunk: Buffer) => (heard += chunk.length));
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  });
  const endpoint = { host: "127.0.0.1", port, credentials: { kind: "stranger" } } as const;
  const of = { endpoint, clock: systemClock, random: systemRandom, signal: new AbortController().signal };
  const range = new Range({ ...of, bounds });
  await range.beside(10, async () => {
    while (await range.pace(1)) await (await range.dial())?.write(Buffer.alloc(50));
  });
  expect(range.isOver).toBe(true);
  await range.close(1, 100);
  expect(range.tally.standing).toBeGreaterThan(0);
  expect(range.tally.bytes).toBeLessThanOrEqual(bounds.bytesMax + 3 * 50);
  expect(range.tally.units).toBeLessThanOrEqual(bounds.unitsPerSecond * bounds.seconds + 3);
  server.close();
  await once(server, "close");
  // The server hears of an end a moment after the attacker has dialled the next one.
  expect(most).toBeLessThanOrEqual(2 * bounds.connectionsMaxCount);
  expect(heard).toBeLessThanOrEqual(bounds.bytesMax + 3 * 50);
});

it("a server that lets attackers stand is found out", async () => {
  const { server, port } = await serverOf((socket) => socket.on("error", () => {}).on("data", () => socket.write("?")));
  const endpoint = { host: "127.0.0.1", port, credentials: { kind: "stranger" } } as const;
  const target: AttackTarget = { name: "weak", endpoint, healthy: { kind: "knock", endpoint }, speaksHttp2: false };
  const garbage: AttackClass = attackClass("first-bytes-garbage");
  const verdict = await runAttack(garbage, target, { bounds: { ...bounds, seconds: 0.5 }, quietMs: 100 });
  server.close();
  expect(verdict.result).toBe("fail");
  expect(verdict.reasons.join()).toMatch(/attackers stood/);
  expect(verdict).toMatchObject({ alive: true, rssGrowthBytes: null, loopDelayMs: null, falseFailovers: null });
});
