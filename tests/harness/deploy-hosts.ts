/**
 * Hosts of a deployment as folders and loopback addresses of this one. Commands are run by a shell with a host's paths below its
 * folder; `systemctl` starts what the installed unit says, with its credentials as systemd hands them over.
 *
 * What stands in for something, and nothing else does: `systemctl` and `journalctl`, `ssh` (a shell on the other folder), `runuser`
 * (the same user), `npm ci` (this checkout, with the packages it has) and `systemd-sysusers` (the real one, for the folder).
 */

import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { expect } from "vitest";
import { eventually } from "./eventually.ts";
import { type Ran, repository, run } from "./fabric.ts";
import { leave } from "./left-behind.ts";
import { execWords, readUnit } from "./unit-files.ts";

/** As long as anything may take where other tests have most of the machine. */
export const busyMs = 300_000;

export type Host = "control" | "relay" | "egress";
export const hosts = ["control", "relay", "egress"] as const;
export const checkout = repository.replace(/\/$/, "");

const scratch = mkdtempSync(join(tmpdir(), "weft-deploy-"));
/** 127.a.b.1 to 127.a.b.3, with a and b of this process: another run on this machine has others. */
const network = `127.${100 + (process.pid % 100)}.${Math.floor(process.pid / 100) % 250}`;
export const addressOf = (host: Host): string => `${network}.${hosts.indexOf(host) + 1}`;
export const rootOf = (host: Host): string => join(scratch, host);

let manager: Server | undefined;
let given: HostsOptions | undefined;

export interface HostsOptions {
  /** Variables that commands on hosts see besides their own. */
  readonly env: NodeJS.ProcessEnv;
  /** Folders of programs they may call. */
  readonly programs: readonly string[];
  readonly sysusers: string;
}

export interface RunningUnit {
  readonly child: ChildProcess;
  journal: string;
}
/** By `host/unit.service`. */
export const units = new Map<string, RunningUnit>();

/** Paths of a host below its folder. */
export const paths = (host: Host, said: string): string =>
  said
    .replaceAll(/(?<![\w.}~-])\/(etc|opt|run|usr\/local|var)\//g, `${rootOf(host)}/$1/`)
    .replaceAll(/(?<= )\/opt\b(?!\/)/g, `${rootOf(host)}/opt`);

/** A command on a host as it is said here: paths, names, and commands on other hosts. */
export function onHost(host: Host, said: string): string {
  const remote = said.replaceAll(/ssh (\w+)\.example '([^']*)'/g, (_, other: Host, command: string) => {
    return `on_host ${other} '${paths(other, command)}'`;
  });
  let here = paths(host, remote);
  for (const each of hosts) here = here.replaceAll(`${each}.example`, addressOf(each));
  return here.replaceAll("timeout 60 ", `timeout ${busyMs / 1_000} `);
}

/** What differs between a host and a folder of this one: its loopback, and what 0.0.0.0 means. */
function environmentOf(host: Host): NodeJS.ProcessEnv {
  const address = addressOf(host);
  const own = ["CONTROL", "NODE"].flatMap((kind) =>
    ["PUBLIC", "OPERATOR", "METRICS"].map((port) => [`WEFT_${kind}_${port}_HOST`, address] as const),
  );
  return { ...Object.fromEntries(own), HOME: join(rootOf(host), "root"), HOST_NAME: host };
}

/** Runs a script on a host; with `linked`, `weft` is the one that the host's own links lead to. */
export async function inShell(host: Host, script: string, linked = false): Promise<Ran> {
  if (manager === undefined) throw new Error("the hosts are not open");
  const { port } = manager.address() as AddressInfo;
  const folders = [
    ...(linked ? [] : [join(scratch, "bin")]),
    join(scratch, "stand-ins"),
    join(rootOf(host), "usr/local/bin"),
    dirname(process.execPath),
    ...(given?.programs ?? []),
    process.env["PATH"] ?? "",
  ];
  return await run("/bin/sh", ["-euc", `cd "$CHECKOUT"\n${script}`], {
    withinMs: busyMs,
    env: {
      ...environmentOf(host),
      ...given?.env,
      ...{ RUNTIME: process.execPath, WEFT: join(checkout, "cli/bin.ts"), MANAGER: String(port) },
      ...{ SCRATCH: scratch, CHECKOUT: checkout, SYSUSERS: given?.sysusers, PATH: folders.join(delimiter) },
    },
  });
}

/** Programs that stand in for those of a host: short scripts; what is more than that is asked of the manager below. */
const standIns: Readonly<Record<string, string>> = {
  systemctl: 'exec "$RUNTIME" "$SCRATCH/ask.mjs" systemctl "$@"',
  journalctl: 'exec "$RUNTIME" "$SCRATCH/ask.mjs" journalctl "$@"',
  on_host: 'export HOST_NAME="$1"; exec /bin/sh -euc "$2"',
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
  const running: RunningUnit = { child, journal: "" };
  units.set(`${host}/${unit}`, running);
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => (running.journal += chunk.toString()));
  const isSettled = (): boolean => child.exitCode !== null || /^\{"(ready|pending)":true/m.test(running.journal);
  await eventually(isSettled, { withinMs: busyMs, what: `${unit} of ${host} to settle` });
  if (child.exitCode !== null) throw new Error(`${unit} of ${host} ended with ${child.exitCode}:\n${running.journal}`);
}

/** As systemd stops it: SIGTERM, and it may take its time. */
async function stopUnit(host: Host, unit: string): Promise<void> {
  const { child } = units.get(`${host}/${unit}`) ?? {};
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("close", resolve));
  child.kill("SIGTERM");
  await ended;
}

/** What `systemctl` and `journalctl` do. Throws at what the document does not use. */
async function manage(host: Host, [program = "", ...words]: readonly string[]): Promise<string> {
  if (program === "journalctl") {
    expect(words.slice(0, 1).concat(words.slice(2))).toEqual(["-u", "--output=cat", "--lines=1"]);
    return `${units.get(`${host}/${words[1]}.service`)?.journal.trimEnd().split("\n").at(-1)}\n`;
  }
  const [verb = "", ...rest] = words;
  const unit = `${rest.at(-1)}.service`;
  if (verb === "daemon-reload") return "";
  // Like systemd it does not mind how a process that it stopped has ended: a drain that takes too long ends by force.
  if (verb === "stop" || verb === "restart") await stopUnit(host, unit);
  else if (verb !== "start") expect([verb, rest[0]]).toEqual(["enable", "--now"]);
  if (verb !== "stop") await startUnit(host, unit);
  return "";
}

/** Makes the hosts' folders and what stands in for their programs. */
export async function openHosts(options: HostsOptions): Promise<void> {
  given = options;
  manager = createServer(async (request, response) => {
    const { host, words } = JSON.parse(await textOf(request)) as { host: Host; words: string[] };
    const answer = await manage(host, words).then(
      (said) => ({ code: 200, said }),
      (error: unknown) => ({ code: 500, said: String(error) }),
    );
    response.writeHead(answer.code).end(answer.said);
  }).listen(0, "127.0.0.1");
  await eventually(() => manager?.listening === true, { withinMs: busyMs, what: "the manager's port" });
  for (const host of hosts)
    for (const folder of ["opt", "root", "etc/systemd/system", "usr/local/bin", "var/backups", "var/lib"])
      mkdirSync(join(rootOf(host), folder), { recursive: true });
  for (const name of ["stand-ins", "bin"]) mkdirSync(join(scratch, name));
  writeFileSync(join(scratch, "ask.mjs"), ask);
  const scripts = Object.entries(standIns).map(([name, line]) => [`stand-ins/${name}`, line] as const);
  // The same program as the link in /usr/local/bin, without the look whether its packages are there.
  for (const [name, line] of [...scripts, ["bin/weft", 'exec "$RUNTIME" "$WEFT" "$@"'] as const]) {
    writeFileSync(join(scratch, name), `#!/bin/sh\n${line}\n`);
    chmodSync(join(scratch, name), 0o755);
  }
}

/** Ends what runs on the hosts; nodes first. */
export /** As systemd stops it: SIGTERM, and it may take its time. */
async function stopUnits(): Promise<void> {
  await Promise.all([...units.keys()].toReversed().map((key) => stopUnit(...(key.split("/") as [Host, string]))));
}

/** Searches what the hosts leave behind, and takes it away. */
export function closeHosts(): void {
  manager?.close();
  // Links to this checkout: what it holds is nobody's concern here.
  for (const host of hosts) rmSync(join(rootOf(host), "opt"), { recursive: true, force: true });
  leave(scratch);
  rmSync(scratch, { recursive: true, force: true });
}
