/** deploy/compose.yaml, judged by the Compose Specification's own program (its JSON schema and its loader) and by what Weft needs. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { loadControlConfig } from "../../../control/config.ts";
import { loadNodeConfig } from "../../../node/config.ts";
import { requirePeer } from "../../harness/peers.ts";

const file = new URL("../../../deploy/compose.yaml", import.meta.url);
const text = readFileSync(file, "utf8");

interface Service {
  readonly image?: string;
  readonly build?: { readonly args: Readonly<Record<string, string>> };
  readonly user?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly stop_grace_period?: string;
}
const { services, secrets } = parse(text, { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
};
const weft = Object.entries(services).filter(([, { build }]) => build !== undefined);

describe("deploy/compose.yaml", () => {
  it("M-F12 names no image without a digest: who starts it has to give them", () => {
    const named = Object.values(services).flatMap(({ image, build }) =>
      [image, build?.args["NODE_IMAGE"]].flatMap((one) => one ?? []),
    );
    expect(named).toHaveLength(1 + weft.length);
    expect(named.filter((one) => !/^\$\{[A-Z_]+:\?[^}]*digest[^}]*\}$|@sha256:[0-9a-f]{64}$/.test(one))).toEqual([]);
  });

  it.each(weft)("runs %s as nobody special, read-only, with time to drain", (_name, service) => {
    const { user, read_only, cap_drop, stop_grace_period } = service;
    expect({ user, read_only, cap_drop, stop_grace_period }).toEqual({
      ...{ user: "10001:10001", read_only: true, cap_drop: ["ALL"], stop_grace_period: "30s" },
    });
  });

  it("configures processes that start, and holds no secret", () => {
    const kinds = weft.map(([name, { command = [], environment: env = {} }]) => {
      const sources = { env, flags: {} };
      const config = command[0] === "control" ? loadControlConfig(sources) : loadNodeConfig(sources);
      expect(command, name).toEqual([command[0], "run"]);
      return "join" in config ? [name, config.join?.name, config.join?.roles.join()] : [name];
    });
    expect(kinds).toEqual([
      ["control"],
      ["entry-1", "entry-1", "entry"],
      ["relay-1", "relay-1", "relay"],
      ["egress-1", "egress-1", "egress"],
    ]);
    expect(text.replaceAll(/^#.*$/gm, "")).not.toMatch(/PASSWORD:|:\/\/\w+:\w+@|weft1\./);
  });
});

const linesOf = (name: string): string[] =>
  readFileSync(new URL(`../../../${name}`, import.meta.url), "utf8").split("\n");

describe("the secrets of deploy/compose.yaml", () => {
  it("LAW-I2 get neither into an image, which is built from the whole checkout, nor into a commit", () => {
    const folders = Object.values(secrets).map((secret) => posix.dirname(posix.join("deploy", secret.file)));
    expect(folders.length).toBeGreaterThan(3);
    for (const folder of new Set(folders)) {
      expect(linesOf("deploy/Dockerfile.dockerignore")).toContain(folder);
      expect(linesOf(".gitignore")).toContain(`${folder}/`);
    }
  });
});

const compose = requirePeer("compose", "deploy/compose.yaml under the Compose Specification's validator");

describe.skipIf(compose.missing)("the Compose Specification's validator", () => {
  const scratch = mkdtempSync(join(tmpdir(), "weft-compose-"));
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  function verdict(said: string): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
    const copy = join(scratch, "compose.yaml");
    writeFileSync(copy, said);
    return spawnSync(compose.path, ["--format", "json", copy], { encoding: "utf8", cwd: scratch });
  }
  const digest = `example@sha256:${"a".repeat(64)}`;
  const given = text.replaceAll(/\$\{[A-Z_]+:\?[^}]*\}/g, digest);

  it("takes it, once the images are given", () => {
    const { status, stdout, stderr } = verdict(given);
    expect([status, stderr]).toEqual([0, ""]);
    expect(Object.keys((JSON.parse(stdout) as { services: object }).services).sort()).toEqual(
      Object.keys(services).sort(),
    );
  });

  it("refuses it without them, and what is wrong", () => {
    expect(verdict(text).stderr).toMatch(/NODE_IMAGE is missing a value[\s\S]*POSTGRES_IMAGE is missing a value/);
    expect(verdict(given.replace("read_only:", "readonly:")).stderr).toMatch(/readonly/);
    expect(verdict(given.replace("retries: 12", "retries: often")).status).toBe(1);
  });
});
