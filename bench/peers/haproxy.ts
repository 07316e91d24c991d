/**
 * HAProxy as a relay: ending mutual TLS on both sides, or passing TLS on by its server name without looking further. One
 * thread each. It is taken from the system, or installed from the distribution when this runs as root.
 */

import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { eventually } from "../../tests/harness/eventually.ts";
import { tether } from "./child.ts";

/** PEM files in the folder the proxies run from. */
export interface ProxyFiles {
  readonly folder: string;
  /** Leaf and key in one file, as HAProxy wants them. */
  readonly identity: string;
  readonly roots: string;
}

export interface Proxy {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
}

function found(): string | undefined {
  for (const path of ["haproxy", "/usr/sbin/haproxy", "/usr/local/sbin/haproxy"]) {
    if (spawnSync(path, ["-v"]).status === 0) return path;
  }
  return undefined;
}

/** The program. Throws, with what to do, when it is not there and cannot be installed. */
export function requireHaproxy(say: (line: string) => void): string {
  const there = found();
  if (there !== undefined) return there;
  if (process.getuid?.() === 0) {
    say("HAProxy is not installed; installing it with apt-get");
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    spawnSync("apt-get", ["update", "-qq"], { env, stdio: "ignore" });
    spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "haproxy"], { env, stdio: "ignore" });
  }
  const installed = found();
  if (installed !== undefined) return installed;
  throw new Error("HAProxy is needed as a peer and is not here: apt-get install haproxy");
}

export function haproxyVersion(program: string): string {
  return /version (\S+)/.exec(spawnSync(program, ["-v"], { encoding: "utf8" }).stdout)?.[1] ?? "unknown";
}

const head = `global
  nbthread 1
  maxconn 200
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-bind-curves X25519
`;
const times = `  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout tunnel 300s
`;

/** Ends TLS on both sides and copies the bytes between. */
export function terminatingConfig(port: number, farPort: number, files: ProxyFiles): string {
  return `${head}  tune.bufsize 65536
  tune.ssl.maxrecord 16384
defaults
  mode tcp
${times}frontend near
  bind 127.0.0.1:${port} ssl crt ${files.identity} ca-file ${files.roots} verify required alpn h2
  default_backend far
backend far
  server far 127.0.0.1:${farPort} ssl crt ${files.identity} ca-file ${files.roots} verify required alpn h2
`;
}

/** Ends TLS and HTTP/2 on both sides, as a gRPC proxy does. */
export function grpcConfig(port: number, farPort: number, files: ProxyFiles): string {
  return `${head}  tune.bufsize 65536
  tune.h2.initial-window-size 16777216
  tune.h2.max-concurrent-streams 1000
defaults
  mode http
  option http-no-delay
  http-reuse always
${times}frontend near
  bind 127.0.0.1:${port} ssl crt ${files.identity} ca-file ${files.roots} verify required alpn h2
  default_backend far
backend far
  server far 127.0.0.1:${farPort} ssl crt ${files.identity} ca-file ${files.roots} verify required alpn h2
`;
}

/** Looks at the server name and lets the kernel move the rest. */
export function passthroughConfig(port: number, farPort: number, serverName: string): string {
  return `${head}defaults
  mode tcp
  option splice-auto
${times}frontend near
  bind 127.0.0.1:${port}
  tcp-request inspect-delay 5s
  tcp-request content accept if { req.ssl_hello_type 1 }
  use_backend far if { req.ssl_sni -i ${serverName} }
backend far
  server far 127.0.0.1:${farPort}
`;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Runs HAProxy in the foreground with this configuration; it ends with this process. */
export async function startHaproxy(
  program: string,
  name: string,
  files: ProxyFiles,
  port: number,
  config: string,
): Promise<Proxy> {
  const file = join(files.folder, `${name}.cfg`);
  writeFileSync(file, config, { mode: 0o600 });
  const child = tether(spawn(program, ["-db", "-f", file], { stdio: ["ignore", "ignore", "pipe"] }));
  let words = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    words = (words + chunk.toString()).slice(-2_000);
  });
  await eventually(
    async () => {
      if (child.exitCode !== null) throw new Error(words);
      return await accepts(port);
    },
    { withinMs: 5_000, what: `${name} to listen` },
  );
  return { name, pid: child.pid ?? 0, port };
}
