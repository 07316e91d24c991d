import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { ManualClock, systemClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { silentLog } from "../../../lib/log.ts";
import { systemRandom } from "../../../lib/random.ts";
import { openTraceReceiver } from "../../../rpc/trace-post.ts";
import { openTracing, type Tracing } from "../../../rpc/tracing.ts";
import { eventually } from "../../harness/eventually.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../../harness/otlp-receiver.ts";
import { makePki } from "../../harness/pki.ts";

const dir = mkdtempSync(join(tmpdir(), "weft-traces-"));
afterAll(() => rmSync(dir, { recursive: true }));
const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

async function receiver(): Promise<OtlpReceiver> {
  const started = await startOtlpReceiver();
  opened.push(started);
  return started;
}

function tracing(tracesEndpoint: string, more: object = {}): Tracing {
  const config = { tracesEndpoint, tracesRatio: 1, tracesAttributes: [], ...more };
  const made = openTracing({
    config,
    serviceName: "weft-node",
    attributes: { "service.instance.id": "nd-1" },
    version: "1.2.3",
    ...{ clock: systemClock, random: systemRandom, log: silentLog },
  });
  opened.push(made);
  return made;
}

const secretFile = (name: string, text: string): string => {
  const file = join(dir, name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
};

describe("traces of a process", () => {
  it("arrive as OTLP over HTTP, whole", async () => {
    const otlp = await receiver();
    const { tracer, counts, close } = tracing(`${otlp.endpoint}/`, {
      tracesServiceName: "edge",
      tracesAttributes: ["deployment.environment.name=a=b"],
    });
    const link = { traceId: "c".repeat(32), spanId: "d".repeat(16), sampled: true };
    const attributes = { "weft.resource": "db", "weft.hops": 3, "weft.gap_ms": 0.5 } as const;
    const root = tracer.begin("outer", { kind: "server", attributes, link });
    const inner = tracer.run(root, () => tracer.inside("inner", { kind: "client" }));
    inner?.event("seen", { "weft.cause": "lost" });
    inner?.end("NO_PATH");
    root?.end();
    await close();
    const [first, second] = otlp.spans;
    expect(second).toMatchObject({
      ...{ name: "outer", kind: "SERVER", parentSpanId: "", error: undefined, attributes },
      links: [{ traceId: link.traceId, spanId: link.spanId }],
    });
    expect(second?.resource).toEqual({
      "service.name": "edge",
      "service.version": "1.2.3",
      "service.instance.id": "nd-1",
      "deployment.environment.name": "a=b",
    });
    expect(first).toMatchObject({
      ...{ name: "inner", kind: "CLIENT", error: "NO_PATH", traceId: second?.traceId, parentSpanId: second?.spanId },
      events: [{ name: "seen", attributes: { "weft.cause": "lost" } }],
    });
    expect(first?.endNanos).toBeGreaterThanOrEqual(first?.startNanos ?? 0n);
    expect(Number((second?.startNanos ?? 0n) / 1_000_000n)).toBeGreaterThan(Date.now() - 60_000);
    // Each once: an answer ends a request, and no more.
    expect(otlp.bodies).toHaveLength(1);
    expect(counts()).toMatchObject({ exported: 2, waiting: 0 });
  });

  it("carry the headers of a file, and of a secret one only", async () => {
    const otlp = await receiver();
    const text = "# for the collector\nAuthorization: Bearer abc:def\n\nx-tenant: 7\n";
    const handed = secretFile("headers", text);
    // As a service manager hands it over.
    chmodSync(handed, 0o400);
    const { tracer, close } = tracing(otlp.endpoint, { tracesHeadersFile: handed });
    tracer.begin("x")?.end();
    await close();
    expect(otlp.headers[0]).toMatchObject({ authorization: "Bearer abc:def", "x-tenant": "7" });
    const open = join(dir, "open");
    writeFileSync(open, text, { mode: 0o644 });
    for (const [file, why] of [
      [open, /tracesHeadersFile .*0600/],
      [join(dir, "none"), /tracesHeadersFile .*does not exist/],
      [secretFile("no-name", "hunter2\n"), /line 1 is not "name: value"/],
      [secretFile("bad-value", "x: hunter\u00012\n"), /line 1 is not "name: value"/],
    ] as const) {
      const start = (): Tracing => tracing(otlp.endpoint, { tracesHeadersFile: file });
      expect(start).toThrow(why);
      expect(start).not.toThrow(/hunter/);
    }
    expect(() => tracing(otlp.endpoint, { tracesCaFile: join(dir, "none") })).toThrow(/tracesCaFile/);
  });

  it("go to a receiver by https only when it is verified", async () => {
    const pki = await makePki();
    const leaf = await pki.leaf("control", "cp-1", { ipAddresses: ["127.0.0.1"] });
    const otlp = await startOtlpReceiver({ key: leaf.keyPem, cert: leaf.certificatePem });
    opened.push(otlp);
    expect(otlp.endpoint).toMatch(/^https:/);
    const ca = join(dir, "ca.pem");
    writeFileSync(ca, pki.cas.control.root.pem);
    const known = tracing(otlp.endpoint, { tracesCaFile: ca });
    known.tracer.begin("x")?.end();
    await eventually(() => otlp.spans.length === 1, { what: "the span" });
    const { tracer, counts } = tracing(otlp.endpoint);
    tracer.begin("y")?.end();
    await eventually(() => counts().dropped.unreachable === 1, { withinMs: 30_000, what: "the drop" });
    expect(otlp.spans.map(({ name }) => name)).toEqual(["x"]);
  });

  it("are dropped and counted where nobody listens", async () => {
    const gone = await startOtlpReceiver();
    await gone.close();
    const { tracer, counts } = tracing(gone.endpoint);
    tracer.begin("x")?.end();
    await eventually(() => counts().dropped.unreachable === 1, { withinMs: 30_000, what: "the drop" });
  });

  it("are refused, or taken in part, and counted", async () => {
    const otlp = await receiver();
    const { tracer, counts } = tracing(otlp.endpoint);
    otlp.answer({ status: 400 });
    tracer.begin("x")?.end();
    await eventually(() => counts().dropped.refused === 1, { what: "the refusal" });
    otlp.answer({ rejects: 1 });
    for (const name of ["y", "z"]) tracer.begin(name)?.end();
    await eventually(() => counts().dropped.rejected === 1, { what: "the part that was not taken" });
    expect(counts().exported).toBe(1);
  });
});

describe("a request to the receiver", () => {
  const at = (url: string, clock = new ManualClock()) => openTraceReceiver({ url: new URL(url), headers: {}, clock });

  it("is given up when no answer comes in time", async () => {
    const otlp = await receiver();
    otlp.answer("hang");
    const clock = new ManualClock();
    const post = at(`${otlp.endpoint}/v1/traces`, clock).post(new Uint8Array([1]));
    await eventually(() => otlp.bodies.length === 1, { what: "the request" });
    clock.advance(limits.traceRequestMaxMs);
    expect(await post).toEqual({ kind: "later", why: "no answer", afterMs: 0 });
  });

  it("follows no redirection, and repeats only what OTLP says may be repeated", async () => {
    const otlp = await receiver();
    const { post } = at(`${otlp.endpoint}/v1/traces`);
    for (const status of [301, 307, 400, 401, 404, 500]) {
      otlp.answer({ status });
      expect(await post(new Uint8Array())).toEqual({ kind: "refused", why: `HTTP ${status}` });
    }
    for (const status of [429, 502, 503, 504]) {
      otlp.answer({ status });
      expect(await post(new Uint8Array())).toMatchObject({ kind: "later", why: `HTTP ${status}` });
    }
  });

  it("says so when the connection breaks", async () => {
    const otlp = await receiver();
    const { port } = new URL(otlp.endpoint);
    otlp.answer("hang");
    const post = at(`${otlp.endpoint}/v1/traces`).post(new Uint8Array([1]));
    await eventually(() => otlp.bodies.length === 1, { what: "the request" });
    await opened.splice(opened.indexOf(otlp), 1)[0]?.close();
    expect(await post).toMatchObject({ kind: "later", why: "ECONNRESET" });
    const probe = connect(Number(port), "127.0.0.1");
    await expect(new Promise((_, reject) => probe.once("error", reject))).rejects.toMatchObject({
      code: "ECONNREFUSED",
    });
  });
});
