/** `weft control`: making an installation, and the control process. */

import { writeSync } from "node:fs";
import type { Command } from "commander";
import { failureFacts, groupExamples, print } from "../output.ts";
import { action, type GlobalOptions } from "../session.ts";

export type ControlFlags = GlobalOptions & Readonly<Record<string, unknown>> & { readonly config?: string };

/** The settings of control as flags. */
export function withControlSettings(command: Command): Command {
  return command
    .option("--config <file>", "JSON configuration file")
    .option("--data-dir <dir>", "folder of the embedded store")
    .option("--postgres-url-file <file>", "file (0600) with the PostgreSQL URL, instead of the embedded store")
    .option("--postgres-ca-file <file>", "CA certificates the PostgreSQL server is verified with")
    .option("--redis-url-file <file>", "file (0600) with the Redis URL; hints only")
    .option("--redis-ca-file <file>", "CA certificates the Redis server is verified with")
    .option("--sealing-key-file <file>", "file (0600) with the sealing key")
    .option("--public-host <host>", "address to bind the public port to")
    .option("--public-port <port>", "public port: nodes")
    .option("--operator-host <host>", "address to bind the operator port to")
    .option("--operator-port <port>", "operator port")
    .option("--allow-remote-operators", "let the operator port leave loopback")
    .option("--metrics-port <port>", "show metrics at /metrics on this port; 0: any free one")
    .option("--metrics-host <host>", "address to bind the metrics port to (default: loopback)")
    .option("--allow-remote-metrics", "let the metrics port leave loopback")
    .option("--traces-endpoint <url>", "send traces to this OTLP/HTTP receiver; https, or http on loopback")
    .option("--traces-ratio <share>", "share of the traces begun here that are recorded, 0 to 1 (default: 1)")
    .option("--traces-service-name <name>", "service.name of the traces (default: weft-control)")
    .option("--traces-attributes <list>", "more resource attributes, name=value, comma-separated")
    .option("--traces-headers-file <file>", "file (0600) with headers for the receiver, name: value a line")
    .option("--traces-ca-file <file>", "CA certificates the receiver is verified with")
    .option("--advertised-hosts <list>", "names and addresses this replica is reached by, comma-separated")
    .option("--leaf-life-seconds <seconds>", "how long certificates of nodes, pools and control live")
    .option("--client-leaf-life-seconds <seconds>", "how long certificates of clients live")
    .option("--log-level <level>", "debug, info, warn, error or silent");
}

/** Words for the control process out of the flags given here. */
function wordsOf(options: ControlFlags, names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const value = options[name];
    const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    return typeof value === "string" ? [flag, value] : value === true ? [flag] : [];
  });
}

/** The configuration of control out of these flags, the environment and the file they name. */
export async function loadConfig(options: ControlFlags) {
  const { controlSettings, loadControlConfig } = await import("../../control/config.ts");
  return loadControlConfig(
    {
      env: process.env,
      flags: Object.fromEntries(controlSettings.map((name) => [name, options[name]])),
      ...(options.config === undefined ? {} : { file: options.config }),
    },
    { env: process.env, execArgv: process.execArgv },
  );
}

async function recover(options: ControlFlags & { operatorName?: string; contextDir?: string }): Promise<void> {
  const { recoverControl } = await import("../../control/recover.ts");
  const contextDir = options.contextDir ?? "";
  const operatorName = options.operatorName ?? "";
  const operatorId = await recoverControl(await loadConfig(options), { operatorName, contextDir });
  print(
    options,
    { operatorId, context: contextDir },
    () => `operator ${operatorName} (${operatorId}) is in ${contextDir}`,
  );
}

async function init(
  options: ControlFlags & { operatorName?: string; contextDir?: string; clusterSlug?: string; trustDomain?: string },
): Promise<void> {
  const { initControl } = await import("../../control/init.ts");
  const config = await loadConfig(options);
  const dir = options.contextDir ?? "";
  const outcome = await initControl(config, {
    operatorName: options.operatorName ?? "admin",
    contextDir: dir,
    ...(options.clusterSlug === undefined ? {} : { clusterSlug: options.clusterSlug }),
    ...(options.trustDomain === undefined ? {} : { trustDomain: options.trustDomain }),
  });
  const facts = {
    trustDomain: outcome.trustDomain,
    cluster: { id: outcome.cluster.id, slug: outcome.cluster.slug },
    operatorId: outcome.operatorId,
    context: dir,
  };
  print(options, facts, () =>
    [
      `installation ${outcome.trustDomain} made, cluster ${outcome.cluster.slug} (${outcome.cluster.id})`,
      `the first operator's context is in ${dir}`,
      `back up ${config.sealingKeyFile}: without it the store is worthless`,
    ].join("\n"),
  );
}

export function addControlCommands(program: Command): void {
  const control = program
    .command("control")
    .description("the control plane process")
    .addHelpText(
      "after",
      groupExamples(
        "weft control init --config /etc/weft/control.json --context-dir ~/.weft",
        "weft control run --config /etc/weft/control.json",
      ),
    );
  withControlSettings(
    control
      .command("init")
      .description("make an installation: sealing key, roots, first cluster, first operator; local, once"),
  )
    .requiredOption("--context-dir <dir>", "folder for the first operator's key, certificate and context")
    .option("--operator-name <name>", "name of the first operator", "admin")
    .option("--cluster-slug <slug>", "slug of the first cluster", "default")
    .option("--trust-domain <name>", "trust domain (default: a random one)")
    .addHelpText(
      "after",
      "\nExample:\n  weft control init --data-dir /var/lib/weft/control --sealing-key-file /etc/weft/sealing.key --context-dir ~/.weft --advertised-hosts control.example",
    )
    .action(action(init));
  withControlSettings(
    control
      .command("recover")
      .description("make a new operator when nobody can get in any more; local, on the control host"),
  )
    .requiredOption("--context-dir <dir>", "folder for the new operator's key, certificate and context")
    .requiredOption("--operator-name <name>", "name of the new operator; a name in use is refused")
    .addHelpText(
      "after",
      "\nAn embedded store has one user: stop control first.\n\nExample:\n  weft control recover --data-dir /var/lib/weft/control --sealing-key-file /etc/weft/sealing.key --operator-name admin-2 --context-dir ~/.weft-2",
    )
    .action(action(recover));
  withControlSettings(control.command("run").description("run a control replica"))
    .addHelpText(
      "after",
      "\nExample:\n  weft control run --data-dir /var/lib/weft/control --sealing-key-file /etc/weft/sealing.key --public-host 0.0.0.0",
    )
    .action(
      action(async (options: ControlFlags) => {
        const [{ runControlProcess }, { controlSettings }] = await Promise.all([
          import("../../control/bin.ts"),
          import("../../control/config.ts"),
        ]);
        await runControlProcess(["run", ...wordsOf(options, ["config", ...controlSettings])], (failure) => {
          // Written at once: the process ends behind this.
          if (options.json === true) writeSync(1, `${JSON.stringify(failureFacts(failure))}\n`);
        });
      }),
    );
}
