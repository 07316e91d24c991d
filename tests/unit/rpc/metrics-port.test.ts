import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type MetricsPort, openMetricsPort } from "../../../rpc/metrics-port.ts";
import { eventually } from "../../harness/eventually.ts";
import { readMetricsPage } from "../../harness/metrics-page.ts";

const opened: MetricsPort[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((port) => port.close()));
});

const errors: string[] = [];
async function open(page: () => Promise<string>, port = 0): Promise<MetricsPort> {
  const made = await openMetricsPort({
    host: "127.0.0.1",
    port,
    page: async () => ({ contentType: "text/plain", text: await page() }),
    onError: (message) => errors.push(message),
  });
  opened.push(made);
  return made;
}

describe("a metrics port", () => {
  it("MP1 makes one page for all who ask at once", async () => {
    let made = 0;
    const gate = Promise.withResolvers<void>();
    const { address } = await open(async () => {
      made += 1;
      await gate.promise;
      return `page ${made}\n`;
    });
    const socket = connect({ host: "127.0.0.1", port: Number(address.split(":")[1]) });
    let said = "";
    socket.on("data", (chunk) => (said += String(chunk)));
    // Four in one write are all there when the first is begun.
    socket.write("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(4));
    await eventually(() => made === 1, { what: "the first page" });
    gate.resolve();
    await eventually(() => said.split("200 OK").length === 5, { what: "four answers" });
    expect(made).toBeLessThanOrEqual(2);
    socket.destroy();
  });

  it("says what is wrong where it can be read, and nothing of it to the scraper", async () => {
    const { address } = await open(() => Promise.reject(new Error("select * from /srv/secret")));
    const answer = await fetch(`http://${address}/metrics`);
    expect(answer.status).toBe(503);
    expect(await answer.text()).not.toMatch(/select|srv/);
    expect(errors).toContain("select * from /srv/secret");
  });

  it("does not start where something else listens, and says which setting to change", async () => {
    const { address } = await open(async () => "");
    await expect(open(async () => "", Number(address.split(":")[1]))).rejects.toMatchObject({
      detail: "BIND_FAILED",
      message: expect.stringContaining("metricsPort"),
    });
  });

  it("MP2 refuses headers without end", async () => {
    const { address } = await open(async () => "");
    const socket = connect({ host: "127.0.0.1", port: Number(address.split(":")[1]) });
    const said = new Promise<string>((resolve) => socket.once("data", (chunk) => resolve(String(chunk))));
    socket.on("error", () => {});
    socket.write(`GET /metrics HTTP/1.1\r\nhost: x\r\nx: ${"y".repeat(64_000)}`);
    expect(await said).toContain("431");
    socket.destroy();
  });
});

describe("the strict reader of pages", () => {
  it.each([
    ["# TYPE a gauge\na 1\n", /no HELP/],
    ["# HELP a x\n# TYPE a gauge\nb 1\n", /not of the metric/],
    ['# HELP a x\n# TYPE a gauge\na{b="c" 1\n', /no sample/],
    ["# HELP a x\n# TYPE a gauge\na 1\na 2\n", /twice/],
    ["# HELP a x\n# TYPE a counter\na 1\n", /does not say so/],
    ["# HELP a x\n# TYPE a gauge\na one\n", /no sample/],
    ['# HELP a x\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\n', /cumulative/],
    ["# HELP a x\n# TYPE a gauge\na 1", /no end/],
  ])("refuses %j", (page, why) => {
    expect(() => readMetricsPage(page)).toThrow(why);
  });

  it("reads labels with every escape", () => {
    const page = readMetricsPage('# HELP a x\n# TYPE a gauge\na{b="\\"\\\\\\n",c=""} 1e3\n');
    expect(page.get("a")?.samples).toEqual([{ name: "a", labels: { b: '"\\\n', c: "" }, value: 1000 }]);
  });
});
