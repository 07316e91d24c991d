/**
 * docs/deploy.md, run as it is written: its files, its commands block by block, three hosts as three folders and three addresses
 * of this one (tests/harness/deploy-hosts.ts says what stands in for what). The units are installed by its commands and started by
 * their own command lines; no systemd runs them here. Names of hosts, the target, the listener's port and PostgreSQL are replaced.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  addressOf,
  busyMs,
  checkout,
  closeHosts,
  type Host,
  hosts,
  inShell,
  onHost,
  openHosts,
  rootOf,
  stopUnits,
  units,
} from "../harness/deploy-hosts.ts";
import { eventually } from "../harness/eventually.ts";
import { freePort } from "../harness/loopback.ts";
import { requirePeer } from "../harness/peers.ts";
import { type Databases, sharedPostgres } from "../harness/shared-stores.ts";

vi.setConfig({ testTimeout: busyMs, hookTimeout: busyMs });
const psql = requirePeer("psql", "docs/deploy.md on three hosts");
const systemd = requirePeer("systemd", "docs/deploy.md on three hosts");

const document = readFileSync(join(checkout, "docs/deploy.md"), "utf8");

interface Block {
  readonly section: string;
  /** Its first line, a comment: where it is run, and for what. */
  readonly where: string;
  readonly script: string;
}

const blocks: readonly Block[] = document.split(/^## /m).flatMap((part) =>
  [...part.matchAll(/^```sh\n# (on .*)\n([\s\S]*?)^```$/gm)].map(([, where = "", script = ""]) => ({
    section: part.split("\n")[0] ?? "",
    where,
    script,
  })),
);
const fence = (language: string): string =>
  new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "m").exec(document)?.[1] ?? "";

const nodes: readonly (readonly [name: string, host: Host])[] = [
  ["relay-1", "relay"],
  ["egress-1", "egress"],
  ["entry-1", "control"],
];
const hostOf = (node: string): Host => nodes.find(([name]) => name === node)?.[1] ?? "control";

let databases: Databases;
let superuser: URL;
let target: Server;
let listenerPort: number;
const ranBlocks = new Set<Block>();
/** Of the role, and of its database: the server is used by many tests, and its superuser has the name in the document. */
const role = `weft_deploy_${process.pid}`;

/** What the document says, on one of the hosts here. */
function here(host: Host, said: string): string {
  const { port } = target.address() as AddressInfo;
  return onHost(host, said)
    .replaceAll("127.0.0.1:8443", `127.0.0.1:${listenerPort}`)
    .replaceAll("--port 8443", `--port ${listenerPort}`)
    .replaceAll(/\b(role|database|owner) weft\b/g, `$1 ${role}`)
    .replaceAll("postgres://weft:%s@127.0.0.1:5432/weft", `postgres://${role}:%s@${superuser.host}/${role}`)
    .replaceAll("10.20.0.8:443", `127.0.0.1:${port}`)
    .replaceAll("10.20.0.0/16, fromPort: 443, toPort: 443", `127.0.0.0/8, fromPort: ${port}, toPort: ${port}`);
}

const blocksOf = (section: string): readonly Block[] => blocks.filter((each) => each.section === section);

interface Change {
  /** For this node instead of the relay. */
  readonly as?: string;
  readonly change?: (script: string) => string;
}

/** Runs a block of the document and returns what it printed; a command that fails fails the test. */
async function runBlock(
  block: Block | undefined,
  { as = "relay-1", change = (same) => same }: Change = {},
): Promise<string> {
  if (block === undefined) throw new Error("docs/deploy.md lacks a block that this test runs");
  ranBlocks.add(block);
  const host = hostOf(as);
  const script = block.script
    .replaceAll("relay-1", as)
    .replaceAll("relay.example", `${host}.example`)
    .replaceAll("--roles relay", `--roles ${as.replace(/-1$/, "")}`);
  const at = block.where.startsWith("on relay.example") ? host : "control";
  const ran = await inShell(at, here(at, change(script)));
  expect(ran.code, `${block.section}, ${block.where}:\n${ran.stdout}\n${ran.stderr}`).toBe(0);
  return ran.stdout;
}

beforeAll(async () => {
  databases = await sharedPostgres();
  superuser = new URL(await databases.database());
  target = createServer((request, response) => response.end(`the wiki at ${request.url}`)).listen(0, "127.0.0.1");
  await eventually(() => target.listening, { withinMs: busyMs, what: "a port" });
  listenerPort = await freePort();
  const { hostname: PGHOST, port: PGPORT, username: PGUSER, password: PGPASSWORD } = superuser;
  await openHosts({
    env: { PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE: "postgres" },
    programs: [dirname(psql.path)],
    sysusers: join(dirname(systemd.path), "systemd-sysusers"),
  });
});

afterAll(async () => {
  await stopUnits();
  const drop = `drop database if exists ${role} with (force); drop role if exists ${role}`;
  if (superuser !== undefined) await inShell("control", `echo "${drop}" | psql --quiet`);
  await databases?.stop();
  target?.close();
  closeHosts();
});

const inventory = (): string => join(rootOf("control"), "etc/weft/deploy.yaml");

describe.skipIf(psql.missing || systemd.missing || process.platform !== "linux")("docs/deploy.md", () => {
  it("installs a release, the user and the units on every host", async () => {
    const [found] = blocksOf("Every host");
    if (found === undefined) throw new Error("docs/deploy.md does not say what every host needs");
    ranBlocks.add(found);
    const ran = await Promise.all(hosts.map((host) => inShell(host, here(host, found.script), true)));
    expect(ran.map(({ code, stderr, stdout }) => [code, stdout.trim(), code === 0 ? "" : stderr])).toEqual(
      hosts.map(() => [0, "0.1.0", ""]),
    );
  });

  it("makes PostgreSQL ready, an installation in it, and runs control from its unit", async () => {
    const [database, control] = blocksOf("Control");
    await runBlock(database);
    writeFileSync(join(rootOf("control"), "etc/weft/control.json"), here("control", fence("json")));
    await runBlock(control);
  });

  it("M-L9 plans, refuses what is not filled in, and changes nothing by either", async () => {
    writeFileSync(inventory(), here("control", fence("yaml")));
    const broken = `${inventory()}.broken`;
    const text = readFileSync(inventory(), "utf8");
    writeFileSync(broken, text.replace("pool: office", "pool: <POOL>").replace("egress-1", "relay-1"));
    const treeOf = async (): Promise<string> =>
      (
        await inShell(
          "control",
          `cd ${rootOf("control")} && find . -path ./opt -prune -o -printf '%p %T@ %s\\n' | sort`,
        )
      ).stdout;
    const auditOf = async (): Promise<string> => (await inShell("control", "weft audit list --limit 1 --json")).stdout;
    const [audit, tree] = [await auditOf(), await treeOf()];
    expect(tree).toMatch(/etc\/weft\/deploy\.yaml/);
    const said = await runBlock(blocksOf("The plan")[0]);
    for (const [name, host] of nodes) expect(said).toMatch(new RegExp(`^join +${name} on ${addressOf(host)}$`, "m"));
    const context = readFileSync(join(rootOf("control"), "root/.weft/context.json"), "utf8");
    const pin = /"installationKeyHash": "([0-9a-f]{64})"/.exec(context)?.[1];
    expect(said.split(`sha256:${pin}`)).toHaveLength(1 + nodes.length);
    const [json, detailed, refused] = await Promise.all([
      inShell("control", `weft deploy plan ${inventory()} --json`),
      inShell("control", `weft deploy plan ${inventory()} --detailed-exitcode`),
      inShell("control", `weft deploy plan ${broken}`),
    ]);
    expect(JSON.parse(json.stdout)).toMatchObject({ pending: 3, compared: true, unlisted: [] });
    expect([json.code, detailed.code, refused.code]).toEqual([0, 2, 78]);
    expect(refused.stderr).toMatch(/placeholder[\s\S]*relay-1 is given 2 times/);
    expect(await treeOf()).toBe(tree);
    expect(await auditOf()).toBe(audit);
  });

  it("adds each node by its token, its unit and its fingerprint, and waits at its gate", async () => {
    const [carry, start, approve, tidy, pool, gate] = blocksOf("Nodes, one at a time");
    for (const [as] of nodes) await runBlock(carry, { as });
    // People do the rest one at a time, too. Nothing hangs on that here, and it would take three times as long.
    const add = async ([as, host]: (typeof nodes)[number]): Promise<void> => {
      const journal = (await runBlock(start, { as })).trimEnd().split("\n").at(-1) ?? "";
      const { requestId, keyFingerprint } = JSON.parse(journal) as { requestId: string; keyFingerprint: string };
      const change = (script: string): string =>
        script.replace("REQUEST", requestId).replace(/(?<=--fingerprint )"[^"]*"/, `"${keyFingerprint}"`);
      expect(await runBlock(approve, { as, change })).toContain(`approved: node ${as} has id`);
      const isReady = (): boolean => units.get(`${host}/weft-node.service`)?.journal.includes('"ready":true') === true;
      await eventually(isReady, { withinMs: busyMs, what: `${as} to take part` });
      await runBlock(tidy, { as });
      if (as === "egress-1") await runBlock(pool);
      expect(await runBlock(gate, { as })).toContain("nothing to do");
    };
    await Promise.all(nodes.map(add));
  });

  it("M-L9 has nothing left to do then, and bytes get through", async () => {
    const said = await runBlock(blocksOf("Something to reach")[0]);
    expect(said).toContain("the wiki at /");
    expect(said).toContain("nothing to do: 3 nodes are as the file says");
    expect(said).toMatch(/^no known mistake found \(\d+ of \d+ subjects looked at, on this host\)$/m);
  });

  it("binds what its table of ports says, and nothing beyond loopback besides", async () => {
    const ready = [...units].map(
      ([key, { journal }]) => [key, /^\{"ready":true.*$/m.exec(journal)?.[0] ?? "{}"] as const,
    );
    const portsOf = (key: string): Record<string, string> =>
      JSON.parse(ready.find(([each]) => each === key)?.[1] ?? "{}");
    expect(portsOf("control/weft-control.service")).toMatchObject({
      public: `${addressOf("control")}:7400`,
      operator: `${addressOf("control")}:7401`,
      metrics: `${addressOf("control")}:9464`,
    });
    for (const host of ["control", "relay"] as const) {
      expect(portsOf(`${host}/weft-node.service`)).toMatchObject({
        public: `${addressOf(host)}:7444`,
        operator: `${addressOf(host)}:7501`,
      });
    }
    expect(portsOf("egress/weft-node.service")).toMatchObject({ public: "", metrics: `${addressOf("egress")}:9465` });
    for (const port of ["7400", "7401", "7444", "7501", "9464", "9465"]) expect(document).toContain(port);
  });

  it("backs up, upgrades control and a node, and goes back with both", async () => {
    for (const block of blocksOf("Backup")) await runBlock(block);
    const [unpack = "", install = ""] = blocksOf("Every host")[0]?.script.split("\n") ?? [];
    for (const host of ["control", "relay"] as const) {
      const ran = await inShell(host, here(host, `${unpack}\n${install}`.replaceAll("0.1.0", "0.2.0")), true);
      expect(ran.code, ran.stderr).toBe(0);
    }
    // A gate waits for control as well, so both halves may go on at once; a stop takes its 5 s.
    for (const section of ["Upgrade", "Rollback"]) await Promise.all(blocksOf(section).map((block) => runBlock(block)));
    const isBack = async (): Promise<boolean> => {
      const answer = await fetch(`http://127.0.0.1:${listenerPort}/back`).catch(() => undefined);
      return answer?.ok === true && (await answer.text()) === "the wiki at /back";
    };
    await eventually(isBack, { withinMs: busyMs, everyMs: 200, what: "a page through the listener" });
  });

  it("has no command that was not run here", () => {
    expect(blocks.filter((block) => !ranBlocks.has(block)).map(({ section, where }) => `${section}: ${where}`)).toEqual(
      [],
    );
    expect(document.match(/^```sh$/gm)).toHaveLength(blocks.length);
    // Here every address can be reached from everywhere; there, nodes' operator ports only on their own hosts.
    expect(blocks.filter(({ script }) => /weft (node (un)?drain|top|probe|route watch)/.test(script))).toEqual([]);
  });
});
