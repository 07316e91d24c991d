/**
 * A real Prometheus for tests: scrapes processes whose ports are known only later, and judges the rules it is given. Needs
 * the peer `prometheus`:
 *
 *   const peer = requirePeer("prometheus", "alerts");
 *   describe.skipIf(peer.missing)("...", () => { const prometheus = await startPrometheus(peer.path, { ... }); ... });
 *
 * It scrapes through a proxy of the test's, as `proxy_url` has it, under the names the processes have: it takes up to ten
 * seconds to begin with targets it is told of, so it is started beside the fabric and told of names.
 */

import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { stringify } from "yaml";
import { type Ran, run } from "./fabric.ts";
import { onFreePort } from "./loopback.ts";
import { type ServerProcess, startServer } from "./server-process.ts";

export interface PrometheusOptions {
  /** What it scrapes, by the label `instance`, in one job named "weft". */
  readonly instances: readonly string[];
  /** A file of rules. */
  readonly rules: string;
  /** How often it scrapes and judges. */
  readonly every: string;
}

/** An alert that is pending or fires. */
export interface SeenAlert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: "pending" | "firing";
  readonly value: string;
}

export interface Prometheus {
  /** From now on the instance is scraped at this host:port. */
  lead(instance: string, address: string): void;
  alerts(): Promise<readonly SeenAlert[]>;
  /** How many series an expression gives right now. */
  count(expression: string): Promise<number>;
  stop(): Promise<void>;
}

/** Runs `promtool`, which is beside Prometheus. */
export function promtool(prometheus: string, args: readonly string[], stdin?: string): Promise<Ran> {
  return run(join(dirname(prometheus), "promtool"), args, stdin === undefined ? {} : { stdin });
}

const forPattern = /^(\s+for: )(\d+)(s|m)$/gm;
const windowPattern = /\[(\d+)(s|m)\]/g;

/**
 * Rules with every `for:` and every range a so-manyth as long, and nothing else changed: what a test cannot wait for.
 * Thresholds, and what they are compared with, stay.
 */
export function hastened(rules: string, { forBy, windowBy }: { readonly forBy: number; readonly windowBy: number }) {
  const shortened = (count: string, unit: string, by: number): string =>
    `${Math.round((Number(count) * (unit === "m" ? 60_000 : 1_000)) / by)}ms`;
  return rules
    .replace(forPattern, (_, key: string, count: string, unit: string) => key + shortened(count, unit, forBy))
    .replace(windowPattern, (_, count: string, unit: string) => `[${shortened(count, unit, windowBy)}]`);
}

/** Passes a scrape of `http://INSTANCE/metrics` on to where the instance is; drops it when that is nowhere. */
async function startProxy(addresses: ReadonlyMap<string, string>): Promise<Server> {
  const drop = (response: ServerResponse): void => void response.destroy();
  const server = createServer((asked, response) => {
    const { hostname, pathname } = new URL(asked.url ?? "", "http://nobody");
    const address = addresses.get(hostname);
    if (address === undefined) return drop(response);
    const passed = request(`http://${address}${pathname}`, { headers: asked.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    passed.on("error", () => drop(response));
    response.on("close", () => passed.destroy());
    passed.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function configOf({ instances, rules, every }: PrometheusOptions, proxyPort: number): string {
  const targets = instances.map((instance) => ({ targets: [`${instance}:80`], labels: { instance } }));
  return stringify({
    global: { scrape_interval: every, scrape_timeout: every, evaluation_interval: every },
    rule_files: [rules],
    scrape_configs: [{ job_name: "weft", proxy_url: `http://127.0.0.1:${proxyPort}`, static_configs: targets }],
  });
}

/** Starts one; a second, and up to ten until it scrapes. */
export async function startPrometheus(program: string, options: PrometheusOptions): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), "weft-prometheus-"));
  const addresses = new Map<string, string>();
  const proxy = await startProxy(addresses);
  const config = join(folder, "prometheus.yaml");
  writeFileSync(config, configOf(options, (proxy.address() as AddressInfo).port));
  const start = async (port: number): Promise<{ readonly port: number; readonly server: ServerProcess }> => {
    const flags = { "config.file": config, "storage.tsdb.path": join(folder, "data") };
    const server = await startServer({
      program,
      args: [...Object.entries(flags).map((flag) => `--${flag.join("=")}`), `--web.listen-address=127.0.0.1:${port}`],
      ready: "Server is ready to receive web requests",
      stopSignal: "SIGTERM",
    });
    return { port, server };
  };
  const { port, server } = await onFreePort(start);
  const ask = async <T>(path: string): Promise<T> => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`);
    return ((await answer.json()) as { readonly data: T }).data;
  };
  return {
    lead: (instance, address) => void addresses.set(instance, address),
    alerts: async () => (await ask<{ readonly alerts: readonly SeenAlert[] }>("alerts")).alerts,
    async count(expression) {
      const { result } = await ask<{ readonly result: readonly unknown[] }>(
        `query?query=${encodeURIComponent(expression)}`,
      );
      return result.length;
    },
    async stop() {
      await server.stop();
      proxy.close();
      proxy.closeAllConnections();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
