/**
 * The README's first real deployment, run as it is written: its configuration files, its commands in their order, three hosts
 * as three folders of this one. Only names of hosts, folders, ports and the target are replaced.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.ts";
import { repository, run } from "../harness/fabric.ts";
import { freePort } from "../harness/loopback.ts";
import { briefly } from "../harness/shared-stores.ts";

const text = readFileSync(join(repository, "README.md"), "utf8");
const section = text.slice(text.indexOf("## A first real deployment"), text.indexOf("## Limits"));
const fences = (language: string): string[] =>
  [...section.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map(([, body = ""]) => body);
const commands = fences("sh").flatMap((body) => body.split("\n").filter((line) => line.startsWith("npx weft ")));
const [controlJson = "", nodeJson = ""] = fences("json");

type Host = "control" | "entry" | "egress";

const scratch = mkdtempSync(join(tmpdir(), "weft-readme-"));
const replacements = new Map<string, string>();
const running: ChildProcess[] = [];
let target: Server;

beforeAll(async () => {
  target = createServer((request, response) => response.end(`the wiki at ${request.url}`));
  target.listen(0, "127.0.0.1");
  await new Promise((resolve) => target.once("listening", resolve));
  for (const port of ["7400", "7401", "7501", "8443"]) replacements.set(port, String(await freePort()));
  for (const host of ["control", "entry"]) replacements.set(`${host}.example:7444`, `localhost:${await freePort()}`);
  replacements.set("10.20.0.8:443", `127.0.0.1:${(target.address() as AddressInfo).port}`);
});

afterAll(async () => {
  await Promise.all(
    running.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      await new Promise((resolve) => child.once("close", resolve));
    }),
  );
  target.close();
  rmSync(scratch, { recursive: true, force: true });
}, 60_000);

const replaced = (name: string): string => replacements.get(name) ?? name;

/** What the README says, on one of the folders that stand for hosts. */
function onHost(host: Host, said: string): string {
  const folder = join(scratch, host);
  mkdirSync(folder, { recursive: true });
  const own = replaced(host === "control" ? "control.example:7444" : "entry.example:7444").split(":")[1] ?? "";
  let here = said;
  for (const [name, value] of replacements) here = here.replaceAll(name, value);
  return here
    .replaceAll("7444", own)
    .replaceAll(/(control|entry)\.example/g, "localhost")
    .replaceAll(/\/(etc|var\/lib)\/weft/g, `${folder}/$1`)
    .replaceAll("~/.weft", join(scratch, "context"))
    .replaceAll("join.token", join(scratch, "join.token"));
}

function command(start: string): string {
  const found = commands.find((line) => line.startsWith(`npx weft ${start}`));
  if (found === undefined) throw new Error(`the README has no "weft ${start}"`);
  return found;
}

const wordsOf = (line: string): string[] =>
  [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2] ?? "").slice(2);

const program = join(repository, "cli/bin.ts");
const env = { WEFT_CONTEXT: join(scratch, "context") };

async function weft(host: Host, line: string): Promise<string> {
  const ran = await run(process.execPath, [...briefly, program, ...wordsOf(onHost(host, line))], { env });
  expect(ran.code, `${line}\n${ran.stderr}`).toBe(0);
  return ran.stdout;
}

interface Started {
  readonly child: ChildProcess;
  /** Everything it said. */
  readonly said: () => string;
}

/** Starts what runs until it is stopped; resolves when its words contain `sign`. */
async function start(host: Host, line: string, sign: string): Promise<Started> {
  const child = spawn(process.execPath, [...briefly, program, ...wordsOf(onHost(host, line))], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  running.push(child);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  await eventually(() => said.includes(sign) || child.exitCode !== null, { withinMs: 30_000, what: line });
  if (!said.includes(sign)) throw new Error(`${line} ended:\n${said}`);
  return { child, said: () => said };
}

describe("the README's deployment", () => {
  it("makes an installation and runs control", async () => {
    const settings = onHost("control", controlJson);
    mkdirSync(join(scratch, "control/etc"), { recursive: true });
    writeFileSync(join(scratch, "control/etc/control.json"), settings);
    await weft("control", command("config check control"));
    await weft("control", command("control init"));
    await start("control", command("control run"), '"ready":true');
  }, 60_000);

  it("joins three hosts under one token, each approved by its fingerprint, and runs them", async () => {
    await weft("control", command("token create"));
    const joins = commands.filter((line) => line.startsWith("npx weft join "));
    expect(joins).toHaveLength(3);
    const hosts = ["control", "entry", "egress"] as const;
    const joining = await Promise.all(
      hosts.map((host, at) => start(host, joins[at] ?? "", "an operator approves it with")),
    );
    const { requests } = JSON.parse(await weft("control", `${command("request list")} --json`)) as {
      requests: { id: string; keyFingerprint: string }[];
    };
    expect(requests).toHaveLength(3);
    for (const { said, child } of joining) {
      const [, id = "", fingerprint = ""] = /request approve (\S+) --fingerprint "([^"]+)"/.exec(said()) ?? [];
      expect(requests).toContainEqual(expect.objectContaining({ id, keyFingerprint: fingerprint }));
      const approval = command("request approve")
        .replace("REQUEST", id)
        .replace(/"[^"]*"/, `"${fingerprint}"`);
      await weft("control", approval);
      await eventually(() => child.exitCode === 0, { withinMs: 15_000, what: "the join to end" });
    }

    const ceiling = onHost("egress", nodeJson).replace("10.20.0.0/16", "127.0.0.0/8");
    const settings = JSON.parse(ceiling) as { ceiling: { targets: { toPort: number; fromPort: number }[] } };
    // The target of this test is on a port of its own.
    Object.assign(settings.ceiling.targets[0] ?? {}, { fromPort: 1, toPort: 65_535 });
    mkdirSync(join(scratch, "egress/etc"), { recursive: true });
    writeFileSync(join(scratch, "egress/etc/node.json"), JSON.stringify(settings));
    await start("egress", command("node run --config"), '"ready":true');
    for (const host of ["control", "entry"] as const)
      await start(host, command("node run --state-dir"), '"ready":true');
  }, 90_000);

  it("reaches the target through a listener", async () => {
    const last = fences("sh").findLast((block) => block.includes("weft listener add")) ?? "";
    for (const line of last
      .split("\n")
      .filter((word) => word.startsWith("npx weft "))
      .slice(0, -1)) {
      await weft("control", line);
    }
    const page = await eventually(
      async () => await (await fetch(`http://127.0.0.1:${replaced("8443")}/start`)).text(),
      { withinMs: 20_000, everyMs: 200, what: "a page through the listener" },
    );
    expect(page).toBe("the wiki at /start");
    expect(await weft("control", command("route explain wiki"))).toContain("entry-1 -> relay-1 -> egress-1");
  }, 60_000);
});
