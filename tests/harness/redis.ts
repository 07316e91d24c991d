/**
 * A real Redis for tests: an in-memory server of its own on a free loopback port. Needs the peer `redis`:
 *
 *   const redis = requirePeer("redis", "hints over Redis");
 *   describe.skipIf(redis.missing)("...", () => { const server = await startRedis(redis.path); ... });
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onFreePort } from "./loopback.ts";
import type { ServerProcess } from "./server-process.ts";
import { startServer } from "./server-process.ts";

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** SIGSTOP and SIGCONT freeze and thaw it. */
  signal(name: NodeJS.Signals): void;
  /** An outage: every connection is cut and the port refuses, until the returned function has brought back an empty one. */
  interrupt(): Promise<() => Promise<void>>;
  stop(): Promise<void>;
}

/** Starts a server; `program` is `requirePeer("redis", ...).path`. */
export async function startRedis(program: string): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), "weft-redis-"));
  const start = (port: number): Promise<ServerProcess> =>
    startServer({
      program,
      args: ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder],
      ready: "Ready to accept connections",
      stopSignal: "SIGTERM",
    });
  try {
    return await onFreePort(async (port) => {
      let server = await start(port);
      return {
        url: `redis://127.0.0.1:${port}`,
        port,
        get pid() {
          return server.pid;
        },
        signal: (name) => server.signal(name),
        async interrupt() {
          await server.stop();
          return async () => {
            server = await start(port);
          };
        },
        async stop() {
          await server.stop();
          rmSync(folder, { recursive: true, force: true });
        },
      };
    });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}
