/**
 * docs/deploy.md, run as it is written: its files, its commands block by block, three hosts as three folders and three addresses
 * of this one. The units are installed by its commands and started by their own command lines; no systemd runs them here.
 *
 * What stands in for something, and nothing else does: `systemctl` and `journalctl` (below: they start what the installed unit says,
 * with its credentials as systemd hands them over), `ssh` (a shell on the other folder), `runuser` (the same user), `npm ci` (this
 * checkout, with the packages it has). Names of hosts, the target, the listener's port and PostgreSQL's are replaced.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.ts";
import { type Ran, repository, run } from "../harness/fabric.ts";
import { leave } from "../harness/left-behind.ts";
import { freePort } from "../harness/loopback.ts";
import { requirePeer } from "../harness/peers.ts";
import { type Databases, sharedPostgres } from "../harness/shared-stores.ts";
import { execWords, readUnit } from "../harness/unit-files.ts";

const psql = requirePeer("psql", "docs/deploy.md on three hosts");
const systemd = requirePeer("systemd", "docs/deploy.md on three hosts");

const document = readFileSync(join(repository, "docs/deploy.md"), "utf8");
const checkout = repository.replace(/\/$/, "");

/** As long as anything may take where other tests have most of the machine. */
const busyMs = 300_000;

type Host = "control" | "relay" | "egress";
const hosts = ["control", "relay", "egress"] as const;

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

const scratch = mkdtempSync(join(tmpdir(), "weft-deploy-"));
/** 127.a.b.1 to 127.a.b.3, with a and b of this process: another run on this machine has others. */
const network = `127.${100 + (process.pid % 100)}.${Math.floor(process.pid / 100) % 250}`;
const addressOf = (host: Host): string => `${network}.${hosts.indexOf(host) + 1}`;
const rootOf = (host: Host): string => join(scratch, host);
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
let manager: Server;
const ranBlocks = new Set<Block>();

interface Running {
  readonly child: ChildProcess;
  journal: string;
}
const units = new Map<string, Running>();

/** Paths of a host below its folder. */
const paths = (host: Host, said: string): string =>
  said
    .replaceAll(/(?<![\w.}~-])\/(etc|opt|run|usr\/local|var)\//g, `${rootOf(host)}/$1/`)
    .replaceAll(/(?<= )\/opt\b(?!\/)/g, `${rootOf(host)}/opt`);

/** What the document says, as it is said on one of the hosts here. */
function onHost(host: Host, said: string): string {
  const remote = said.replaceAll(/ssh (\w+)\.example '([^']*)'/g, (_, other: Host, command: string) => {
    return `on_host ${other} '${paths(other, command)}'`;
  });
  let here = paths(host, remote);
  for (const each of hosts) here = here.replaceAll(`${each}.example`, addressOf(each));
  const { port } = target.address() as AddressInfo;
  return (
    here
      .replaceAll("timeout 60 ", `timeout ${busyMs / 1_000} `)
    .replaceAll("127.0.0.1:8443", `127.0.0.1:${listenerPort}`)
      .replaceAll("--port 8443", `--port ${listenerPort}`)
      // The server of the tests is used by many, and its superuser has the role's name.
      .replaceAll(/\b(role|database|owner) weft\b/g, `$1 ${role}`)
      .replaceAll("postgres://weft:%s@127.0.0.1:5432/weft", `postgres://${role}:%s@${superuser.host}/${role}`)
      .replaceAll("10.20.0.8:443", `127.0.0.1:${port}`)
      .replaceAll("10.20.0.0/16, fromPort: 443, toPort: 443", `127.0.0.0/8, fromPort: ${port}, toPort: ${port}`)
  );
}

/** What differs between a host and a folder of this one: its loopback, and what 0.0.0.0 means. */
function environmentOf(host: Host): NodeJS.ProcessEnv {
  const address = addressOf(host);
  const own = ["CONTROL", "NODE"].flatMap((kind) =>
    ["PUBLIC", "OPERATOR", "METRICS"].map((port) => [`WEFT_${kind}_${port}_HOST`, address] as const),
  );
  return { ...Object.fromEntries(own), HOME: join(rootOf(host), "root"), HOST_NAME: host };
}

async function inShell(host: Host, script: string, wrapped = true): Promise<Ran> {
  const { port } = manager.address() as AddressInfo;
  const folders = [
    ...(wrapped ? [join(scratch, "bin")] : []),
    join(scratch, "stand-ins"),
    join(rootOf(host), "usr/local/bin"),
  ];
  return await run("/bin/sh", ["-euc", `cd "$WORKDIR"\n${script}`], {
    withinMs: busyMs,
    env: {
      ...environmentOf(host),
      ...{ WORKDIR: checkout, RUNTIME: process.execPath, WEFT: join(checkout, "cli/bin.ts"), MANAGER: String(port) },
      ...{ SCRATCH: scratch, CHECKOUT: checkout, SYSUSERS: join(dirname(systemd.path), "systemd-sysusers") },
      PGHOST: superuser.hostname,
      PGPORT: superuser.port,
      PGUSER: superuser.username,
      PGPASSWORD: superuser.password,
      PGDATABASE: "postgres",
      PATH: [...folders, dirname(process.execPath), dirname(psql.path), process.env["PATH"] ?? ""].join(delimiter),
    },
  });
}

/** Programs that stand in for those of a host: short scripts; what is more than that is asked of the manager below. */
const standIns: Readonly<Record<string, string>> = {
  systemctl: 'exec "$RUNTIME" "$SCRATCH/ask.mjs" systemctl "$@"',
  journalctl: 'exec "$RUNTIME" "$SCRATCH/ask.mjs" journalctl "$@"',
  runuser: '[ "$1 $2 $3" = "-u postgres --" ] && shift 3 && exec "$@"',
  npm: '[ "$1 $2 $4" = "ci --prefix --include=dev" ] && test -f "$3/package-lock.json" && rm -r "$3" && ln -s "$CHECKOUT" "$3"',
  "systemd-sysusers": 'exec "$SYSUSERS" --root="$SCRATCH/$HOST_NAME" - < "$1"',
};
const ask = `const answer = await fetch("http://127.0.0.1:" + process.env.MANAGER, {
  method: "POST", body: JSON.stringify({ host: process.env.HOST_NAME, words: process.argv.slice(2) }),
});
process.stdout.write(await answer.text());
process.exit(answer.ok ? 0 : 1);
`;

/** As LoadCredential and SetCredential have it: a copy that only the process may read, the word in the unit when there is no file. */
function credentialsOf(host: Host, unit: string): string {
  const folder = join(rootOf(host), "run/credentials", unit);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { all } = readUnit(join(rootOf(host), "etc/systemd/system", unit));
  const instead = new Map(
    all("Service", "SetCredential").map((line) => [line.split(":")[0], line.split(":")[1]] as const),
  );
  for (const line of all("Service", "LoadCredential")) {
    const [id = "", path = ""] = line.split(":");
    const file = paths(host, path);
    const content = existsSync(file) ? readFileSync(file) : instead.get(id);
    if (content === undefined) throw new Error(`${unit}: Failed to set up credentials: ${path}`);
    writeFileSync(join(folder, id), content, { mode: 0o400 });
  }
  return folder;
}

/** Starts what the installed unit says; resolves when it says that it is ready, or what it waits for. */
async function startUnit(host: Host, unit: string): Promise<void> {
  const file = readUnit(join(rootOf(host), "etc/systemd/system", unit));
  expect(readFileSync(join(rootOf(host), "etc/passwd"), "utf8")).toMatch(
    new RegExp(`^${file.one("Service", "User")}:`, "m"),
  );
  const credentials = credentialsOf(host, unit);
  for (const folder of file.all("Service", "StateDirectory"))
    mkdirSync(join(rootOf(host), "var/lib", folder), { recursive: true, mode: 0o700 });
  const [program = "", ...words] = execWords(file, credentials).map((word) => paths(host, word));
  const config = words[words.indexOf("--config") + 1] ?? "";
  writeFileSync(config, readFileSync(config, "utf8").replaceAll(/(?<=")\/(etc|run|var)\//g, `${rootOf(host)}/$1/`));
  const child = spawn(program, words, {
    stdio: ["ignore", "pipe", "pipe"],
    cwd: paths(host, `${file.one("Service", "WorkingDirectory")}/`),
    env: {
      PATH: process.env["PATH"] ?? "",
      ...environmentOf(host),
      ...Object.fromEntries(file.all("Service", "Environment").map((line) => line.split("=") as [string, string])),
    },
  });
  const running: Running = { child, journal: "" };
  units.set(`${host}/${unit}`, running);
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => (running.journal += chunk.toString()));
  const isSettled = (): boolean => child.exitCode !== null || /^\{"(ready|pending)":true/m.test(running.journal);
  await eventually(isSettled, { withinMs: busyMs, what: `${unit} of ${host} to settle` });
  if (child.exitCode !== null) throw new Error(`${unit} of ${host} ended with ${child.exitCode}:\n${running.journal}`);
}

async function stopUnit(host: Host, unit: string): Promise<void> {
  const { child } = units.get(`${host}/${unit}`) ?? {};
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("close", resolve));
  child.kill("SIGTERM");
  await ended;
}

async function manage(host: Host, [program = "", ...words]: readonly string[]): Promise<string> {
  if (program === "journalctl") {
    expect(words.slice(0, 1).concat(words.slice(2))).toEqual(["-u", "--output=cat", "--lines=1"]);
    return `${units.get(`${host}/${words[1]}.service`)?.journal.trimEnd().split("\n").at(-1)}\n`;
  }
  const [verb = "", ...rest] = words;
  const unit = `${rest.at(-1)}.service`;
  if (verb === "daemon-reload") return "";
  if (verb === "stop" || verb === "restart") {
    await stopUnit(host, unit);
    expect(units.get(`${host}/${unit}`)?.child.exitCode).toBe(0);
  } else if (verb !== "start") expect([verb, rest[0]]).toEqual(["enable", "--now"]);
  if (verb !== "stop") await startUnit(host, unit);
  return "";
}

/** Of the role, and of its database. */
const role = `weft_deploy_${process.pid}`;

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
  const here = block.where.startsWith("on relay.example") ? host : "control";
  const ran = await inShell(here, onHost(here, change(script)));
  expect(ran.code, `${block.section}, ${block.where}:\n${ran.stdout}\n${ran.stderr}`).toBe(0);
  return ran.stdout;
}

beforeAll(async () => {
  databases = await sharedPostgres();
  superuser = new URL(await databases.database());
  target = createServer((request, response) => response.end(`the wiki at ${request.url}`)).listen(0, "127.0.0.1");
  manager = createServer(async (request, response) => {
    const { host, words } = JSON.parse(await textOf(request)) as { host: Host; words: string[] };
    const answer = await manage(host, words).then(
      (said) => ({ code: 200, said }),
      (error: unknown) => ({ code: 500, said: String(error) }),
    );
    response.writeHead(answer.code).end(answer.said);
  }).listen(0, "127.0.0.1");
  await Promise.all(
    [target, manager].map((server) => eventually(() => server.listening, { withinMs: 5_000, what: "a port" })),
  );
  listenerPort = await freePort();
  for (const name of ["stand-ins", "bin"]) mkdirSync(join(scratch, name));
  writeFileSync(join(scratch, "ask.mjs"), ask);
  const scripts = Object.entries(standIns).map(([name, line]) => [`stand-ins/${name}`, line] as const);
  // The same program as the link in /usr/local/bin, without the look whether its packages are there.
  for (const [name, line] of [...scripts, ["bin/weft", 'exec "$RUNTIME" "$WEFT" "$@"'] as const]) {
    writeFileSync(join(scratch, name), `#!/bin/sh\n${line}\n`);
    chmodSync(join(scratch, name), 0o755);
  }
  writeFileSync(join(scratch, "stand-ins/on_host"), '#!/bin/sh\nexport HOST_NAME="$1"; exec /bin/sh -euc "$2"\n', {
    mode: 0o755,
  });
});

afterAll(async () => {
  // Links to this checkout: what it holds is nobody's concern here.
  for (const host of hosts) rmSync(join(rootOf(host), "opt"), { recursive: true, force: true });
  await Promise.all([...units.keys()].toReversed().map((key) => stopUnit(...(key.split("/") as [Host, string]))));
  if (superuser !== undefined) {
    await inShell(
      "control",
      `echo "drop database if exists ${role} with (force); drop role if exists ${role}" | psql --quiet`,
    );
    await databases.stop();
  }
  for (const server of [target, manager]) server?.close();
  leave(scratch);
  rmSync(scratch, { recursive: true, force: true });
}, busyMs);

const inventory = (): string => join(rootOf("control"), "etc/weft/deploy.yaml");

describe.skipIf(psql.missing || systemd.missing || process.platform !== "linux")("docs/deploy.md", () => {
  it("installs a release, the user and the units on every host", async () => {
    const [found] = blocksOf("Every host");
    if (found === undefined) throw new Error("docs/deploy.md does not say what every host needs");
    ranBlocks.add(found);
    const ran = await Promise.all(
      hosts.map(async (host) => {
        for (const folder of ["opt", "root", "etc/systemd/system", "usr/local/bin", "var/backups", "var/lib"])
          mkdirSync(join(rootOf(host), folder), { recursive: true });
        return await inShell(host, onHost(host, found.script), false);
      }),
    );
    expect(ran.map(({ code, stderr, stdout }) => [code, stdout.trim(), code === 0 ? "" : stderr])).toEqual(
      hosts.map(() => [0, "0.1.0", ""]),
    );
  }, busyMs);

  it("makes PostgreSQL ready, an installation in it, and runs control from its unit", async () => {
    const [database, control] = blocksOf("Control");
    await runBlock(database);
    writeFileSync(join(rootOf("control"), "etc/weft/control.json"), onHost("control", fence("json")));
    await runBlock(control);
  }, busyMs);

  it("M-L9 plans, refuses what is not filled in, and changes nothing by either", async () => {
    writeFileSync(inventory(), onHost("control", fence("yaml")));
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
  }, busyMs);

  it.each(nodes)(
    "adds %s on %s by its token, its unit and its fingerprint, and waits at its gate",
    async (as, host) => {
      const [carry, start, approve, tidy, pool, gate] = blocksOf("Nodes, one at a time");
      await runBlock(carry, { as });
      const journal = (await runBlock(start, { as })).trimEnd().split("\n").at(-1) ?? "";
      const { requestId, keyFingerprint } = JSON.parse(journal) as { requestId: string; keyFingerprint: string };
      const change = (script: string): string =>
        script.replace("REQUEST", requestId).replace(/"1a2b[^"]*"/, `"${keyFingerprint}"`);
      expect(await runBlock(approve, { as, change })).toContain(`${requestId}  ${as}`);
      const isReady = (): boolean => units.get(`${host}/weft-node.service`)?.journal.includes('"ready":true') === true;
      await eventually(isReady, { withinMs: busyMs, what: `${as} to take part` });
      await runBlock(tidy, { as });
      if (as === "egress-1") await runBlock(pool);
      expect(await runBlock(gate, { as })).toContain("nothing to do");
    },
    120_000,
  );

  it("M-L9 has nothing left to do then, and bytes get through", async () => {
    const said = await runBlock(blocksOf("Something to reach")[0]);
    expect(said).toContain("the wiki at /");
    expect(said).toContain("nothing to do: 3 nodes are as the file says");
    expect(said).toContain("nothing is wrong that is known here");
  }, busyMs);

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

  it("M-F12 the image's health check tells a process that answers from one that does not", async () => {
    const check =
      /^HEALTHCHECK .*?CMD (\[.*\])$/m.exec(readFileSync(join(checkout, "deploy/Dockerfile"), "utf8"))?.[1] ?? "[]";
    const [program = "", ...words] = JSON.parse(check) as string[];
    expect(program).toBe("node");
    const health = async (url: string): Promise<number | null> =>
      (await run(process.execPath, words, { env: { WEFT_HEALTH_URL: url } })).code;
    expect(await health(`http://${addressOf("control")}:9464/metrics`)).toBe(0);
    expect(await health(`http://${addressOf("egress")}:9465/metrics`)).toBe(0);
    expect(await health(`http://${addressOf("control")}:1/metrics`)).toBe(1);
  }, busyMs);

  it("backs up, upgrades control and a node, and goes back with both", async () => {
    for (const block of blocksOf("Backup")) await runBlock(block);
    const [unpack = "", install = ""] = blocksOf("Every host")[0]?.script.split("\n") ?? [];
    for (const host of ["control", "relay"] as const) {
      const ran = await inShell(host, onHost(host, `${unpack}\n${install}`.replaceAll("0.1.0", "0.2.0")), false);
      expect(ran.code, ran.stderr).toBe(0);
    }
    for (const section of ["Upgrade", "Rollback"]) for (const block of blocksOf(section)) await runBlock(block);
    const isBack = async (): Promise<boolean> => {
      const answer = await fetch(`http://127.0.0.1:${listenerPort}/back`).catch(() => undefined);
      return answer?.ok === true && (await answer.text()) === "the wiki at /back";
    };
    await eventually(isBack, { withinMs: busyMs, everyMs: 200, what: "a page through the listener" });
  }, busyMs);

  it("has no command that was not run here", () => {
    expect(blocks.filter((block) => !ranBlocks.has(block)).map(({ section, where }) => `${section}: ${where}`)).toEqual(
      [],
    );
    expect(document.match(/^```sh$/gm)).toHaveLength(blocks.length);
    // Here every address can be reached from everywhere; there, nodes' operator ports only on their own hosts.
    expect(blocks.filter(({ script }) => /weft (node (un)?drain|top|probe|route watch)/.test(script))).toEqual([]);
  });
});
