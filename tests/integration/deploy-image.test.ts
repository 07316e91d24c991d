/**
 * deploy/Dockerfile without Docker: every command in it is run, in its order, in folders that stand for the image's, with the files
 * that its COPY lines and deploy/Dockerfile.dockerignore leave, and with nothing but the packages that it installs. No image is built.
 */

import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { eventually } from "../harness/eventually.ts";
import { type Ran, repository, run } from "../harness/fabric.ts";
import { leave } from "../harness/left-behind.ts";
import { freePort } from "../harness/loopback.ts";
import { type Databases, sharedPostgres } from "../harness/shared-stores.ts";

const busyMs = 300_000;
const scratch = mkdtempSync(join(tmpdir(), "weft-image-"));
const folder = join(scratch, "opt/weft");
const read = (file: string): string => readFileSync(join(repository, file), "utf8");

/** Instructions of the Dockerfile, in order; a line that goes on is none of ours. */
const instructions = read("deploy/Dockerfile")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"))
  .map((line) => {
    const [, word = "", rest = ""] = /^([A-Z]+) (.*[^\\])$/.exec(line) ?? [];
    return { word, rest };
  });
const all = (word: string): readonly string[] =>
  instructions.filter((each) => each.word === word).map(({ rest }) => rest);
const words = (word: string): readonly string[] =>
  JSON.parse(
    all(word)
      .at(-1)
      ?.replace(/^.*?CMD (?=\[)/, "") ?? "[]",
  ) as string[];

const digest = `node@sha256:${"a".repeat(64)}`;
const paths = (said: string): string =>
  said.replaceAll(/(?<![\w.])\/(tmp\/state|opt\/weft|var\/lib\/weft)/g, `${scratch}/$1`);
const inShell = (script: string, image = digest): Promise<Ran> =>
  run("/bin/sh", ["-c", `cd ${folder} && ${paths(script)}`], {
    withinMs: busyMs,
    // The cache of npm has what this checkout was installed from.
    env: {
      NODE_IMAGE: image,
      PATH: [dirname(process.execPath), process.env["PATH"]].join(delimiter),
      npm_config_prefer_offline: "true",
    },
  });

let databases: Databases;
let control: ChildProcess | undefined;
beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  mkdirSync(join(scratch, "tmp"));
  databases = await sharedPostgres();
});
afterAll(async () => {
  if (control !== undefined && control.exitCode === null) {
    const ended = new Promise((resolve) => control?.once("close", resolve));
    control.kill("SIGTERM");
    await ended;
  }
  await databases.stop();
  // Thousands of public files, which hold nothing of ours.
  rmSync(folder, { recursive: true, force: true });
  leave(scratch);
  rmSync(scratch, { recursive: true, force: true });
});

/** Files of the checkout that reach the build: folders and endings that .dockerignore does not name. */
function copyAll(): void {
  const ignored = read("deploy/Dockerfile.dockerignore")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  const endings = ignored.flatMap((line) => /^\*\*\/\*(\.\w+)$/.exec(line)?.[1] ?? []);
  const left = new Set(ignored.filter((line) => /^[.\w/]+$/.test(line)));
  expect(endings.length + left.size).toBe(ignored.length);
  for (const name of readdirSync(repository)) {
    const filter = (path: string): boolean =>
      !left.has(relative(repository, path)) && !endings.some((ending) => path.endsWith(ending));
    cpSync(join(repository, name), join(folder, name), { recursive: true, filter });
  }
}

describe("deploy/Dockerfile", () => {
  it("holds only what is run or done here, and ends as nobody special", () => {
    const known = [
      "ARG",
      "FROM",
      "RUN",
      "WORKDIR",
      "COPY",
      "ENV",
      "USER",
      "STOPSIGNAL",
      "ENTRYPOINT",
      "CMD",
      "HEALTHCHECK",
    ];
    expect(instructions.filter(({ word }) => !known.includes(word))).toEqual([]);
    // No image is named by a tag that may become another one.
    expect(all("FROM").filter((line) => !/^\$\{NODE_IMAGE\}( AS build)?$/.test(line))).toEqual([]);
    expect(all("ARG")).toEqual(["NODE_IMAGE", "NODE_IMAGE"]);
    const lastUser = instructions.findLastIndex(({ word }) => word === "USER");
    expect(instructions[lastUser]?.rest).toMatch(/^[1-9]\d+:[1-9]\d+$/);
    const root = instructions.slice(
      instructions.findLastIndex(({ word }) => word === "FROM"),
      lastUser,
    );
    expect(root.filter(({ word }) => word === "RUN")).toEqual([]);
  });

  it(
    "builds: each RUN ends well, in its place between the COPY lines",
    async () => {
      for (const { word, rest } of instructions) {
        if (word === "COPY" && rest === ". .") copyAll();
        else if (word === "COPY" && !rest.startsWith("--from=")) {
          const [target, ...files] = rest.split(" ").toReversed();
          expect(target).toBe("./");
          for (const file of files) cpSync(join(repository, file), join(folder, file));
        } else if (word === "RUN") {
          const ran = await inShell(rest);
          expect([rest, ran.code, ran.code === 0 ? "" : ran.stderr]).toEqual([rest, 0, ""]);
        }
      }
      expect(readdirSync(folder).filter((name) => ["tests", ".git", "bench"].includes(name))).toEqual([]);
      expect(readdirSync(join(folder, "node_modules"))).not.toContain("vitest");
    },
    busyMs,
  );

  it(
    "does not build upon an image without a digest, or with another Node",
    async () => {
      const [wantsDigest = "", wantsNode = ""] = all("RUN");
      for (const image of ["node:26", "node", `node@sha256:${"a".repeat(63)}`]) {
        const ran = await inShell(wantsDigest, image);
        expect([image, ran.code, ran.stderr.trim()]).toEqual([
          image,
          1,
          "NODE_IMAGE has to be named by its digest: name@sha256:...",
        ]);
      }
      const file = join(folder, "package.json");
      const text = readFileSync(file, "utf8");
      writeFileSync(file, text.replace(/"node": "\d+\./, '"node": "1.'));
      const ran = await inShell(wantsNode);
      writeFileSync(file, text);
      expect([ran.code, ran.stderr]).toEqual([
        1,
        expect.stringMatching(/^NODE_IMAGE has Node [\d.]+, package\.json pins 1\./),
      ]);
    },
    busyMs,
  );

  it(
    "has a command that says what there is, and starts control as the compose file has it; its health check tells whether it answers",
    async () => {
      const [program = "", ...entry] = words("ENTRYPOINT");
      expect([program, words("CMD")]).toEqual(["node", ["--help"]]);
      const help = await inShell([program, ...entry, ...words("CMD")].join(" "));
      expect([help.code, help.stdout]).toEqual([0, expect.stringMatching(/Usage: weft/)]);

      const { services } = parse(read("deploy/compose.yaml"), { merge: true }) as {
        services: { control: { command: string[]; environment: object } };
      };
      const state = join(scratch, "var/lib/weft");
      mkdirSync(state, { recursive: true });
      writeFileSync(join(state, "postgres.url"), await databases.database(), { mode: 0o600 });
      const user = nobodySpecial(state);
      const metrics = await freePort();
      const ports = {
        WEFT_CONTROL_PUBLIC_PORT: "0",
        WEFT_CONTROL_OPERATOR_PORT: "0",
        WEFT_CONTROL_METRICS_PORT: String(metrics),
      };
      const environment = Object.entries(services.control.environment).map(([key, value]) => [
        key,
        paths(String(value)).replace("/run/secrets", state).replace("0.0.0.0", "127.0.0.1"),
      ]);
      const env = { NODE_ENV: "production", PATH: process.env["PATH"], ...Object.fromEntries(environment), ...ports };
      const start = (more: readonly string[]): ChildProcess =>
        spawn(process.execPath, [...entry, ...more], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"], ...user });
      const init = start(["control", "init", "--context-dir", join(state, "operator")]);
      let said = "";
      for (const stream of [init.stdout, init.stderr])
        stream?.on("data", (chunk: Buffer) => (said += chunk.toString()));
      expect([await new Promise((resolve) => init.once("close", resolve)), said]).toEqual([
        0,
        expect.stringMatching(/installation \S+ made/),
      ]);

      const [health = "", ...check] = words("HEALTHCHECK");
      expect(health).toBe("node");
      const healthOf = async (): Promise<number | null> =>
        (await run(process.execPath, check, { env: { WEFT_HEALTH_URL: `http://127.0.0.1:${metrics}/metrics` } })).code;
      expect(await healthOf()).toBe(1);
      said = "";
      control = start(services.control.command);
      for (const stream of [control.stdout, control.stderr])
        stream?.on("data", (chunk: Buffer) => (said += chunk.toString()));
      await eventually(() => said.includes('"ready":true') || control?.exitCode !== null, {
        withinMs: busyMs,
        what: "control",
      });
      expect(said).toContain('"ready":true');
      expect(await healthOf()).toBe(0);
    },
    busyMs,
  );
});

/** The image's user, where this process may become another one and that one can read what it needs; else the user of this process. */
function nobodySpecial(state: string): { readonly uid?: number; readonly gid?: number } {
  const [uid = 0, gid = 0] = all("USER").at(-1)?.split(":").map(Number) ?? [];
  if (process.getuid?.() !== 0) return {};
  for (const path of [scratch, join(scratch, "opt"), join(scratch, "var"), join(scratch, "var/lib")])
    chmodSync(path, 0o755);
  for (const path of [state, join(state, "postgres.url")]) chownSync(path, uid, gid);
  return { uid, gid };
}
