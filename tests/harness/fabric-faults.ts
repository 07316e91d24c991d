/** Faults of a running fabric that take more than a signal or a statement. */

import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openSealingKeyFile } from "../../certs/seal.ts";
import { layoutOf } from "../../cli/up/layout.ts";
import { Authority } from "../../control/domain/authority.ts";
import { createCluster } from "../../control/domain/cluster.ts";
import { openPostgres } from "../../control/store/pg.ts";
import { trustSeal } from "../../control/store/trust.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { storeContext } from "./control-cluster.ts";
import type { TestFabric } from "./fabric.ts";
import { type ServerProcess, startServer } from "./server-process.ts";

/** Kills a process of the fabric; resolves when it is gone. */
export async function kill({ fabric }: TestFabric, name: string): Promise<void> {
  const { pid, exited } = fabric.process(name);
  process.kill(pid, "SIGKILL");
  await exited;
}

/** Stops and continues a process again and again, so that it runs less than a fifth of the time, until `enough`. */
export async function starve({ fabric }: TestFabric, name: string, enough: () => Promise<unknown>): Promise<void> {
  const { pid } = fabric.process(name);
  let over = false;
  const done = enough().finally(() => {
    over = true;
  });
  while (!over) {
    process.kill(pid, "SIGSTOP");
    await delay(500);
    process.kill(pid, "SIGCONT");
    await delay(100);
  }
  await done;
}

/** Somebody who speaks no TLS knocks at a public port so many times; resolves when all were turned away. */
export async function knockWithoutTls(port: number, times: number): Promise<void> {
  const knock = (): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\n\r\n"));
      socket.on("error", () => {}).once("close", () => resolve());
      socket.resume();
    });
  await Promise.all(Array.from({ length: times }, knock));
}

/** A cluster whose roots and keys a control with the fabric's own store and sealing key made so long ago. */
export async function makeAgedCluster(world: TestFabric, url: string, slug: string, ageMs: number): Promise<void> {
  const sql = openPostgres({ url, log: silentLog });
  try {
    const seal = trustSeal(openSealingKeyFile(layoutOf(world.fabric.root).sealingKey));
    const ctx = storeContext(sql, { seal, clock: { ...systemClock, nowMs: () => systemClock.nowMs() - ageMs } });
    const authority = new Authority(ctx);
    const trust = await authority.prepareCluster(slug);
    const cluster = { slug, name: slug, region: "", metadata: {} };
    await sql.tx(async (tx) => {
      const installation = await authority.installation(tx);
      await createCluster(tx, ctx, { cluster, installation, trust, actor: "test" });
    });
  } finally {
    await sql.close();
  }
}

/** The node of a killed process again, from its own disk and on its own ports, as it would be `laterMs` later. */
export async function startLater({ fabric }: TestFabric, name: string, laterMs: number): Promise<ServerProcess> {
  const metricsPort = String(fabric.process(name).facts["metrics"]).split(":").at(-1) ?? "";
  const file = join(layoutOf(fabric.root).nodeDir(name), "node.json");
  const script = fileURLToPath(new URL("later-node.ts", import.meta.url));
  return await startServer({
    program: process.execPath,
    args: [script, file, metricsPort, String(laterMs)],
    ready: "is ready",
    // It counts every wait for control by the dates it has.
    stopSignal: "SIGKILL",
  });
}
