/** Traces of a fabric of real processes, as a receiver of OTLP sees them. */

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect as connectTcp } from "node:net";
import { dirname } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { echoOnce } from "../../../cli/up/fabric.ts";
import { pathInUse } from "../../../cli/up/smoke.ts";
import { connect } from "../../../client/connect.ts";
import { Call, data } from "../../harness/access-call.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, type StockFiles, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { anySecret, leaksIn } from "../../harness/leak-search.ts";
import { secretsBelow } from "../../harness/left-behind.ts";
import { type OtlpReceiver, type SeenSpan, sharedOtlpReceiver } from "../../harness/otlp-receiver.ts";

let world: TestFabric;
let otlp: OtlpReceiver;
let client: StockFiles;
beforeAll(async () => {
  otlp = await sharedOtlpReceiver();
  world = await sharedFabric();
  client = await world.addClient("traced");
}, fabricWithinMs);
afterEach(() => otlp.answer("take"));
afterAll(() => otlp.answer("take"));

const echo = (): Promise<number> => echoOnce(world.fabric.listenerPort("echo-entry-1"));
const nodeOf = ({ resource }: SeenSpan): string => String(resource["weft.node"] ?? resource["service.name"]);
const roleOf = (span: SeenSpan): string => nodeOf(span).replace(/-\d+$/, "");
const named = (name: string): SeenSpan[] => otlp.spans.filter((span) => span.name === name);
const below = (parent: SeenSpan): SeenSpan[] =>
  otlp.spans.filter(({ traceId, parentSpanId }) => traceId === parent.traceId && parentSpanId === parent.spanId);

/** The part of a span with this name, and the role of the process it is from. */
function part(parent: SeenSpan | undefined, name: string, role: string): SeenSpan | undefined {
  return parent && below(parent).find((span) => span.name === name && roleOf(span) === role);
}

const openPath = "weft.relay.v1.RelayService/OpenPath";

/** What a relay and the far edge did for whoever asked for a path: from the asking call down. */
function throughTheRelay(asker: SeenSpan, role: string): SeenSpan | undefined {
  const asked = part(asker, openPath, role);
  const relay = part(asked, openPath, "relay");
  return part(part(relay, openPath, "relay"), openPath, "egress");
}

/** The trace of a channel that came with the first path of its trunk. */
function wholeTrace(): SeenSpan | undefined {
  return named("weft.channel.open").find((root) => {
    const path = part(root, "weft.path.open", "entry");
    if (path === undefined || root.error !== undefined) return false;
    const target = part(part(root, "weft.channel.connect", "egress"), "weft.target.connect", "egress");
    return target !== undefined && throughTheRelay(path, "entry") !== undefined;
  });
}

function stockSession(): ClientHttp2Session {
  const session = connectHttp2(`https://${world.publicAddress("entry-1")}`, {
    ...{ ca: readFileSync(client.ca), cert: readFileSync(client.cert), key: readFileSync(client.key) },
    minVersion: "TLSv1.3",
  });
  return session.on("error", () => {});
}

describe("a channel's set-up", () => {
  it(
    "is one trace from the entry over the relay to the target, each part under what it was for",
    async () => {
      await echo();
      const arrived = (): Promise<SeenSpan> => eventually(wholeTrace, { withinMs: 10_000, what: "the whole trace" });
      // A fabric that was slow to start has made its trunk for a channel that was given up: then an entry starts once more.
      const root = await arrived().catch(async () => {
        await world.fabric.process("entry-2").stop();
        await world.fabric.restart("entry-2");
        await eventually(() => echoOnce(world.fabric.listenerPort("echo-entry-2")).then(() => true), {
          ...{ withinMs: 30_000, everyMs: 200, what: "the entry that was started again" },
        });
        return await arrived();
      });
      expect(root).toMatchObject({ kind: "SERVER", parentSpanId: "", attributes: { "weft.resource": "echo" } });
      expect(root.resource).toMatchObject({
        "service.name": "weft-node",
        "service.instance.id": expect.stringMatching(/./),
        "weft.node": expect.stringMatching(/^entry-/),
        "service.version": expect.stringMatching(/^\d+\.\d+\.\d+$/),
      });
      const path = part(root, "weft.path.open", "entry");
      expect(path?.attributes).toMatchObject({
        "weft.purpose": "first",
        "weft.trunk": expect.stringMatching(/^.{32}$/),
      });
      expect(path && part(path, "weft.path.connect", "entry")).toMatchObject({ kind: "INTERNAL", error: undefined });
      const far = path && throughTheRelay(path, "entry");
      expect(far).toMatchObject({ kind: "SERVER", attributes: { "weft.caller": "node", "weft.hop": 2 } });
      const connected = part(root, "weft.channel.connect", "egress");
      expect(connected?.attributes["weft.correlation_id"]).toBe(root.attributes["weft.correlation_id"]);
      expect(far && connected && nodeOf(far)).toBe(connected && nodeOf(connected));
      for (const { startNanos, endNanos } of otlp.spans) expect(endNanos).toBeGreaterThanOrEqual(startNanos);
    },
    fabricWithinMs,
  );

  it("of a client that is an edge is a trace from the entry it asked", async () => {
    const sdk = connect({ identity: dirname(client.cert) });
    await eventually(() => sdk.open("echo").then((channel) => channel.destroy()), {
      ...{ withinMs: 20_000, everyMs: 100, what: "the client to be known" },
    });
    const asked = (): SeenSpan | undefined =>
      named("weft.access.v1.PathService/OpenClientPath").find((root) => throughTheRelay(root, "entry") !== undefined);
    expect(await eventually(asked, { what: "its trace" })).toMatchObject({
      ...{ kind: "SERVER", parentSpanId: "", attributes: { "weft.caller": "client" } },
    });
    await sdk.close();
  }, 60_000);

  it("is not a client's to trace: what it says of a trace of its own is a link", async () => {
    const theirs = { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7" };
    const session = stockSession();
    const headers = { traceparent: `00-${theirs.traceId}-${theirs.spanId}-01`, tracestate: "a=b" };
    const call = new Call(session, headers).send({ case: "open", value: { resource: "echo" } }, data("hello"));
    await eventually(() => call.text === "hello", { what: "the echo" });
    const linked = await eventually(() => named("weft.channel.open").find(({ links }) => links.length > 0), {
      what: "the span with a link",
    });
    expect(linked).toMatchObject({ parentSpanId: "", links: [theirs], error: undefined });
    expect(otlp.spans.filter(({ traceId }) => traceId === theirs.traceId)).toEqual([]);
    session.destroy();
  });

  it("to an exclusive resource holds what control did for it", async () => {
    const target = `127.0.0.1:${world.fabric.plan.targets.echoPort}`;
    const added = await world.weft(
      "resource",
      "add",
      "traced",
      "--pool",
      "demo-exit",
      "--target",
      target,
      "--exclusive",
    );
    expect(added.code).toBe(0);
    const session = stockSession();
    await eventually(
      async () => {
        const call = new Call(session).send({ case: "open", value: { resource: "traced" } });
        await eventually(() => call.kinds[0] === "opened" || call.closed, { withinMs: 20_000, what: "an answer" });
        return call.kinds[0] === "opened";
      },
      { withinMs: 30_000, everyMs: 100, what: "the resource to be known" },
    );
    const acquire = "weft.lease.v1.LeaseService/Acquire";
    const atControl = (root: SeenSpan): SeenSpan | undefined =>
      part(part(root, acquire, "entry"), acquire, "weft-control");
    const served = await eventually(() => named("weft.channel.open").flatMap((root) => atControl(root) ?? [])[0], {
      what: "control's part of it",
    });
    expect(served).toMatchObject({ kind: "SERVER", error: undefined, attributes: { "weft.caller": "node" } });
    expect(below(served).some(({ name }) => name.startsWith("store."))).toBe(true);
    session.destroy();
    expect((await world.weft("resource", "remove", "traced")).code).toBe(0);
  }, 60_000);

  it("that fails says how, in a word", async () => {
    const sdk = connect({ identity: dirname(client.cert) });
    await expect(sdk.open("nothing-by-this-name")).rejects.toThrow();
    // Others may have given up for other reasons meanwhile.
    await eventually(
      () => named("weft.access.v1.PathService/OpenClientPath").some(({ error }) => error === "UNKNOWN_RESOURCE"),
      { what: "the failure" },
    );
    await sdk.close();
  });
});

it("a call to control is a trace, with what the store took", async () => {
  // As the client was added, above.
  const name = "weft.admin.v1.IdentityService/AddIdentity";
  const served = await eventually(
    () => named(name).find(({ attributes }) => attributes["weft.caller"] === "operator"),
    {
      what: "the call",
    },
  );
  expect(served).toMatchObject({
    ...{ kind: "SERVER", parentSpanId: "", error: undefined, resource: { "service.name": "weft-control" } },
    attributes: { "rpc.system": "grpc", "rpc.method": "AddIdentity", "rpc.grpc.status_code": 0 },
  });
  const stored = below(served).find((span) => span.name === "store.tx");
  expect(stored?.attributes).toMatchObject({ "db.system.name": "postgresql" });
  expect(stored?.attributes["weft.statements"]).toBeGreaterThan(0);
});

it(
  "a move of a trunk is a span: from when its lane stood still, and why",
  async () => {
    const held = connectTcp({ host: "127.0.0.1", port: world.fabric.listenerPort("echo-entry-1") });
    held.on("error", () => {});
    await once(held, "connect");
    held.write("x");
    await once(held, "data");
    const relay = (await pathInUse(world.fabric, "entry-1"))[1] ?? "";
    expect((await world.weft("node", "drain", relay)).code).toBe(0);
    const moved = await eventually(
      () => named("weft.trunk.move").find(({ attributes }) => attributes["weft.cause"] === "draining"),
      { what: "the move" },
    );
    expect(moved.attributes["weft.trunk"]).toMatch(/^[0-9a-f]{32}$/);
    const lastedMs = Number(moved.endNanos - moved.startNanos) / 1e6;
    expect(lastedMs).toBeGreaterThanOrEqual(Number(moved.attributes["weft.gap_ms"]) - 0.01);
    expect((await world.weft("node", "undrain", relay)).code).toBe(0);
    held.destroy();
  },
  fabricWithinMs,
);

it("hold nothing secret, and no address", () => {
  const secrets = [...anySecret, ...secretsBelow(world.fabric.root)];
  expect(otlp.bodies.flatMap((body, at) => leaksIn(`request ${at}`, body, secrets))).toEqual([]);
  expect(otlp.bodies.some((body) => /127\.0\.0\.1|localhost|spiffe:/.test(body.toString("latin1")))).toBe(false);
  expect(otlp.headers.every(({ authorization }) => authorization === undefined)).toBe(true);
});

describe("a receiver that does not take them", () => {
  const counted = async (of: string): Promise<number> => {
    const page = await (await fetch(`http://${world.fabric.process("entry-1").facts["metrics"]}/metrics`)).text();
    const found = page.split("\n").find((line) => line.startsWith(`${of} `));
    return Number(found?.split(" ").at(-1));
  };

  it.each([
    [{ status: 400 }, 'weft_trace_spans_dropped_total{reason="refused"}'],
    ["hang up", 'weft_trace_spans_dropped_total{reason="unreachable"}'],
    ["hang", "weft_trace_spans_waiting"],
  ] as const)(
    "costs spans, which are counted, and no connection: %j",
    async (how, metric) => {
      otlp.answer(how);
      await eventually(
        async () => {
          await echo();
          return (await counted(metric)) > 0;
        },
        { withinMs: 30_000, everyMs: 50, what: metric },
      );
      expect((await world.weft("node", "list")).code).toBe(0);
      expect(await counted("weft_trace_spans_exported_total")).toBeGreaterThan(0);
    },
    fabricWithinMs,
  );
});
