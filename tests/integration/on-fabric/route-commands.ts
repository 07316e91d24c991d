/** `weft route` and the link inventory against a fabric of real processes. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { withNodePort } from "../../../cli/node-port.ts";
import { withSession } from "../../../cli/session.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, repository, sharedFabric, type TestFabric } from "../../harness/fabric.ts";

let stage: TestFabric;
let held: Socket;

beforeAll(async () => {
  stage = await sharedFabric();
  // A connection that stays, through the first listener: its trunk is there to be explained.
  const port = stage.fabric.plan.listeners[0]?.port ?? 0;
  held = connect({ host: "127.0.0.1", port });
  held.on("error", () => {});
  await once(held, "connect");
}, fabricWithinMs);
afterAll(async () => {
  held?.destroy();
}, fabricWithinMs);

interface Simulated {
  readonly trunks: readonly {
    readonly entry: string;
    readonly trunk: string;
    readonly lane: string;
    readonly outcome: string;
    readonly from: readonly string[];
    readonly to: readonly string[];
  }[];
}

interface Watched {
  readonly node: string;
  readonly kind: string;
  readonly facts: Readonly<Record<string, string>>;
}

async function json<T>(...args: readonly string[]): Promise<T> {
  const ran = await stage.weft(...args, "--json");
  expect(ran.stderr).toBe("");
  expect(ran.code).toBe(0);
  return JSON.parse(ran.stdout) as T;
}

const resource = (): string => stage.fabric.plan.listeners[0]?.resource ?? "web";

it("A11 explain begins with the answer, says a page, and everything with --all", async () => {
  const short = await stage.weft("route", "explain", resource());
  expect(short.stderr).toBe("");
  expect(short.code).toBe(0);
  expect(short.stdout).toMatch(
    /^from entry-1 a new trunk would take entry-1 -> relay-\d -> egress-\d\n {2}why +score /,
  );
  expect(short.stdout).toMatch(/^primary +entry-1 -> /m);
  expect(short.stdout.split("\n").length).toBeLessThan(90);
  const all = await stage.weft("route", "explain", resource(), "--all");
  expect(all.stdout).toMatch(/^PATH +TERM +VALUE +WEIGHT +COST\nentry-1 -> \S+ -> egress-\d +latency /m);
  expect(all.stdout.split("\n").length).toBeGreaterThan(short.stdout.split("\n").length);
}, 60_000);

/** Trunk and number of a channel that lives at an entry: numbers are the trunk's own. */
async function livingChannel(): Promise<{
  readonly entry: string;
  readonly name: string;
  readonly correlationId: string;
}> {
  const entry = stage.fabric.plan.listeners[0]?.entry ?? "";
  return await withSession({ context: stage.fabric.contextDir }, (session) =>
    withNodePort(session, entry, async (client) => {
      const { trunks } = await client.listTrunks({});
      for (const { trunkId } of trunks) {
        for (let channelId = 0; channelId < 200; channelId++) {
          const found = await client.explainChannel({ trunkId, channelId }).catch(() => undefined);
          if (found !== undefined)
            return { entry, name: `${trunkId}:${channelId}`, correlationId: found.correlationId };
        }
      }
      throw new Error("no channel lives");
    }),
  );
}

it("a channel is explained by its entry: the path it runs over, its standby, the candidates", async () => {
  const { entry, name, correlationId } = await eventually(livingChannel, { what: "a channel", withinMs: 10_000 });
  for (const argument of [name, correlationId]) {
    const { stdout, stderr } = await stage.weft("route", "explain", argument);
    expect(stderr).toBe("");
    expect(stdout).toContain(correlationId);
    expect(stdout).toMatch(new RegExp(`path in use +${entry} -> relay-\\d -> egress-\\d`));
    expect(stdout).toMatch(/standby +/);
    expect(stdout).toMatch(/primary /);
  }
  expect((await stage.weft("route", "explain", "no-such-thing")).code).not.toBe(0);
  const { code, stderr } = await stage.weft("route", "explain", "web", "--from", "relay-1");
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: expect.stringContaining("relay-1 is not an entry; choose one of entry-1, entry-2"),
  });
}, 60_000);

it("simulate asks the entries for the trunks they have: what is lost, what moves to its standby, what stays", async () => {
  const lost = await json<Simulated>("route", "simulate", "--fail", "egress-1", "--fail", "egress-2");
  expect(lost.trunks.length).toBeGreaterThan(0);
  expect(new Set(lost.trunks.map(({ outcome }) => outcome))).toEqual(new Set(["lost"]));
  const used = lost.trunks[0]?.from[1] ?? "";
  const moved = await json<Simulated>("route", "simulate", "--fail", used);
  const [trunk] = moved.trunks.filter(({ from }) => from.includes(used));
  expect(trunk?.outcome).toBe("moves");
  expect(trunk?.to).not.toContain(used);
}, 60_000);

it("simulate tells from a snapshot file alone what a running entry would do, and refuses a file it cannot verify", async () => {
  const state = join(stage.fabric.root, "nodes", "entry-1", "state");
  const file = join(state, "snapshot.bin");
  const view = await json<Simulated>("route", "simulate", "--fail", "relay-1", "--snapshot", file);
  expect(view.trunks.length).toBeGreaterThan(0);
  for (const trunk of view.trunks) {
    expect(trunk.outcome === "stays").toBe(!trunk.from.includes("relay-1"));
    expect(trunk.to).not.toContain("relay-1");
  }
  const other = join(stage.fabric.root, "nodes", "relay-1", "state", "snapshot.bin");
  expect(
    (await stage.weft("route", "simulate", "--fail", "relay-1", "--snapshot", other, "--state-dir", state)).stderr,
  ).toMatch(/snapshot is refused/);
  expect((await stage.weft("route", "simulate", "--fail", "relay-9", "--snapshot", file)).stderr).toContain(
    "did you mean",
  );
}, 60_000);

it("every link's last proof is in the inventory and on the node's page", async () => {
  await eventually(async () => (await stage.weft("route", "explain", resource())).stdout.includes("LAST ANSWER"), {
    what: "reported links",
    withinMs: 20_000,
  });
  const shown = await stage.weft("node", "show", "relay-1");
  expect(shown.stdout).toMatch(/link entry-1 .*last answer \d{4}-/);
}, 60_000);

it("what simulate said is what watch then shows", async () => {
  const all = await json<Simulated>("route", "simulate", "--fail", "egress-1", "--fail", "egress-2");
  const used = all.trunks.find(({ lane, from }) => lane === "interactive" && from.length === 3) ?? all.trunks[0];
  const relay = used?.from[1] ?? "";
  const args = [join(repository, "cli/bin.ts"), "route", "watch", "--json"];
  const watch = spawn(process.execPath, args, { env: { ...process.env, WEFT_CONTEXT: stage.fabric.contextDir } });
  let said = "";
  watch.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const lines = (): Watched[] =>
    said
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Watched);
  try {
    // The stream is open once something is told; draining and undraining an entry's neighbour harms nothing.
    const other = ["relay-1", "relay-2", "relay-3"].find((name) => name !== relay) ?? "";
    await stage.weft("node", "drain", other);
    await stage.weft("node", "undrain", other);
    const predicted = await json<Simulated>("route", "simulate", "--fail", relay);
    process.kill(stage.fabric.process(relay).pid, "SIGKILL");
    await eventually(() => lines().some(({ kind, facts }) => kind === "trunk_moved" && facts.from?.includes(relay)), {
      what: "the move",
      withinMs: 20_000,
    });
    const moves = lines().filter(({ kind, facts }) => kind === "trunk_moved" && facts.from?.includes(relay) === true);
    for (const { node, facts } of moves) {
      const told = predicted.trunks.find(
        ({ entry, trunk, lane }) => entry === node && trunk === facts.trunk && lane === facts.lane,
      );
      expect(facts.to).toBe(told?.to.join(" "));
      expect(facts.from).toBe(told?.from.join(" "));
    }
  } finally {
    watch.kill("SIGINT");
    await once(watch, "exit");
  }
  await stage.fabric.restart(relay);
}, 90_000);
