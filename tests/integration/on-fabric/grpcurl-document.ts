/**
 * docs/grpcurl.md, as it stands: each line of its shell fences is run by a shell with the real grpcurl against a fabric, its
 * example ports, files and node id replaced by those of the fabric. A command in the document that has no row here fails.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, type Ran, repository, run, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { requirePeer } from "../../harness/peers.ts";
import { knownAt } from "../../harness/stock-grpc.ts";

const grpcurl = requirePeer("grpcurl", "every command of docs/grpcurl.md");

/** A command of the document without its files and body; what it prints, or says when it ends with another code than 0. */
type Row = readonly [command: string, says: RegExp, code?: number];

const watch = "127.0.0.1:7502 weft.node.v1.NodeService/WatchEvents";
const setUp: readonly Row[] = [
  ["npx weft config show", /control operator port +127\.0\.0\.1:/],
  ['cd "$WEFT_CONTEXT"', /^$/],
  ["npx weft identity add client inspector --organization demo --out ./inspector", /^client inspector has id ct-/],
];
const rows: readonly Row[] = [
  ["127.0.0.1:7401 list", /^weft\.admin\.v1\.NodeAdminService$/m],
  ["localhost:7401 list weft.admin.v1.NodeAdminService", /^weft\.admin\.v1\.NodeAdminService\.ListNodes$/m],
  ["127.0.0.1:7401 describe weft.routing.v1.RoutingService", /rpc ExplainRoute \(/],
  ["127.0.0.1:7401 describe weft.routing.v1.ExplainRouteRequest", /string resource = 3;/],
  ["127.0.0.1:7401 grpc.health.v1.Health/Check", /"status": "SERVING"/],
  ["127.0.0.1:7401 weft.admin.v1.NodeAdminService/ListNodes", /"name": "relay-1"/],
  ["127.0.0.1:7401 weft.routing.v1.RoutingService/ExplainRoute", /"fromName": "entry-1"/],
  ["127.0.0.1:7401 weft.admin.v1.AuditService/ExportAudit", /"chain"[\s\S]*"witnesses"[\s\S]*"seq": "10"/],
  ["127.0.0.1:7502 list", /^weft\.node\.v1\.NodeService$/m],
  ["127.0.0.1:7502 describe weft.node.v1.NodeService", /rpc WatchEvents \(.*returns \( stream /],
  ["127.0.0.1:7502 weft.node.v1.NodeService/GetStatus", /"name": "relay-1"/],
  ["127.0.0.1:7502 weft.channel.v1.ChannelService/Echo", /"seq": "1"[\s\S]*"seq": "2"/],
  [watch, /"draining"[\s\S]*"undrained"/],
  ["127.0.0.1:7502 weft.node.v1.NodeService/Drain", /^\{/],
  ["127.0.0.1:7502 weft.node.v1.NodeService/Undrain", /^\{\}$/m],
  ["127.0.0.1:7501 list", /^weft\.probe\.v1\.RouteProbeService$/m],
  ["127.0.0.1:7501 describe weft.probe.v1.ProbeRouteRequest", /ProbedRoute route = 2;/],
  ["127.0.0.1:7501 weft.node.v1.NodeService/ListTrunks", /"trunkId": "[0-9a-f]+"/],
  ["127.0.0.1:7501 weft.probe.v1.RouteProbeService/ProbeRoute", /"path"[\s\S]*"seq": "3"/],
  ["127.0.0.1:7444 list", /^weft\.access\.v1\.AccessService$/m],
  ["localhost:7444 describe weft.access.v1.AccessService", /rpc Connect \( stream /],
  ["127.0.0.1:7444 weft.access.v1.AccessService/Connect", /"opened"[\s\S]*"data": "aGVsbG8K"[\s\S]*"halfClosed"/],
  [
    "127.0.0.1:7444 weft.access.v1.AccessService/Connect",
    /Code: NotFound\s+Message: there is no such resource[\s\S]*google\.rpc\.ErrorInfo[\s\S]*"reason": "UNKNOWN_RESOURCE"[\s\S]*google\.rpc\.RequestInfo[\s\S]*"requestId": "/,
    69,
  ],
  ["127.0.0.1:7444 describe google.rpc.ErrorInfo", /string reason = 1;/],
];

const text = readFileSync(join(repository, "docs/grpcurl.md"), "utf8");
const fences = [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)];
/** Every line of a fence that is neither empty nor a comment, without the comment behind it. */
const lines = fences
  .flatMap(([, , body = ""]) => body.split("\n"))
  .map((line) => line.replace(/(^|\s+)#.*$/, ""))
  .filter((line) => line !== "");

/** A line as rows name it. */
const nameOf = (line: string): string => line.replace(/^grpcurl -cacert \S+ -cert \S+ -key \S+ (?:-d '[^']*' )?/, "");

describe("docs/grpcurl.md", () => {
  it("has no command that is not run here, and none that weakens TLS", () => {
    expect(lines.map(nameOf)).toEqual([...setUp, ...rows].map(([command]) => command));
    expect(fences.map(([, language]) => language)).toEqual(fences.map(() => "sh"));
    expect(lines.filter((line) => /-(insecure|plaintext)/.test(line))).toEqual([]);
    // Outside the fences there is none at all.
    expect(text.match(/grpcurl -/g)?.length).toBe(rows.length);
  });
});

describe.skipIf(grpcurl.missing)("docs/grpcurl.md on a fabric", () => {
  let world: TestFabric;
  let folder: string;
  beforeAll(async () => {
    world = await sharedFabric();
    folder = join(world.scratch, "grpcurl-document");
    mkdirSync(folder, { mode: 0o700 });
  }, fabricWithinMs);

  /** The line with the fabric's own in place of the examples. */
  function onFabric(line: string): string {
    const { ca, cert, key } = world.operator;
    const portOf = (address: string): string => address.slice(address.lastIndexOf(":"));
    // The second entry: many processes that handshake at once leave the first one to the parts beside this one.
    const examples: Readonly<Record<string, string>> = {
      "-cacert servers.pem -cert operator.crt -key operator.key": `-cacert ${ca} -cert ${cert} -key ${key}`,
      ":7401": portOf(world.operatorAddress("control")),
      ":7501": portOf(world.operatorAddress("entry-1")),
      ":7502": portOf(world.operatorAddress("relay-1")),
      ":7444": portOf(world.publicAddress("entry-2")),
      "nd-egress": String(world.fabric.process("egress-1").facts.nodeId),
    };
    return Object.entries(examples).reduce((now, [example, own]) => now.replaceAll(example, own), line);
  }

  /** What a person's shell has; `npx weft` is the `weft` of this checkout. */
  const prelude = 'cd "$0" && npx() { shift && "$RUNTIME" "$WEFT" "$@"; } &&';
  const shellOf = (line: string): readonly string[] => ["-euc", `${prelude} ${onFabric(line)}`, folder];
  const environment = (): NodeJS.ProcessEnv => ({
    WEFT_CONTEXT: world.fabric.contextDir,
    RUNTIME: process.execPath,
    WEFT: join(repository, "cli/bin.ts"),
    PATH: `${dirname(grpcurl.path)}${delimiter}${process.env["PATH"] ?? ""}`,
  });
  const inShell = (line: string): Promise<Ran> => run("/bin/sh", shellOf(line), { env: environment() });

  function problemOf([command, says, wanted = 0]: Row, { code, stdout, stderr }: Ran): string[] {
    const said = wanted === 0 ? stdout : stderr;
    return code === wanted && says.test(said) ? [] : [`${command}: ended with ${code}: ${stderr}${stdout}`];
  }

  it("prints what it says, each command of it", async () => {
    const problems: string[] = [];
    const all = [...setUp, ...rows];
    for (const [index, line] of lines.entries()) {
      const row = all[index];
      if (row === undefined || row[0] === watch) continue;
      problems.push(...problemOf(row, await inShell(line)));
      if (!line.includes("identity add")) continue;
      const file = (name: string): string => join(folder, "inspector", name);
      const files = { ca: file("servers.pem"), cert: file("client.crt"), key: file("client.key") };
      await knownAt(world.publicAddress("entry-2"), files);
    }
    expect(problems).toEqual([]);
  }, 120_000);

  it("shows events while they are watched, until Ctrl-C", async () => {
    const lineOf = (end: string): string => lines.find((line) => line.endsWith(end)) ?? "";
    const says = rows.find(([command]) => command === watch)?.[1] ?? /^$/;
    const watching = spawn("/bin/sh", [...shellOf(`exec ${lineOf(watch)}`)], {
      env: { ...process.env, ...environment() },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = once(watching, "exit");
    let told = "";
    watching.stdout.on("data", (chunk: Buffer) => (told += chunk.toString()));
    try {
      // Only what happens from now on is told, and nothing tells when now is: it is done until it is seen.
      const isSeen = async (): Promise<boolean> => {
        for (const verb of ["Drain", "Undrain"]) await inShell(lineOf(`NodeService/${verb}`));
        return says.test(told);
      };
      await eventually(isSeen, { withinMs: 20_000, what: "the events of a drain" });
    } finally {
      watching.kill("SIGINT");
    }
    expect(await ended).toEqual([null, "SIGINT"]);
  }, 60_000);
});
