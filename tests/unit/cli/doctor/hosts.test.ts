/** Doctor on mistakes that were really made: file modes, ports, names, disks, stores, configurations. */

import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { gather } from "../../../../cli/commands/doctor.ts";
import { type Facts, noFacts } from "../../../../cli/doctor/facts.ts";
import { lookAtDisk } from "../../../../cli/doctor/files.ts";
import { type CheckName, diagnose, type Finding } from "../../../../cli/doctor/judgements.ts";
import { isOwn, listeningInodes } from "../../../../cli/doctor/ports.ts";
import { systemClock } from "../../../../lib/clock.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weft-doctor-"));
});
const undo: (() => void)[] = [];
afterEach(() => {
  for (const each of undo.splice(0).reverse()) each();
  rmSync(folder, { recursive: true, force: true });
});

function write(name: string, content: string, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode });
  return path;
}

function controlConfig(more: object = {}): string {
  const config = { sealingKeyFile: join(folder, "sealing.key"), publicPort: 0, operatorPort: 0, ...more };
  return write("control.json", JSON.stringify({ dataDir: join(folder, "none"), ...config }));
}

async function lookAt(files: { readonly nodeConfig?: string; readonly controlConfig?: string }): Promise<Facts> {
  // No context of whoever runs the tests.
  return await gather(files, { HOME: folder }, systemClock);
}

function found(facts: Facts, check: CheckName): readonly Finding[] {
  return diagnose(facts).checks.find((each) => each.check === check)?.findings ?? [];
}

async function listenSomewhere(): Promise<Server & { readonly port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  undo.push(() => server.close());
  const address = server.address();
  return Object.assign(server, { port: typeof address === "object" && address !== null ? address.port : 0 });
}

it("M-F12 doctor names key files that others can read, that are links, and that are gone, and the fix that helps", async () => {
  const key = write("sealing.key", "secret");
  const files = { controlConfig: controlConfig() };
  chmodSync(key, 0o644);
  const [finding] = found(await lookAt(files), "key-permissions");
  expect(finding).toMatchObject({ about: "sealing key", problem: expect.stringContaining("mode 0644") });
  const [program = "", ...args] = finding?.fix.split(" ") ?? [];
  execFileSync(program, args);
  expect(found(await lookAt(files), "key-permissions")).toEqual([]);
  rmSync(key);
  expect(found(await lookAt(files), "key-permissions")[0]?.problem).toContain("does not exist");
  symlinkSync(write("elsewhere.key", "secret"), key);
  expect(found(await lookAt(files), "key-permissions")[0]?.problem).toContain("link");
});

it("M-F12 doctor names a port that somebody else holds, and who that is", async () => {
  write("sealing.key", "secret");
  const { port } = await listenSomewhere();
  const facts = await lookAt({ controlConfig: controlConfig({ publicPort: port }) });
  const [finding] = found(facts, "ports");
  expect(finding?.about).toBe(`public port of control, 127.0.0.1:${port}`);
  // Where the system says who it is.
  if (process.platform === "linux") expect(finding?.problem).toContain(`process ${process.pid} (`);
  const foreign = await lookAt({ controlConfig: controlConfig({ publicHost: "192.0.2.7", publicPort: 7_400 }) });
  expect(found(foreign, "ports")[0]?.problem).toContain("192.0.2.7 is no address of this host");
});

it("a port of an agent that runs is no mistake; that of another kind of process is", () => {
  expect(isOwn(["/usr/bin/node", "/opt/weft/node/bin.ts", "--config", "n.json"], "node")).toBe(true);
  expect(isOwn(["node", "/opt/weft/cli/bin.ts", "node", "run"], "node")).toBe(true);
  expect(isOwn(["node", "/opt/weft/control/bin.ts", "run"], "node")).toBe(false);
  expect(isOwn(["nginx", "-g", "daemon off;"], "control")).toBe(false);
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1CE8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1CE8 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0`;
  expect(listeningInodes(table, 7_400)).toEqual(["4711"]);
});

it("M-F12 doctor names hosts that do not resolve", async () => {
  write("sealing.key", "secret");
  const facts = await lookAt({ controlConfig: controlConfig({ advertisedHosts: ["control.invalid", "127.0.0.1"] }) });
  expect(found(facts, "name-resolution")).toMatchObject([
    { problem: expect.stringMatching(/^control\.invalid does not/) },
  ]);
});

it("M-F12 doctor names a store that is not there", async () => {
  write("sealing.key", "secret");
  const nowhere = await lookAt({ controlConfig: controlConfig({ dataDir: join(folder, "nothing") }) });
  expect(found(nowhere, "store-version")[0]?.problem).toContain("there is no store");
});

it("M-F12 doctor names a configuration that is none, and a host that has not joined", async () => {
  const broken = await lookAt({ nodeConfig: write("node.json", '{"stateDir": 1, "colour": "red"}') });
  expect(found(broken, "configuration").map(({ problem }) => problem)).toEqual(
    expect.arrayContaining([expect.stringContaining('unknown key "colour"'), expect.stringContaining("stateDir")]),
  );
  const stateDir = join(folder, "state");
  mkdirSync(stateDir);
  const fresh = await lookAt({
    nodeConfig: write("node.json", JSON.stringify({ stateDir, control: ["127.0.0.1:1"] })),
  });
  expect(found(fresh, "configuration")).toMatchObject([{ problem: expect.stringContaining("has not joined") }]);
});

it("says so when there is nothing to look at", async () => {
  const none = gather({ context: undefined, nodeConfig: undefined } as object, { WEFT_CONTEXT: "" }, systemClock);
  await none.then(
    // Whoever runs the tests has a context of their own.
    (facts) => expect(facts.places.length).toBeGreaterThan(0),
    (thrown: unknown) => expect(thrown).toMatchObject({ detail: "DOCTOR_NOTHING" }),
  );
});

function run(program: string, args: readonly string[]): void {
  execFileSync(program, args, { stdio: "pipe" });
}

/** Mounts a small disk, or says why none can be had here. */
function smallDisk(kib: number): string | undefined {
  const at = join(folder, `disk-${kib}`);
  mkdirSync(at);
  try {
    run("mount", ["-t", "tmpfs", "-o", `size=${kib}k`, "tmpfs", at]);
  } catch (thrown) {
    process.stderr.write(`no small disk can be mounted here: ${String(thrown).split("\n").at(-1)}\n`);
    return undefined;
  }
  undo.push(() => run("umount", [at]));
  return at;
}

it("M-F12 doctor names a disk that is full, and one that nearly is", () => {
  const disk = smallDisk(128);
  if (disk !== undefined) {
    writeFileSync(join(disk, "ballast"), Buffer.alloc(100 * 1024));
    const full = lookAtDisk("state folder", disk);
    expect(full).toMatchObject({ writeCode: "ENOSPC" });
    const facts = full === undefined ? [] : [full];
    expect(diagnose({ ...noFacts, disks: facts }).checks.find(({ check }) => check === "disk")).toMatchObject({
      findings: [{ problem: expect.stringContaining(`${disk} is full`), fix: expect.stringContaining("make room") }],
    });
    rmSync(join(disk, "ballast"));
    expect(lookAtDisk("state folder", disk)?.writeCode).toBeUndefined();
  }
  const roomy = lookAtDisk("state folder", folder);
  expect(roomy?.writeCode).toBeUndefined();
  expect(lookAtDisk("state folder", join(folder, "nothing"))).toBeUndefined();
});
