/** `weft context` against a running control: names in place of folders, for operators and for clients. */

import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { fabricWithinMs, type Ran, repository, run, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { knownAt } from "../../harness/stock-grpc.ts";

let world: TestFabric;
let identity: string;
beforeAll(async () => {
  world = await sharedFabric();
  const files = await world.addClient("named");
  identity = dirname(files.cert);
  await Promise.all(["entry-1", "entry-2"].map((entry) => knownAt(world.publicAddress(entry), files)));
}, fabricWithinMs);

it("is what commands are about, by being the current one, by the flag and by WEFT_CONTEXT", async () => {
  const configHome = join(world.scratch, "config-home");
  mkdirSync(configHome);
  const weft = (words: readonly string[], context = ""): Promise<Ran> =>
    run(process.execPath, [join(repository, "cli/bin.ts"), ...words], {
      env: { XDG_CONFIG_HOME: configHome, WEFT_CONTEXT: context, WEFT_IDENTITY: "" },
      stdin: "GET / HTTP/1.0\r\n\r\n",
    });
  const { contextDir } = world.fabric;
  const added = await weft(["context", "add", "here", "--folder", contextDir, "--organization", "demo", "--json"]);
  expect([added.code, added.stderr]).toEqual([0, ""]);
  const control = world.operatorAddress("control");
  expect(JSON.parse(added.stdout)).toEqual({
    ...{ name: "here", control, folder: contextDir, organization: "demo", current: true },
  });
  const nowhere = await weft(["context", "add", "nowhere", "--folder", configHome]);
  expect([nowhere.code, nowhere.stderr]).toEqual([78, expect.stringContaining("holds no operator context")]);

  // The organization is the context's, and so is the client's folder.
  const pool = await weft(["pool", "create", "named-pool", "--json"]);
  expect([pool.code, pool.stderr]).toEqual([0, ""]);
  await weft(["context", "add", "desk", "--folder", contextDir, "--identity", identity]);
  const page = await weft(["connect", "web", "--context", "desk"]);
  expect([page.code, page.stdout]).toEqual([0, expect.stringContaining("hello through weft")]);

  for (const [words, context] of [
    [["node", "list", "--json", "--context", "here"]],
    [["node", "list", "--json"], "desk"],
  ] as const) {
    const listed = await weft(words, context);
    expect((JSON.parse(listed.stdout) as { nodes: unknown[] }).nodes.length).toBeGreaterThan(0);
  }
  const wrong = await weft(["node", "list", "--context", "hree"]);
  expect([wrong.code, wrong.stderr]).toEqual([78, expect.stringContaining('did you mean "here"?')]);

  expect((await weft(["context", "use", "desk"])).code).toBe(0);
  await weft(["context", "remove", "here"]);
  const left = JSON.parse((await weft(["context", "list", "--json"])).stdout) as { contexts: object[] };
  expect(left.contexts).toEqual([{ name: "desk", current: true, control, folder: contextDir, identity }]);
}, 60_000);

it("does what the README says, line by line", async () => {
  const readme = readFileSync(join(repository, "README.md"), "utf8");
  const section = readme.slice(readme.indexOf("### Which installation"), readme.indexOf("### Completion"));
  const lines = (/^```sh\n([\s\S]*?)^```$/m.exec(section)?.[1] ?? "")
    .replaceAll("~/.weft", world.fabric.contextDir)
    .replaceAll("<the context folder that was printed>", world.fabric.contextDir)
    .replaceAll("./laptop", identity)
    .split("\n")
    .filter(Boolean);
  expect(lines.length).toBeGreaterThan(8);
  const configHome = join(world.scratch, "config-home-of-the-readme");
  mkdirSync(configHome);
  // Each line tells what it said apart from the next one.
  const script = [
    `npx() { shift; '${process.execPath}' '${join(repository, "cli/bin.ts")}' "$@"; }`,
    ...lines.flatMap((line) => [line, "printf '\\1'"]),
  ].join("\n");
  const ran = await run("bash", ["-e", "-c", script], {
    env: { XDG_CONFIG_HOME: configHome, WEFT_CONTEXT: "", WEFT_IDENTITY: "" },
    withinMs: 90_000,
  });
  expect([ran.code, ran.stderr]).toEqual([0, ""]);
  const said = (start: string, nth = 0): string => {
    const found = lines.flatMap((line, at) => (line.startsWith(start) ? [at] : []));
    return ran.stdout.split("\x01")[found[nth] ?? -1] ?? "";
  };
  expect(said("npx weft context add home")).toContain("context home is the current one");
  expect(said("npx weft context add lab")).toContain('"weft context use lab" makes it the current one');
  expect(said("npx weft context list")).toMatch(/^home +\* /m);
  expect(said("npx weft context list")).toMatch(new RegExp(`^lab +127.* demo +${identity}$`, "m"));
  for (const nth of [0, 1]) expect(said("npx weft node list", nth)).toMatch(/^relay-1 /m);
  expect(said("npx weft context show")).toMatch(/^name +lab$/m);
  expect(said("npx weft context use lab")).toBe("context lab is the current one\n");
  expect(said("npx weft context remove home")).toContain("its folder is untouched");
}, 120_000);
