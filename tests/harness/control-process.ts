/** A control of its own for a test: initialized in a temporary folder, in this process or in one of its own. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ControlConfig, loadControlConfig } from "../../control/config.ts";
import type { InitOutcome } from "../../control/domain/init.ts";
import { initControl } from "../../control/init.ts";
import { type RunningControl, startControl } from "../../control/main.ts";
import type { ControlOverrides } from "../../control/open-context.ts";
import { openLog } from "../../lib/log.ts";
import { controlPortTls, loadOperatorContext } from "../../rpc/operator-context.ts";
import { type ClosableTransport, operatorTransport } from "../../rpc/operator-transport.ts";
import { leave } from "./left-behind.ts";
import { migratedDirectory } from "./shared-stores.ts";

export interface TestControl extends AsyncDisposable {
  readonly dir: string;
  readonly contextDir: string;
  readonly config: ControlConfig;
  readonly outcome: InitOutcome;
  readonly running: RunningControl;
  /** As the first operator. Closed with the control. */
  operator(): ClosableTransport;
  restart(): Promise<void>;
}

export interface TestControlOptions {
  /** File with the URL of a PostgreSQL database; embedded otherwise. */
  readonly postgresUrlFile?: string;
  readonly over?: ControlOverrides;
}

/** Flags of a control in `dir`. */
export function controlFlags(dir: string, postgresUrlFile?: string): Record<string, unknown> {
  return {
    ...(postgresUrlFile === undefined ? { dataDir: join(dir, "data") } : { postgresUrlFile }),
    sealingKeyFile: join(dir, "sealing.key"),
    publicPort: 0,
    operatorPort: 0,
    logLevel: "silent",
  };
}

export async function startTestControl(options: TestControlOptions = {}): Promise<TestControl> {
  const dir = mkdtempSync(join(tmpdir(), "weft-control-"));
  const contextDir = join(dir, "context");
  const config = loadControlConfig({ env: {}, flags: controlFlags(dir, options.postgresUrlFile) });
  // The store as a first start leaves it before anything is in it; what makes it has tests of its own.
  if (config.dataDir !== undefined) await migratedDirectory(config.dataDir);
  const sinceMs = Date.now();
  const over = { log: openLog({ level: "error", process: "control" }), ...options.over };
  const outcome = await initControl(config, { operatorName: "admin", contextDir }, over);
  let running = await startControl(config, over);
  const transports: ClosableTransport[] = [];
  return {
    dir,
    contextDir,
    config,
    outcome,
    get running() {
      return running;
    },
    operator() {
      const transport = operatorOf(contextDir, running.operatorAddress);
      transports.push(transport);
      return transport;
    },
    async restart() {
      await running.close(0);
      running = await startControl(config, over);
    },
    async [Symbol.asyncDispose]() {
      for (const transport of transports) transport.close();
      await running.close(0);
      leave(dir, sinceMs);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** As the operator of a context folder, to the operator port at `address`. */
export function operatorOf(contextDir: string, address: string): ClosableTransport {
  return operatorTransport({ address, tls: controlPortTls(loadOperatorContext(contextDir), () => Date.now()) });
}
