/**
 * `weft doctor`: common mistakes on this host, each with what to do about it. It looks at what is there: an operator's context, a
 * client's folder, the configuration of a node, the configuration of a control. It changes nothing; a file that it writes to see whether it can is gone
 * when it ends.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { chosenContext } from "../contexts.ts";
import { lookAtClientHost } from "../doctor/client-host.ts";
import { lookAtControlHost } from "../doctor/control-host.ts";
import { type Facts, together } from "../doctor/facts.ts";
import { diagnose } from "../doctor/judgements.ts";
import { lookAtNodeHost } from "../doctor/node-host.ts";
import { lookAtOperatorHost } from "../doctor/operator-host.ts";
import { diagnosisText, withReasons } from "../doctor/report.ts";
import { exitCodes, print } from "../output.ts";
import { action, type GlobalOptions } from "../session.ts";

export interface DoctorOptions extends GlobalOptions {
  readonly identity?: string;
  readonly nodeConfig?: string;
  readonly controlConfig?: string;
}

/** Where the documents put configurations. */
const usualNodeConfig = "/etc/weft/node.json";
const usualControlConfig = "/etc/weft/control.json";

type Environment = Readonly<Record<string, string | undefined>>;

function given(named: string | undefined, usual: string, variable: string | undefined): { file?: string } | undefined {
  if (named !== undefined) return { file: named };
  if (existsSync(usual)) return { file: usual };
  return variable === undefined || variable === "" ? undefined : {};
}

/**
 * Looks at every place there is.
 * @throws WeftError failed_precondition (DOCTOR_NOTHING) when there is none.
 */
export async function gather(options: DoctorOptions, env: Environment, clock: Clock): Promise<Facts> {
  const { folder: dir, identity: itsIdentity } = chosenContext(options.context, env);
  const client = options.identity ?? (env["WEFT_IDENTITY"] || itsIdentity);
  const isMeant = options.context !== undefined || (env["WEFT_CONTEXT"] ?? "") !== "";
  const node = given(options.nodeConfig, usualNodeConfig, env["WEFT_NODE_STATE_DIR"]);
  const control = given(options.controlConfig, usualControlConfig, env["WEFT_CONTROL_SEALING_KEY_FILE"]);
  const looks = [
    isMeant || existsSync(join(dir, "context.json")) ? lookAtOperatorHost(dir, options, clock) : undefined,
    client === undefined ? undefined : lookAtClientHost(client, clock),
    node === undefined ? undefined : lookAtNodeHost({ ...node, env }, clock),
    control === undefined ? undefined : lookAtControlHost({ ...control, env }),
  ].filter((look) => look !== undefined);
  if (looks.length === 0) {
    const message = `there is nothing to look at: no operator context in ${dir}, no ${usualNodeConfig}, no ${usualControlConfig}; name one with --context, --identity, --node-config or --control-config`;
    throw new WeftError("failed_precondition", message, { detail: "DOCTOR_NOTHING" });
  }
  return together(await Promise.all(looks));
}

async function doctor(options: DoctorOptions): Promise<void> {
  const facts = await gather(options, process.env, systemClock);
  const diagnosis = diagnose(facts);
  const { places } = facts;
  const answer = { ok: diagnosis.ok, checks: withReasons(diagnosis.checks, places), places };
  print(options, answer, () => diagnosisText(facts, diagnosis, { meant: options }));
  if (!diagnosis.ok) process.exitCode = exitCodes.failure;
}

export function addDoctorCommand(program: Command): void {
  program
    .command("doctor")
    .description("common mistakes on this host, each with its fix; ends with 1 when there is one")
    .option("--identity <dir>", "a client's folder (default: WEFT_IDENTITY, else the context's)")
    .option("--node-config <file>", `configuration of a node (default: ${usualNodeConfig} where there is one)`)
    .option("--control-config <file>", `configuration of a control (default: ${usualControlConfig} where there is one)`)
    .addHelpText(
      "after",
      "\nLooks at the operator's context, the client, the node and the control there are, and at nothing else: how the fabric and its nodes\nare, weft alert list and weft node list --health say. Run it as the user that runs Weft.\n\nExamples:\n  weft doctor\n  weft doctor --node-config /etc/weft/node.json --json",
    )
    .action(action(doctor));
}
