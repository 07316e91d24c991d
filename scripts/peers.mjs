// The outside programs some tests talk to: a Redis server, PostgreSQL 15 (the oldest that is supported; the newest comes from
// npm), grpcurl, a Python with the stock gRPC stack, a Go with the stock plugins of Protobuf and gRPC, OpenSSH's sshd and ssh, psql,
// Prometheus with its promtool beside it, systemd-analyze, and the Compose Specification's own validator.
//
//   node scripts/peers.mjs            find them, install what is missing (time-bounded, loud), write peers.json
//   node scripts/peers.mjs --find     only look
//
// tests/harness/peers.ts reads node_modules/.cache/weft/peers.json. Missing ones are skipped tests that are named at the
// end of a run, and a failure when CI=true. WEFT_PEERS=find keeps this script from installing anything.

import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { devNull } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { goExample, goPluginNames, goPlugins, pythonRequirements } from "./client-code.mjs";
import { cache, main, peerCache, say } from "./toolchain.mjs";

const grpcurlModule = "github.com/fullstorydev/grpcurl/cmd/grpcurl";
// The second one still builds with the Go of older distributions.
const grpcurlVersions = ["v1.9.3", "v1.8.9"];
const composeSpec = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2";
// Of the same version as the grpcio that clients in Python are made for.
const grpcTools = ["grpcio-reflection", "grpcio-health-checking", "grpcio-tools"];
const pythonPackages = [
  ...pythonRequirements,
  ...grpcTools.map((name) => pythonRequirements[0].replace("grpcio", name)),
];
const pythonProbe = [
  "import grpc, grpc_reflection, grpc_health, grpc_tools, grpc_status, google.protobuf, cryptography",
  "from importlib.metadata import version",
  ...pythonPackages.map((wanted) => `assert version("${wanted.replace("==", '") == "')}"`),
].join("\n");
const installMaxMs = 300_000;
const windows = process.platform === "win32";

function onPath(...names) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/go/bin", "/usr/sbin"];
  for (const name of names) {
    for (const folder of folders) {
      const file = join(folder, windows ? `${name}.exe` : name);
      if (executable(file)) return file;
    }
  }
  return undefined;
}

function executable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** Runs an installer with everything it says on stderr; the reason it failed, or undefined. */
function failure(command, args, options = {}) {
  const done = spawnSync(command, args, {
    encoding: "utf8",
    timeout: installMaxMs,
    maxBuffer: 64 * 1024 * 1024,
    ...options,
    env: { ...process.env, ...options.env },
  });
  if (done.error) return `${command}: ${done.error.message}`;
  if (done.status === 0) return undefined;
  const last = `${done.stdout}\n${done.stderr}`.trim().split("\n").slice(-3).join(" | ");
  return `${command} ${args[0]} ended with ${done.status ?? done.signal}: ${last}`;
}

/** Installs system packages when this is a Debian-like machine and we are root; the reason it could not, or undefined. */
function apt(...packages) {
  if (process.platform !== "linux" || process.getuid?.() !== 0 || onPath("apt-get") === undefined) {
    return "not root with apt-get, so it cannot be installed from here";
  }
  // Nothing that is installed here may start a service: the tests run their own, on free ports.
  const env = { DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  const quiet = ["-y", "-qq", "-o", "DPkg::Lock::Timeout=120", "--no-install-recommends"];
  const install = () => failure("apt-get", ["install", ...quiet, ...packages], { env });
  return install() === undefined ? undefined : (failure("apt-get", ["update", "-qq"], { env }) ?? install());
}

const redis = {
  find: () => onPath("redis-server", "valkey-server"),
  install: () => apt("redis-server"),
};

const postgres15 = {
  find: () => ["/usr/lib/postgresql/15/bin/postgres", "/usr/pgsql-15/bin/postgres"].find(executable),
  install: () => apt("postgresql-15"),
};

const grpcurl = {
  file: join(peerCache, "bin", windows ? "grpcurl.exe" : "grpcurl"),
  find() {
    return onPath("grpcurl") ?? (executable(this.file) ? this.file : undefined);
  },
  install() {
    const noGo = onPath("go") === undefined ? apt("golang-go", "ca-certificates") : undefined;
    if (noGo !== undefined) return `no go to build it with: ${noGo}`;
    const env = { GOBIN: join(peerCache, "bin") };
    const build = (version) =>
      failure(onPath("go"), ["install", `${grpcurlModule}@${version}`], { env, cwd: peerCache });
    let why;
    for (const version of grpcurlVersions) {
      why = build(version);
      if (why === undefined) return undefined;
    }
    return why;
  },
};

const python = {
  venv: join(peerCache, "python"),
  file: join(peerCache, "python", windows ? "Scripts/python.exe" : "bin/python"),
  works: (file) => spawnSync(file, ["-c", pythonProbe], { timeout: 30_000 }).status === 0,
  find() {
    if (executable(this.file) && this.works(this.file)) return this.file;
    const system = onPath("python3");
    return system !== undefined && this.works(system) ? system : undefined;
  },
  install() {
    const made = this.makeVenv();
    if (made !== undefined) return made;
    const pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary=:all:"];
    return failure(this.file, [...pip, ...pythonPackages]);
  },
  makeVenv() {
    const attempt = () => {
      rmSync(this.venv, { recursive: true, force: true });
      const system = onPath("python3");
      return system === undefined ? "no python3 on PATH" : failure(system, ["-m", "venv", this.venv]);
    };
    const first = attempt();
    if (first === undefined) return undefined;
    // Debian ships venv apart from python3.
    const why = apt("python3", "python3-venv");
    return why === undefined ? attempt() : `${first}; ${why}`;
  },
};

/** Go with the plugins that examples/go/go.mod names, and what the example there is built from. */
const go = {
  find() {
    const system = onPath("go");
    return goPluginNames.every((name) => executable(join(goPlugins, name))) ? system : undefined;
  },
  install() {
    const noGo = onPath("go") === undefined ? apt("golang-go", "ca-certificates") : undefined;
    if (noGo !== undefined) return noGo;
    const built = failure(onPath("go"), ["build", "-o", devNull, "."], { cwd: goExample });
    // Last: they stand for the rest.
    return built ?? failure(onPath("go"), ["install", "tool"], { cwd: goExample, env: { GOBIN: goPlugins } });
  },
};

const sshd = {
  find: () => onPath("sshd"),
  install: () => apt("openssh-server"),
};

const prometheus = {
  find() {
    const found = onPath("prometheus");
    const promtool = windows ? "promtool.exe" : "promtool";
    return found !== undefined && executable(join(dirname(found), promtool)) ? found : undefined;
  },
  install: () => apt("prometheus"),
};

const ssh = {
  find: () => onPath("ssh"),
  install: () => apt("openssh-client"),
};

const psql = {
  find: () => onPath("psql"),
  install: () => apt("postgresql-client"),
};

/** Judges unit files; needs no running systemd. */
const systemd = {
  find: () => onPath("systemd-analyze"),
  install: () => apt("systemd"),
};

/** The program of the Compose Specification's reference implementation: it holds the JSON schema and judges files by it. */
const compose = {
  file: join(peerCache, "bin", windows ? "compose-spec.exe" : "compose-spec"),
  find() {
    return executable(this.file) ? this.file : undefined;
  },
  install() {
    const noGo = onPath("go") === undefined ? apt("golang-go", "ca-certificates") : undefined;
    if (noGo !== undefined) return `no go to build it with: ${noGo}`;
    const folder = join(peerCache, "compose-spec");
    for (const each of [folder, dirname(this.file)]) mkdirSync(each, { recursive: true });
    const why = failure(onPath("go"), ["install", composeSpec], { env: { GOBIN: folder }, cwd: folder });
    // Go names a program after its folder there, "cmd".
    if (why === undefined) renameSync(join(folder, windows ? "cmd.exe" : "cmd"), this.file);
    return why;
  },
};

const peers = { redis, postgres15, grpcurl, python, go, sshd, prometheus, ssh, psql, systemd, compose };

/** One installer at a time on a machine; a lock whose holder is gone is taken over. */
function withLock(work) {
  const lock = join(peerCache, "install.lock");
  const deadlineMs = performance.now() + installMaxMs;
  for (;;) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      const stale = existsSync(lock) && Date.now() - statSync(lock).mtimeMs > 2 * installMaxMs;
      if (stale) rmSync(lock, { recursive: true, force: true });
      else if (performance.now() > deadlineMs) throw new Error(`another installer holds ${lock}`);
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    }
  }
  try {
    return work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

function install(name, peer) {
  return withLock(() => {
    const other = peer.find();
    if (other !== undefined) return undefined;
    say(`weft: installing ${name} for the tests (once on this machine)`);
    const startedMs = performance.now();
    const why = peer.install();
    say(
      `weft: ${name} ${why === undefined ? "installed" : "NOT installed"} after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`,
    );
    return why;
  });
}

await main(() => {
  const onlyFind = process.argv.includes("--find") || process.env.WEFT_PEERS === "find";
  mkdirSync(cache, { recursive: true });
  mkdirSync(peerCache, { recursive: true });
  const found = {};
  for (const [name, peer] of Object.entries(peers)) {
    let path = peer.find();
    let why = "not found (looked only)";
    if (path === undefined && !onlyFind) {
      why = install(name, peer) ?? "installed, and still not found";
      path = peer.find();
    }
    found[name] = path === undefined ? { missing: why } : { path };
    if (path === undefined) say(`weft: ${name} is MISSING, its tests cannot run: ${why}`);
  }
  const file = join(cache, "peers.json");
  writeFileSync(`${file}.${process.pid}`, `${JSON.stringify(found, null, 2)}\n`);
  renameSync(`${file}.${process.pid}`, file);
});
