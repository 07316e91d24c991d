/**
 * Every alert of deploy/alerts.yaml is fired by its fault: on one fabric of real processes, judged by a real Prometheus that
 * scrapes them. Of the rules only `for:` and the ranges are shortened (`hastened`); expressions, thresholds and labels are
 * those that are shipped. Where a fault takes hours or months, a real node or control is told that they have passed.
 */

import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { makeCsr } from "../../certs/csr.ts";
import { generateP256 } from "../../certs/keys.ts";
import type { Session } from "../../cli/session.ts";
import { VerifiedStream } from "../../cli/up/stream.ts";
import { IdentityKind, IdentityService } from "../../gen/weft/admin/v1/identity_pb.ts";
import { ListenerService } from "../../gen/weft/admin/v1/listener_pb.ts";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { PolicyService } from "../../gen/weft/admin/v1/policy_pb.ts";
import { RequestService } from "../../gen/weft/admin/v1/request_pb.ts";
import { ResourceService } from "../../gen/weft/admin/v1/resource_pb.ts";
import { TokenService } from "../../gen/weft/admin/v1/token_pb.ts";
import { OfflineMode } from "../../gen/weft/fabric/v1/role_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { defaultCapabilities } from "../../node/capabilities.ts";
import { joinCluster } from "../../node/join.ts";
import { eventually } from "../harness/eventually.ts";
import { fabricWithinMs, repository, startTestFabric, type TestFabric } from "../harness/fabric.ts";
import { kill, knockWithoutTls, makeAgedCluster, startLater, starve } from "../harness/fabric-faults.ts";
import { requirePeer } from "../harness/peers.ts";
import { hastened, type Prometheus, promtool, startPrometheus } from "../harness/prometheus.ts";
import type { ServerProcess } from "../harness/server-process.ts";
import { type Databases, sharedPostgres } from "../harness/shared-stores.ts";
import { activeRelay, standbyReady } from "../harness/trunks.ts";

const peer = requirePeer("prometheus", "alerts that are fired by their faults");
const file = join(repository, "deploy/alerts.yaml");
const rules = readFileSync(file, "utf8");
const { groups } = parse(rules) as { readonly groups: readonly { readonly rules: readonly { alert: string }[] }[] };
const everyAlert = groups.flatMap(({ rules }) => rules.map(({ alert }) => alert));

const dashboard = JSON.parse(readFileSync(join(repository, "deploy/grafana.json"), "utf8")) as {
  readonly panels: readonly { readonly targets: readonly { readonly expr: string }[] }[];
};
const shown = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));

const nodes = ["entry-1", "entry-2", "relay-1", "relay-2", "relay-3", "egress-1", "egress-2"];
const instances = ["control", ...nodes];
const relays = nodes.filter((name) => name.startsWith("relay"));
/** No move is quick that has to wait for this. */
const slowMs = 1_500;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** Under whatever else runs. */
const withinMs = 60_000;
const testMs = 3 * withinMs;

const folder = mkdtempSync(join(tmpdir(), "weft-alerts-"));
const inCluster = { cluster: "default" };
let databases: Databases;
let url: string;
let world: TestFabric;
let prometheus: Prometheus;
let traffic: VerifiedStream;
let later: ServerProcess | undefined;
const stopping = new AbortController();

async function startAll(): Promise<void> {
  databases = await sharedPostgres();
  url = await databases.migrated();
  const postgresUrlFile = join(folder, "postgres.url");
  writeFileSync(postgresUrlFile, url, { mode: 0o600 });
  const hasty = join(folder, "alerts.yaml");
  writeFileSync(hasty, hastened(rules, { forBy: 240, windowBy: 20 }));
  const starting = startPrometheus(peer.path, { instances, rules: hasty, every: "1s" });
  world = await startTestFabric({ postgresUrlFile });
  prometheus = await starting;
  for (const name of instances) prometheus.lead(name, String(world.fabric.process(name).facts["metrics"]));
  // Nothing but relays is to end what is open, however long it takes without control.
  await asOperator((session, clusterId) =>
    session.client(PolicyService).setOfflinePolicy({ clusterId, policy: { mode: OfflineMode.CONTINUE } }),
  );
  traffic = new VerifiedStream(world.fabric.listenerPort("echo-entry-1"), 100_000);
}

async function stopAll(): Promise<void> {
  stopping.abort();
  await traffic?.finish(1_000).catch(() => undefined);
  await later?.stop();
  await prometheus?.stop();
  await world?.stop();
  await databases?.stop();
  rmSync(folder, { recursive: true, force: true });
}

type Labels = Readonly<Record<string, string>>;

async function isFiring(alert: string, labels: Labels): Promise<boolean> {
  const wanted = Object.entries({ alertname: alert, ...labels });
  const seen = await prometheus.alerts();
  return seen.some((each) => each.state === "firing" && wanted.every(([name, value]) => each.labels[name] === value));
}

const fired = new Set<string>();
const firing = (alert: string, labels: Labels): Promise<void> =>
  eventually(() => isFiring(alert, labels), { withinMs, everyMs: 250, what: `${alert} fires` }).then(
    () => void fired.add(alert),
  );

/** The alert does not fire, then `fault` happens, and it does. */
async function fires(alert: string, labels: Labels, fault: () => Promise<unknown>): Promise<void> {
  const quiet = async (): Promise<boolean> => !(await isFiring(alert, labels));
  await eventually(quiet, { withinMs, everyMs: 250, what: `${alert} does not fire before its fault` });
  await fault();
  await firing(alert, labels);
}

/** With the fault made again and again until it does. */
async function firesUnder(alert: string, labels: Labels, fault: () => Promise<unknown>): Promise<void> {
  await fires(alert, labels, async () => {
    const deadlineMs = performance.now() + withinMs;
    while (!(await isFiring(alert, labels)) && performance.now() < deadlineMs) await fault();
  });
}

const asOperator = <T>(work: (session: Session, clusterId: string) => Promise<T>): Promise<T> =>
  world.fabric.withSession(async (session) => await work(session, await session.clusterId()));

async function inStore<T>(work: (client: pg.Client) => Promise<T>, at = url): Promise<T> {
  const client = new pg.Client({ connectionString: at });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** A host asks to join, and waits. `letIn` resolves when it has its identity; it does nothing with it. */
async function askToJoin(name: string): Promise<{ letIn(): Promise<void> }> {
  const [host = "", port] = world.publicAddress("control").split(":");
  const pending = Promise.withResolvers<string>();
  const { text } = await asOperator((session, clusterId) => session.client(TokenService).createToken({ clusterId }));
  const wish = { name, roles: [], addresses: [], region: "", facts: {}, dialOutOnly: true };
  const deps = { stateDir: join(world.scratch, name), control: [{ host, port: Number(port) }], clock: systemClock };
  const joining = joinCluster(
    { ...deps, onPending: ({ requestId }) => pending.resolve(requestId) },
    text,
    { ...wish, capabilities: defaultCapabilities(true) },
    stopping.signal,
  );
  joining.catch(pending.reject);
  const requestId = await pending.promise;
  return {
    async letIn() {
      await asOperator(async (session, clusterId) => {
        const requests = session.client(RequestService);
        const { request } = await requests.getRequest({ clusterId, requestId });
        await requests.approveRequest({ clusterId, requestId, keyHash: request?.keyHash ?? new Uint8Array(), name });
      });
      await joining;
    },
  };
}

describe.skipIf(peer.missing)("alerts", () => {
  beforeAll(startAll, 2 * fabricWithinMs);
  afterAll(stopAll, fabricWithinMs);

  it(
    "are what promtool takes, and so is every page, and what the dashboard asks; none fires on a healthy fabric",
    async () => {
      const checked = await promtool(peer.path, ["check", "rules", file]);
      expect(checked.stderr + checked.stdout).toContain(`SUCCESS: ${everyAlert.length} rules found`);
      for (const name of ["control", "entry-1", "relay-1", "egress-1"]) {
        const page = await fetch(`http://${world.fabric.process(name).facts["metrics"]}/metrics`);
        const ran = await promtool(peer.path, ["check", "metrics"], await page.text());
        expect([name, ran.code, ran.stdout + ran.stderr]).toEqual([name, 0, ""]);
      }
      for (const expression of shown) expect(await prometheus.count(expression)).toBeGreaterThanOrEqual(0);
      const calm = async (): Promise<boolean> => {
        expect(await prometheus.count("up == 1")).toBe(instances.length);
        expect(await prometheus.alerts()).toEqual([]);
        return true;
      };
      await eventually(calm, { withinMs, everyMs: 250, what: "a healthy fabric without alerts" });
    },
    testMs,
  );

  describe.concurrent("while control can be asked", () => {
    it(
      "WeftNodesSilent: a member is never heard",
      async () => {
        const { letIn } = await askToJoin("never-heard");
        await fires("WeftNodesSilent", inCluster, letIn);
      },
      testMs,
    );

    it(
      "WeftJoinRequestWaits: nobody decides on a host",
      async () => {
        await fires("WeftJoinRequestWaits", inCluster, () => askToJoin("undecided"));
      },
      testMs,
    );

    it(
      "WeftFailovers: every relay that is taken to freezes",
      async () => {
        await firesUnder("WeftFailovers", { instance: "entry-1" }, async () => {
          await standbyReady(world, "entry-1");
          const relay = await activeRelay(world, "entry-1");
          const { pid } = world.fabric.process(relay);
          process.kill(pid, "SIGSTOP");
          try {
            const left = async (): Promise<boolean> => (await activeRelay(world, "entry-1")) !== relay;
            await eventually(left, { withinMs, everyMs: 50, what: "another relay in use" });
          } finally {
            process.kill(pid, "SIGCONT");
          }
        });
      },
      testMs,
    );

    it(
      "WeftLoopLate: a process is hardly ever let run",
      async () => {
        const late = { instance: "entry-2" };
        await fires("WeftLoopLate", late, () => starve(world, "entry-2", () => firing("WeftLoopLate", late)));
      },
      testMs,
    );

    it(
      "WeftListenerDown: the port of a listener is somebody else's",
      async () => {
        const other = createServer().listen(0, "127.0.0.1");
        await once(other, "listening");
        const taken = other.address() as { readonly port: number };
        const entryNodeId = String(world.fabric.process("entry-1").facts["nodeId"]);
        await fires("WeftListenerDown", { instance: "entry-1", listener: "taken" }, () =>
          asOperator(async (session, clusterId) => {
            const [resource] = (await session.client(ResourceService).listResources({ clusterId })).resources;
            const { organizationId = "", id: resourceId = "" } = resource ?? {};
            const bound = { entryNodeId, resourceId, bindHost: "127.0.0.1", bindPort: taken.port };
            await session.client(ListenerService).addListener({ clusterId, organizationId, name: "taken", ...bound });
          }),
        );
        other.close();
      },
      testMs,
    );

    it(
      "WeftAlertOpen, WeftRpcFails: somebody writes into the store",
      async () => {
        const forgery = { kind: "trust-row-forged", severity: "critical" };
        const list = (): Promise<unknown> =>
          asOperator((session) => session.client(IdentityService).listIdentities({}));
        const csr = await makeCsr(generateP256());
        const identity = { kind: IdentityKind.OPERATOR, name: "second", csr };
        await asOperator((session) => session.client(IdentityService).addIdentity(identity));
        await list();
        const rename = (name: string): Promise<unknown> =>
          inStore((client) => client.query("update identity set name = $2 where name = $1", [identity.name, name]));
        await fires("WeftRpcFails", { instance: "control" }, () =>
          fires("WeftAlertOpen", forgery, async () => {
            await rename("admin-too");
            await expect(list()).rejects.toMatchObject({ reason: "data_loss" });
          }),
        );
        await inStore((client) => client.query("update identity set name = 'second' where name = 'admin-too'"));
        await list();
      },
      testMs,
    );

    it(
      "WeftRpcSlow: the store keeps a call waiting",
      async () => {
        const list = (): Promise<unknown> =>
          asOperator((session, clusterId) => session.client(OrganizationService).listOrganizations({ clusterId }));
        await firesUnder("WeftRpcSlow", { instance: "control" }, () =>
          inStore(async (client) => {
            await client.query("begin");
            await client.query("lock table organization in access exclusive mode");
            const listed = Promise.all([list(), list()]);
            await client.query("select pg_sleep(2)");
            await client.query("commit");
            await listed;
          }),
        );
      },
      testMs,
    );

    it(
      "WeftAuthorityExpires: the roots of a cluster were made 340 days ago",
      async () => {
        await fires("WeftAuthorityExpires", {}, () => makeAgedCluster(world, url, "aged", 340 * dayMs));
        expect(await isFiring("WeftAuthorityExpires", inCluster)).toBe(false);
      },
      testMs,
    );

    it(
      "WeftRefusals: strangers knock at a relay",
      async () => {
        const { publicPort = 0 } = world.fabric.plan.nodes.find(({ name }) => name === "relay-3") ?? {};
        const turnedAway = { instance: "relay-3", reason: "first_bytes" };
        await firesUnder("WeftRefusals", turnedAway, () => knockWithoutTls(publicPort, 50));
      },
      testMs,
    );
  });

  describe("when the store is away", () => {
    it(
      "WeftStoreAway: control cannot get at it any more",
      async () => {
        const { pathname } = new URL(url);
        const cutOff = async (client: pg.Client): Promise<void> => {
          await client.query(`alter database ${pathname.slice(1)} with allow_connections false`);
          await client.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", [
            pathname.slice(1),
          ]);
        };
        const beside = Object.assign(new URL(url), { pathname: "/postgres" }).href;
        await fires("WeftStoreAway", { instance: "control" }, () => inStore(cutOff, beside));
      },
      testMs,
    );
  });

  describe.concurrent("when control is away", () => {
    it(
      "WeftControlUnheard: control is killed",
      async () => {
        await fires("WeftControlUnheard", { instance: "egress-1" }, () => kill(world, "control"));
      },
      testMs,
    );

    it(
      "WeftSnapshotExpires, WeftCertificateNotRenewed, WeftOffline: a node without control, 13 hours later",
      async () => {
        const alone = { instance: "entry-2" };
        await kill(world, "entry-2");
        await fires("WeftSnapshotExpires", alone, () =>
          fires("WeftCertificateNotRenewed", alone, () =>
            fires("WeftOffline", alone, async () => {
              later = await startLater(world, "entry-2", 13 * hourMs);
            }),
          ),
        );
      },
      testMs,
    );

    it(
      "WeftFailoverSlow, WeftProcessGone, WeftLinksDown: every relay is killed, and one comes back",
      async () => {
        const [back = "", gone = ""] = relays;
        const entry = { instance: "entry-1" };
        const killAll = async (): Promise<void> => {
          await Promise.all(relays.map((relay) => kill(world, relay)));
          await delay(slowMs);
          const { facts } = await world.fabric.restart(back);
          prometheus.lead(back, String(facts["metrics"]));
        };
        await fires("WeftProcessGone", { instance: gone }, () =>
          fires("WeftLinksDown", entry, () => fires("WeftFailoverSlow", entry, killAll)),
        );
      },
      testMs,
    );
  });

  it("are all fired by now, and every one of them exists", () => {
    expect([...fired].sort()).toEqual([...everyAlert].sort());
  });
});
