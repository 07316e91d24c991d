/** Flags of `weft workload set` as a spec: what is not named stays as it was. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { WorkloadKind, type WorkloadSpec, type WorkloadSpecSchema } from "../gen/weft/fabric/v1/workload_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { enumValue } from "./output.ts";

export interface WorkloadFlags {
  readonly kind?: string;
  readonly command?: string;
  readonly arg?: readonly string[];
  readonly image?: string;
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly dir?: string;
  readonly runAs?: string;
  readonly release?: string;
  readonly backoffMin?: number;
  readonly backoffMax?: number;
  readonly restarts?: number;
  readonly restartsWithin?: number;
  readonly grace?: number;
  readonly healthPort?: number;
  readonly healthCommand?: string;
  readonly healthArg?: readonly string[];
  readonly healthEvery?: number;
  readonly healthTimeout?: number;
  readonly healthFailures?: number;
  readonly healthWithin?: number;
  readonly hostPrivileges?: boolean;
  readonly clear?: readonly string[];
}

/** What can be taken away again. */
export const clearable = ["args", "env", "health", "dir", "run-as"] as const;

type SpecFields = Exclude<MessageInitShape<typeof WorkloadSpecSchema>, { $typeName: string }>;
type VariableFields = NonNullable<SpecFields["environment"]>;

/** `NAME=text` as its two halves. */
function pair(text: string, flag: string): [name: string, rest: string] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new WeftError("invalid_argument", `${flag}: write NAME=…`, { detail: "CLI_PAIR" });
}

/** Variables replace those of the same name, and leave the others. */
function environmentOf(flags: WorkloadFlags, before: WorkloadSpec | undefined): VariableFields {
  const known = flags.clear?.includes("env") === true ? [] : (before?.environment ?? []);
  const all = new Map(known.map(({ name, value, file }) => [name, { name, value, file }]));
  for (const text of flags.env ?? []) {
    const [name, value] = pair(text, "--env");
    all.set(name, { name, value, file: "" });
  }
  for (const text of flags.envFile ?? []) {
    const [name, file] = pair(text, "--env-file");
    all.set(name, { name, value: "", file });
  }
  return [...all.values()];
}

function bigMs(value: number | undefined, before: bigint | undefined): bigint {
  return value === undefined ? (before ?? 0n) : BigInt(value);
}

function healthOf(flags: WorkloadFlags, before: WorkloadSpec | undefined): SpecFields["health"] {
  const known = flags.clear?.includes("health") === true ? undefined : before?.health;
  const named = [flags.healthPort, flags.healthCommand, flags.healthArg, flags.healthEvery, flags.healthTimeout];
  const isNamed = [...named, flags.healthFailures, flags.healthWithin].some((each) => each !== undefined);
  if (!isNamed && known === undefined) return undefined;
  if (known === undefined && flags.healthPort === undefined && flags.healthCommand === undefined) {
    throw new WeftError("invalid_argument", "say what to ask: --health-port or --health-command", {
      detail: "CLI_HEALTH",
    });
  }
  // A port takes the place of a command, and the other way round.
  const tcpPort = flags.healthPort ?? (flags.healthCommand === undefined ? (known?.tcpPort ?? 0) : 0);
  const command = flags.healthCommand ?? (flags.healthPort === undefined ? (known?.command ?? "") : "");
  return {
    tcpPort,
    command,
    args: [...(flags.healthArg ?? (command === known?.command ? known.args : []))],
    periodMs: bigMs(flags.healthEvery, known?.periodMs),
    timeoutMs: bigMs(flags.healthTimeout, known?.timeoutMs),
    failuresMaxCount: flags.healthFailures ?? known?.failuresMaxCount ?? 0,
    startWithinMs: bigMs(flags.healthWithin, known?.startWithinMs),
  };
}

/** The whole spec: flags over what there was. */
export function specOf(flags: WorkloadFlags, before: WorkloadSpec | undefined): SpecFields {
  const cleared = (part: (typeof clearable)[number]): boolean => flags.clear?.includes(part) === true;
  const kind = flags.kind === undefined ? undefined : enumValue(WorkloadKind, flags.kind, "kind");
  const { restart } = before ?? {};
  const health = healthOf(flags, before);
  return {
    kind: kind ?? before?.kind ?? WorkloadKind.NATIVE,
    command: flags.command ?? before?.command ?? "",
    args: [...(flags.arg ?? (cleared("args") ? [] : (before?.args ?? [])))],
    image: flags.image ?? before?.image ?? "",
    environment: environmentOf(flags, before),
    workingDirectory: flags.dir ?? (cleared("dir") ? "" : (before?.workingDirectory ?? "")),
    runAs: flags.runAs ?? (cleared("run-as") ? "" : (before?.runAs ?? "")),
    version: flags.release ?? before?.version ?? "",
    restart: {
      backoffMinMs: bigMs(flags.backoffMin, restart?.backoffMinMs),
      backoffMaxMs: bigMs(flags.backoffMax, restart?.backoffMaxMs),
      restartsMaxCount: flags.restarts ?? restart?.restartsMaxCount ?? 0,
      windowMs: bigMs(flags.restartsWithin, restart?.windowMs),
    },
    stopGraceMs: bigMs(flags.grace, before?.stopGraceMs),
    ...(health === undefined ? {} : { health }),
    hostPrivileges: flags.hostPrivileges ?? before?.hostPrivileges ?? false,
  };
}
