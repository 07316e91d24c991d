/** Metrics of every process of a fabric, as a scraper reads them. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { echoOnce } from "../../../cli/up/fabric.ts";
import { pathInUse } from "../../../cli/up/smoke.ts";
import { limits } from "../../../lib/limits.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, repository, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { type PageMetric, readMetricsPage } from "../../harness/metrics-page.ts";

let world: TestFabric;
beforeAll(async () => {
  world = await sharedFabric();
}, fabricWithinMs);

type Page = ReadonlyMap<string, PageMetric>;

const urlOf = (name: string): string => `http://${world.fabric.process(name).facts["metrics"]}/metrics`;

async function scrape(name: string): Promise<Page> {
  const answer = await fetch(urlOf(name), { headers: { "sec-fetch-site": "none" } });
  expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  return readMetricsPage(await answer.text());
}

function sampleOf(page: Page, name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
  const metric = [...page.values()].find((each) => each.samples.some((sample) => sample.name === name));
  const fits = metric?.samples.filter(
    (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  );
  return fits === undefined || fits.length === 0 ? undefined : fits.reduce((sum, { value }) => sum + value, 0);
}

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook: string };
}

const metricPattern = /\b(?:weft|process|nodejs)_[a-z0-9_]+/g;
const read = (path: string): string => readFileSync(join(repository, path), "utf8");

/** The names its samples have. */
function seriesOf({ name, type }: PageMetric): string[] {
  return type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name];
}

describe("metrics", () => {
  it("are shown by every process, on loopback, in the format of Prometheus and without a secret", async () => {
    const shown = world.fabric.processes.filter(({ role }) => role !== "store");
    for (const { name, facts } of shown) {
      expect(String(facts["metrics"])).toMatch(/^127\.0\.0\.1:\d+$/);
      const page = await scrape(name);
      expect(sampleOf(page, "process_cpu_seconds_total")).toBeGreaterThan(0);
      expect(JSON.stringify([...page.values()])).not.toMatch(/BEGIN|PRIVATE|weft-join|postgres:\/\//i);
    }
    expect(shown.length).toBe(8);
  });

  it("tell what a node is and carries", async () => {
    await echoOnce(world.fabric.listenerPort("echo-entry-1"));
    const [entry = "", relay = ""] = await pathInUse(world.fabric, "entry-1");
    const page = await scrape(entry);
    expect(sampleOf(page, "weft_node_info", { name: entry })).toBe(1);
    expect(sampleOf(page, "weft_trunks")).toBeGreaterThan(0);
    expect(sampleOf(page, "weft_channels_opened_total")).toBeGreaterThan(0);
    expect(sampleOf(page, "weft_links", { state: "up" })).toBeGreaterThan(0);
    expect(sampleOf(page, "weft_listener_up", { listener: "echo-entry-1" })).toBe(1);
    expect(sampleOf(page, "weft_certificate_left_seconds")).toBeGreaterThan(3_600);
    const lifeSeconds = ["left", "age"].map((part) => sampleOf(page, `weft_certificate_${part}_seconds`) ?? 0);
    expect(Math.round(lifeSeconds.reduce((sum, seconds) => sum + seconds) / 10)).toBe(limits.leafLifeMs / 10_000);
    expect(sampleOf(page, "weft_offline")).toBe(0);
    await eventually(async () => (sampleOf(await scrape(relay), "weft_spliced_bytes_total") ?? 0) > 0, {
      what: "bytes the relay carried",
    });
  });

  it("tell what control knows, and how long it took to say so", async () => {
    await world.weft("node", "list");
    await eventually(
      async () => {
        const page = await scrape("control");
        expect(sampleOf(page, "weft_nodes", { health: "online" })).toBe(world.fabric.plan.nodes.length);
        expect(sampleOf(page, "weft_nodes", { health: "missing" })).toBe(0);
        expect(sampleOf(page, "weft_authority_left_seconds", { kind: "node", status: "active" })).toBeGreaterThan(0);
        expect(sampleOf(page, "weft_audit_records_total")).toBeGreaterThan(0);
        expect(sampleOf(page, "weft_sessions", { surface: "control" })).toBeGreaterThan(0);
        const listed = { rpc: "weft.admin.v1.NodeAdminService/ListNodes", code: "ok" };
        expect(sampleOf(page, "weft_rpc_duration_seconds_count", listed)).toBeGreaterThan(0);
        return true;
      },
      { what: "control's metrics" },
    );
  });

  it("are what alerts and the dashboard ask for: nothing in them is unknown to a live scrape", async () => {
    const shown = world.fabric.processes.filter(({ role }) => role !== "store");
    const pages = await Promise.all(shown.map(({ name }) => scrape(name)));
    const known = new Set(pages.flatMap((page) => [...page.values()].flatMap(seriesOf)));
    const { groups } = parse(read("deploy/alerts.yaml")) as { groups: { rules: Alert[] }[] };
    const alerts = groups.flatMap(({ rules }) => rules);
    const { panels } = JSON.parse(read("deploy/grafana.json")) as { panels: { targets: { expr: string }[] }[] };
    const asked = [...alerts, ...panels.flatMap(({ targets }) => targets)].map(({ expr }) => expr);
    const unknown = asked.flatMap((expr) => expr.match(metricPattern) ?? []).filter((name) => !known.has(name));
    expect(unknown).toEqual([]);
    expect(asked.length).toBeGreaterThan(30);
    const guide = read("docs/operating.md");
    for (const { alert, annotations, labels } of alerts) {
      expect(annotations.runbook).toBe(`docs/operating.md#${alert.toLowerCase()}`);
      expect(guide).toContain(`\n### ${alert}\n`);
      expect(["critical", "warning", "info"]).toContain(labels.severity);
    }
    expect(guide.match(/^### Weft/gm)).toHaveLength(alerts.length);
  });

  it("are for scrapers: no page of a browser, no other path, no other method", async () => {
    const url = urlOf("relay-1");
    expect((await fetch(url, { headers: { "sec-fetch-site": "cross-site" } })).status).toBe(403);
    expect((await fetch(url.replace("/metrics", "/"))).status).toBe(404);
    expect((await fetch(url, { method: "POST", body: "x" })).status).toBe(405);
    expect((await fetch(url, { method: "HEAD" })).status).toBe(200);
  });
});
