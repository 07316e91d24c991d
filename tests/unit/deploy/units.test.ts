/** The units of deploy/systemd, judged by systemd's own program, and by what Weft needs of them. */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { limits } from "../../../lib/limits.ts";
import packageFacts from "../../../package.json" with { type: "json" };
import { requirePeer } from "../../harness/peers.ts";
import { execWords, readUnit } from "../../harness/unit-files.ts";

const repository = fileURLToPath(new URL("../../../", import.meta.url)).replace(/\/$/, "");
const folder = join(repository, "deploy/systemd");
const names = readdirSync(folder).filter((name) => name.endsWith(".service"));
const unitOf = (name: string) => readUnit(join(folder, name));

describe("the units", () => {
  it("are one for control and one for nodes", () => {
    expect(names.sort()).toEqual(["weft-control.service", "weft-node.service"]);
  });

  it.each(names)("%s runs as nobody special, sees nothing it does not need, and may take its time to drain", (name) => {
    const unit = unitOf(name);
    for (const [key, value] of [
      ["User", "weft"],
      ["NoNewPrivileges", "yes"],
      ["CapabilityBoundingSet", ""],
      ["ProtectSystem", "strict"],
      ["ProtectHome", "yes"],
      ["PrivateTmp", "yes"],
      ["UMask", "0077"],
      ["Restart", "always"],
      // Weft says nothing to systemd's notification socket.
      ["Type", "exec"],
    ] as const) {
      expect([key, unit.one("Service", key)]).toEqual([key, value]);
    }
    expect(Number.parseInt(unit.one("Service", "TimeoutStopSec"), 10) * 1_000).toBeGreaterThan(2 * limits.drainGraceMs);
    expect(Number(unit.one("Service", "LimitNOFILE"))).toBeGreaterThan(10_000);
  });

  it("start Weft with the runtime flags that `weft` itself gives", () => {
    const words = execWords(unitOf("weft-node.service"), "/c");
    const program = words.indexOf("/opt/weft/cli/bin.ts");
    expect(words[0]).toBe("/opt/weft/node_modules/node/bin/node");
    expect(words.slice(1, program)).toEqual(packageFacts.config.dataPlaneFlags);
    // Over PostgreSQL control runs without any (scripts/toolchain.mjs).
    expect(execWords(unitOf("weft-control.service"), "/c")[1]).toBe("/opt/weft/cli/bin.ts");
  });

  it("LAW-I2 name secrets by file and hold none", () => {
    const text = names.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
    expect(text).not.toMatch(/Environment=.*(URL|TOKEN|KEY|PASSWORD)/);
    const loaded = names.flatMap((name) => unitOf(name).all("Service", "LoadCredential"));
    expect(loaded.map((line) => line.split(":")[0])).toEqual(["sealing.key", "postgres.url", "join.token"]);
  });
});

const systemd = requirePeer("systemd", "the units under systemd-analyze verify");

describe.skipIf(systemd.missing)("systemd-analyze", () => {
  const scratch = mkdtempSync(join(tmpdir(), "weft-units-"));
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  /** What it says of a unit whose programs are where this checkout has them. */
  function verdict(name: string, change: (text: string) => string): { status: number | null; says: string } {
    const file = join(mkdtempSync(join(scratch, "v-")), name);
    const text = readFileSync(join(folder, name), "utf8").replaceAll("/opt/weft/", `${repository}/`);
    writeFileSync(file, change(text));
    const ran = spawnSync(systemd.path, ["verify", "--man=no", file], { encoding: "utf8" });
    return { status: ran.status, says: `${ran.stdout}${ran.stderr}` };
  }

  it.each(names)("verify finds nothing in %s", (name) => {
    expect(verdict(name, (text) => text)).toEqual({ status: 0, says: "" });
  });

  it("verify finds what is wrong, where there is something", () => {
    const name = "weft-node.service";
    expect(verdict(name, (text) => text.replace("KillMode=", "KilMode=")).says).toMatch(/KilMode/);
    expect(verdict(name, (text) => text.replace("/bin/node ", "/bin/nod ")).says).toMatch(/not executable/);
  });

  it.each(names)("security finds %s confined", (name) => {
    const threshold = ["security", "--offline=true", "--threshold=20", join(folder, name)];
    const ran = spawnSync(systemd.path, threshold, { encoding: "utf8" });
    expect(ran.status, ran.stdout.slice(-2_000)).toBe(0);
  });

  it("systemd-sysusers makes the user they run as", () => {
    const root = join(scratch, "root");
    mkdirSync(join(root, "etc"), { recursive: true });
    const program = join(dirname(systemd.path), "systemd-sysusers");
    const input = readFileSync(join(folder, "weft.sysusers"));
    const ran = spawnSync(program, [`--root=${root}`, "-"], { input, encoding: "utf8" });
    expect(ran.status, ran.stderr).toBe(0);
    expect(readFileSync(join(root, "etc/passwd"), "utf8")).toMatch(
      /^weft:x:\d+:\d+:Weft:\/var\/lib\/weft:\S*nologin$/m,
    );
  });
});
