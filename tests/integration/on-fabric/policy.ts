/**
 * What operators ask for, on real processes: a rate holds for live bytes, a limited bulk lane leaves interactive alone, and
 * intents change the routes that are taken and explained.
 */

import { connect, type Socket } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, sharedFabric, type TestFabric } from "../../harness/fabric.ts";

let world: TestFabric;
beforeAll(async () => {
  world = await sharedFabric();
}, fabricWithinMs);

async function json<T>(...args: readonly string[]): Promise<T> {
  const ran = await world.weft(...args, "--json");
  expect(ran.stderr, args.join(" ")).toBe("");
  return JSON.parse(ran.stdout) as T;
}

interface Explained {
  readonly routes: readonly {
    readonly fromName: string;
    readonly candidates: readonly {
      readonly names: readonly string[];
      readonly outcome: string;
      readonly reason: string;
    }[];
    readonly intents: readonly { readonly intent: { readonly name: string }; readonly effect: string }[];
    readonly pathQos: { readonly scope: string; readonly policy: { readonly rateBytesPerSecond: number } };
    readonly channelQos: { readonly scope: string; readonly policy: { readonly priority: number } };
  }[];
}

/** An echo connection that writes as fast as it may and counts what comes back, with the time of every piece. */
class Echo {
  readonly socket: Socket;
  bytes = 0;
  closed = false;

  constructor(listener: string) {
    this.socket = connect({ host: "127.0.0.1", port: world.fabric.listenerPort(listener) });
    this.socket.on("error", () => {});
    this.socket.once("close", () => (this.closed = true));
    this.socket.on("data", (data) => {
      this.bytes += data.length;
    });
  }

  flood(): void {
    const chunk = Buffer.alloc(64 * 1_024, 7);
    const more = (): void => {
      while (!this.closed && this.socket.write(chunk));
    };
    this.socket.on("drain", more);
    this.socket.once("connect", more);
  }
}

/** What may be under way when counting begins, on a host that stands still for a while: a second of the rate. */
const stallSeconds = 1;

describe("a QoS policy", () => {
  it("holds a live bulk transfer to its rate, end to end, and lets it go again", async () => {
    const rate = 2_000_000;
    const echo = new Echo("echo-entry-1");
    echo.flood();
    await eventually(() => echo.bytes > 4_000_000, { what: "a free transfer" });
    const set = await json<{ policy: { id: string } }>(
      "qos",
      "set",
      "--class",
      "bulk",
      "--rate",
      "2MB",
      "--burst",
      "256KiB",
    );
    // It reached both edges when three seconds in a row bring no more than the rate.
    let before = 0;
    let held = 0;
    await eventually(
      () => {
        const fresh = echo.bytes - before;
        before = echo.bytes;
        held = fresh > 0 && fresh < rate * 1.2 ? held + 1 : 0;
        return held === 3;
      },
      { withinMs: 30_000, everyMs: 1_000, what: "the rate at both edges" },
    );
    const startMs = performance.now();
    const startBytes = echo.bytes;
    await eventually(() => echo.bytes - startBytes > 5 * rate, { withinMs: 30_000, what: "five seconds' worth" });
    const seconds = (performance.now() - startMs) / 1_000;
    expect(echo.bytes - startBytes).toBeLessThanOrEqual(rate * (seconds + stallSeconds) + 256 * 1_024);
    expect(echo.closed).toBe(false);
    expect((await json<Explained>("route", "explain", "echo", "--class", "bulk")).routes[0]?.pathQos).toMatchObject({
      scope: "cluster",
      policy: { rateBytesPerSecond: rate },
    });
    await json("qos", "remove", set.policy.id);
    const limited = echo.bytes;
    await eventually(() => echo.bytes - limited > 30_000_000, { withinMs: 10_000, what: "the rate lifted" });
    echo.socket.destroy();
  }, 90_000);

  it("names every problem of a wrong one at once", async () => {
    const ran = await world.weft("qos", "set", "--class", "bulk", "--rate", "1KiB", "--burst", "2GiB");
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain("rate_bytes_per_second: 0 (unlimited) or at least 65536");
    expect(ran.stderr).toContain("burst_bytes: 0 (the default) or 131072 to 1073741824");
  });
});

describe("a route intent", () => {
  const primaryOf = async (): Promise<Explained["routes"][number]> => {
    const { routes } = await json<Explained>("route", "explain", "echo", "--from", "entry-1");
    const [route] = routes;
    if (route === undefined) throw new Error("no route");
    return route;
  };
  const namesOf = (route: Explained["routes"][number]): readonly string[] =>
    route.candidates.find((each) => each.outcome === "primary")?.names ?? [];

  it("keeps a relay out of the routes, is explained, and is gone when it is removed", async () => {
    const relay = namesOf(await primaryOf())[1] ?? "";
    expect(relay).toMatch(/^relay-/);
    await json("intent", "add", "spare-it", "--action", "avoid", "--node", relay);
    const avoided = await primaryOf();
    expect(namesOf(avoided)).not.toContain(relay);
    expect(avoided.intents).toMatchObject([{ intent: { name: "spare-it" }, effect: `avoids ${relay}` }]);
    expect(
      avoided.candidates.find((each) => each.names.includes(relay) && each.outcome === "filtered")?.reason,
    ).toContain("route intent spare-it");
    const text = await world.weft("route", "explain", "echo", "--from", "entry-1");
    expect(text.stdout).toContain(`intent   spare-it: avoids ${relay}`);
    expect(text.stdout).toContain("qos      path and lane:");
    const second = await world.weft("intent", "add", "spare-it", "--action", "avoid", "--node", relay);
    expect(second.stderr).toContain("ROUTE_INTENT_EXISTS");
    await json("intent", "remove", "spare-it");
    expect((await primaryOf()).intents ?? []).toEqual([]);
  });

  it("lets an entry and an egress meet without a relay, and bytes go that way", async () => {
    await json("intent", "add", "straight", "--action", "direct", "--from", "entry-2");
    const { routes } = await json<Explained>("route", "explain", "echo", "--from", "entry-2");
    expect(routes[0]?.intents).toMatchObject([{ effect: "allows a path without a relay" }]);
    // A link has to come up first; then the explanation of the mesh names the straight way among the candidates.
    const direct = await eventually(
      async () => {
        const answer = await json<Explained>("route", "explain", "echo", "--from", "entry-2");
        return answer.routes[0]?.candidates.some((each) => each.names.length === 2 && each.outcome === "primary");
      },
      { withinMs: 20_000, everyMs: 500, what: "the straight way" },
    );
    expect(direct).toBe(true);
    const echo = new Echo("echo-entry-2");
    echo.socket.write("over there and back");
    await eventually(() => echo.bytes === 19, { what: "an echo" });
    echo.socket.destroy();
    await json("intent", "remove", "straight");
  }, 60_000);

  it("names every problem of a wrong one at once", async () => {
    const ran = await world.weft(
      "intent",
      "add",
      "Bad_Name",
      "--action",
      "direct",
      "--region",
      "e u",
      "--node",
      "relay-1",
    );
    expect(ran.code).toBe(2);
    for (const text of ["<name>:", "--region: a region is", "--node: direct means", "--region: direct means"]) {
      expect(ran.stderr).toContain(text);
    }
  });
});
