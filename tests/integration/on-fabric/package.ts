/** The SDK as others get it: `npm pack`, installed into a plain JavaScript and a TypeScript project, against a fabric. */

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fabricWithinMs, repository, run, sharedFabric, type TestFabric } from "../../harness/fabric.ts";

const program = `
import { createHash, randomBytes } from "node:crypto";
import { connect as connectTcp } from "node:net";
import { connect } from "weft/client";

const client = connect({ identity: process.argv[2] });
const bytes = randomBytes(1 << 20);
const hashOf = async (stream) => {
  const hash = createHash("sha256");
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest("hex");
};
const channel = await client.open("echo");
channel.end(bytes);
const received = await hashOf(channel);
const forward = await client.forward({ resource: "echo", port: 0 });
const socket = connectTcp(forward.port, "127.0.0.1");
socket.end(bytes);
const forwarded = await hashOf(socket);
const sent = createHash("sha256").update(bytes).digest("hex");
await forward.close();
await client.close();
console.log(JSON.stringify({ equal: received === sent && forwarded === sent }));
`;

const typed = `
import type { Duplex } from "node:stream";
import { type Client, type ClientEvent, connect } from "weft/client";

const client: Client = connect({
  entries: ["entry-1.example:7444"],
  identity: "./laptop",
  onEvent: (event: ClientEvent) => {
    if (event.kind === "moved") console.log(event.gapMs.toFixed(1), event.cause);
  },
});
const channel: Duplex = await client.open("db", { signal: AbortSignal.timeout(1_000) });
channel.end("bye");
// @ts-expect-error a resource is named by text
await client.open(1);
`;

const strict = {
  compilerOptions: {
    ...{ target: "es2024", module: "nodenext", moduleResolution: "nodenext", lib: ["es2024", "esnext.disposable"] },
    ...{ strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, noEmit: true, types: ["node"] },
  },
  files: ["check.ts"],
};

let world: TestFabric;
let project: string;
beforeAll(async () => {
  world = await sharedFabric();
  project = mkdtempSync(join(tmpdir(), "weft-package-"));
}, fabricWithinMs);
afterAll(() => rmSync(project, { recursive: true, force: true }));

/** Under npm the suite's own settings would be the other npm's. */
async function npm(...words: readonly string[]): Promise<void> {
  const ran = await run("npm", [...words, "--loglevel=error", "--prefix", words[0] === "pack" ? repository : project], {
    withinMs: 120_000,
    env: { npm_config_loglevel: "error", npm_config_prefer_offline: "true" },
  });
  expect(`${ran.code} ${ran.stderr}`).toMatch(/^0 /);
}

describe("the packed SDK", () => {
  it("is installed and used by a JavaScript and a TypeScript project, without a native addon", async () => {
    await npm("pack", repository, "--pack-destination", project);
    const [archive = ""] = readdirSync(project);
    expect(archive).toMatch(/^weft-.*\.tgz$/);
    writeFileSync(join(project, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
    await npm("install", join(project, archive), "--no-audit", "--no-fund");
    const installed = readdirSync(join(project, "node_modules"), { recursive: true, encoding: "utf8" });
    expect(installed.filter((file) => file.endsWith(".node"))).toEqual([]);
    expect(installed.filter((file) => /^weft\/.*(?<!\.d)\.ts$/.test(file))).toEqual([]);

    writeFileSync(join(project, "use.js"), program);
    const folder = dirname((await world.addClient("packed")).cert);
    const used = await run(process.execPath, [join(project, "use.js"), folder], { withinMs: 60_000 });
    expect(`${used.stdout}${used.stderr}`).toBe('{"equal":true}\n');

    mkdirSync(join(project, "typed"));
    writeFileSync(join(project, "typed/check.ts"), typed);
    writeFileSync(join(project, "typed/tsconfig.json"), JSON.stringify(strict));
    const checked = await run(join(repository, "node_modules/.bin/tsc"), ["-p", join(project, "typed")], {
      withinMs: 60_000,
    });
    expect(checked.stdout + checked.stderr).toBe("");
  }, 180_000);
});
