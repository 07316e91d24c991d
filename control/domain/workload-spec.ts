/**
 * What a workload may say. Pure checks of what an operator asks for; every problem is named, not only the first.
 *
 * - Nothing here is a permission: what a host runs is decided by its own ceiling (node/workloads/ceiling.ts).
 * - No secrets: a variable or an argument that looks like one is refused with a plain value. What is secret stays in a file
 *   of the host, and a variable names that file. It is a net for mistakes, not a proof: operators see what they set.
 * - A spec has one text (canonical JSON) and one fingerprint over it. Who approves privileges approves a fingerprint.
 */

import { createHash } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { WorkloadKind, type WorkloadSpec, type WorkloadSpecSchema } from "../../gen/weft/fabric/v1/workload_pb.ts";
import { limits } from "../../lib/limits.ts";
import { canonicalJson } from "../store/trust.ts";
import { roles } from "../store/vocabulary.ts";
import { isName } from "./placement.ts";
import { Problems } from "./problems.ts";

export type WorkloadKindName = "native" | "container" | "builtin";

export interface VariableSpec {
  readonly name: string;
  /** Exactly one of the two. */
  readonly value?: string;
  readonly file?: string;
}

export interface HealthSpec {
  /** 0: the command is asked instead. */
  readonly tcpPort: number;
  readonly command: string;
  readonly args: readonly string[];
  readonly periodMs: number;
  readonly timeoutMs: number;
  readonly failuresMaxCount: number;
  readonly startWithinMs: number;
}

/** A spec with every question answered, as it is stored. */
export interface StoredSpec {
  readonly kind: WorkloadKindName;
  readonly command: string;
  readonly args: readonly string[];
  readonly image: string;
  readonly environment: readonly VariableSpec[];
  readonly workingDirectory: string;
  readonly runAs: string;
  readonly version: string;
  readonly restart: {
    readonly backoffMinMs: number;
    readonly backoffMaxMs: number;
    readonly restartsMaxCount: number;
    readonly windowMs: number;
  };
  readonly stopGraceMs: number;
  readonly health: HealthSpec | null;
  readonly hostPrivileges: boolean;
}

/** The roles an agent runs itself. */
const builtins: ReadonlySet<string> = new Set(["entry", "relay", "egress"]);

const kinds: Readonly<Record<number, WorkloadKindName>> = {
  [WorkloadKind.NATIVE]: "native",
  [WorkloadKind.CONTAINER]: "container",
  [WorkloadKind.BUILTIN]: "builtin",
};

const secretWord =
  /pass(word|wd|phrase)|(^|[-_])pass($|[-_])|secret|token|credential|(api|private|access|signing|encryption)[-_]?key|(^|[-_])(key|pwd|auth)$/i;
const pointsElsewhere = /[-_](file|path|dir|folder|url|uri|name|id)$/i;

/** Whether what carries this name is likely a secret. `DB_PASSWORD` is, `DB_PASSWORD_FILE` is a place. */
export function looksSecret(name: string): boolean {
  return secretWord.test(name) && !pointsElsewhere.test(name);
}

/** Whether a text is a secret whatever it is called: a private key, or a URL with a password in it. */
function isSecretText(text: string): boolean {
  return /-----BEGIN [A-Z ]*PRIVATE KEY/.test(text) || /^[a-z][a-z0-9+.-]*:\/\/[^/@\s]*:[^/@\s]+@/i.test(text);
}

/** The index of the first argument that looks like a secret, or -1. */
function secretArgument(args: readonly string[]): number {
  return args.findIndex((arg, at) => {
    if (isSecretText(arg)) return true;
    const given = /^-{1,2}([\w-]+)=./s.exec(arg);
    if (given !== null) return looksSecret(given[1] ?? "") || isSecretText(arg.slice(arg.indexOf("=") + 1));
    const before = /^-{1,2}([\w-]+)$/.exec(args[at - 1] ?? "");
    return before !== null && looksSecret(before[1] ?? "") && !arg.startsWith("-");
  });
}

/** An absolute path that says where it leads. */
function isPlainPath(path: string): boolean {
  const parts = path.split("/").slice(1);
  return path.startsWith("/") && parts.every((part) => part !== "" && part !== "." && part !== "..");
}

/** Control characters have no business in what becomes a command line; NUL would end it. */
function isPlainText(text: string): boolean {
  return !/[\0\p{Cs}]/u.test(text);
}

class Checker {
  readonly problems = new Problems();

  words(field: string, words: readonly string[]): string[] {
    if (words.length > limits.workloadWordsMaxCount) {
      this.problems.add(field, `at most ${limits.workloadWordsMaxCount}`);
    }
    if (words.some((word) => Buffer.byteLength(word) > limits.workloadWordMaxBytes || !isPlainText(word))) {
      this.problems.add(field, `each at most ${limits.workloadWordMaxBytes} bytes of text`);
    }
    if (secretArgument(words) >= 0) {
      this.problems.add(field, "one looks like a secret; let the program read it from a file of the host");
    }
    return [...words];
  }

  path(field: string, path: string, emptyOk: boolean): string {
    if (path === "" && emptyOk) return "";
    const fits = isPlainPath(path) && isPlainText(path) && Buffer.byteLength(path) <= limits.workloadWordMaxBytes;
    if (!fits) this.problems.add(field, 'an absolute path without "." or ".."');
    return path;
  }

  /** A duration from the wire; 0 becomes the default. */
  ms(
    field: string,
    value: bigint,
    bounds: { readonly min: number; readonly max: number; readonly usual: number },
  ): number {
    const ms = value === 0n ? bounds.usual : Number(value);
    if (!(ms >= bounds.min && ms <= bounds.max)) this.problems.add(field, `${bounds.min} to ${bounds.max} ms`);
    return ms;
  }

  count(field: string, value: number, max: number, usual: number): number {
    if (value > max) this.problems.add(field, `at most ${max}`);
    return value === 0 ? usual : value;
  }
}

function checkVariables(check: Checker, spec: WorkloadSpec): VariableSpec[] {
  const { problems } = check;
  const list = [...spec.environment].sort((a, b) => (a.name < b.name ? -1 : 1));
  if (list.length > limits.workloadWordsMaxCount)
    problems.add("environment", `at most ${limits.workloadWordsMaxCount}`);
  if (new Set(list.map(({ name }) => name)).size !== list.length) problems.add("environment", "a name occurs twice");
  return list.map(({ name, value, file }) => {
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name)) problems.add("environment", "a name is letters, digits and _");
    else if (/^WEFT_/i.test(name))
      problems.add("environment", `${name}: names that begin with WEFT_ are the agent's own`);
    if (file !== "") {
      if (value !== "") problems.add("environment", `${name}: a value or a file, not both`);
      return { name, file: check.path("environment", file, false) };
    }
    if (looksSecret(name) || isSecretText(value)) {
      problems.add("environment", `${name} looks like a secret; put it into a file of the host and name the file`);
    }
    if (Buffer.byteLength(value) > limits.workloadWordMaxBytes || !isPlainText(value)) {
      problems.add("environment", `${name}: at most ${limits.workloadWordMaxBytes} bytes of text`);
    }
    return { name, value };
  });
}

function checkHealth(check: Checker, spec: WorkloadSpec): HealthSpec | null {
  const { health } = spec;
  if (health === undefined || (health.tcpPort === 0 && health.command === "")) return null;
  if (health.tcpPort !== 0 && health.command !== "") check.problems.add("health", "a port or a command, not both");
  if (health.tcpPort > 65_535) check.problems.add("health", "a port is 1 to 65535");
  const max = limits.workloadHealthMaxMs;
  const periodMs = check.ms("health", health.periodMs, {
    min: limits.workloadHealthPeriodFloorMs,
    max,
    usual: limits.workloadHealthPeriodDefaultMs,
  });
  return {
    tcpPort: health.tcpPort,
    command: check.path("health", health.command, true),
    args: check.words("health", health.args),
    periodMs,
    timeoutMs: check.ms("health", health.timeoutMs, {
      min: 10,
      max,
      usual: Math.min(periodMs, limits.workloadHealthTimeoutDefaultMs),
    }),
    failuresMaxCount: check.count(
      "health",
      health.failuresMaxCount,
      limits.workloadHealthFailuresMaxCount,
      limits.workloadHealthFailuresDefaultCount,
    ),
    startWithinMs: check.ms("health", health.startWithinMs, {
      min: 10,
      max,
      usual: limits.workloadStartWithinDefaultMs,
    }),
  };
}

function checkRestart(check: Checker, { restart }: WorkloadSpec): StoredSpec["restart"] {
  const backoffMinMs = check.ms("restart", restart?.backoffMinMs ?? 0n, {
    min: limits.workloadBackoffFloorMs,
    max: limits.workloadBackoffMaxMs,
    usual: limits.workloadBackoffMinDefaultMs,
  });
  const backoffMaxMs = check.ms("restart", restart?.backoffMaxMs ?? 0n, {
    min: backoffMinMs,
    max: limits.workloadBackoffMaxMs,
    usual: Math.max(backoffMinMs, limits.workloadBackoffMaxDefaultMs),
  });
  return {
    backoffMinMs,
    backoffMaxMs,
    restartsMaxCount: check.count(
      "restart",
      restart?.restartsMaxCount ?? 0,
      limits.workloadRestartsMaxCount,
      limits.workloadRestartsDefaultCount,
    ),
    windowMs: check.ms("restart", restart?.windowMs ?? 0n, {
      min: 1_000,
      max: limits.workloadWindowMaxMs,
      usual: limits.workloadWindowDefaultMs,
    }),
  };
}

/** What belongs to the kind is there, and nothing of another kind is. */
function checkKind(check: Checker, kind: WorkloadKindName, name: string, spec: WorkloadSpec, running: boolean): void {
  const { problems } = check;
  const isRole = roles.value(name) !== 0 || name.startsWith("role-");
  if (kind === "native") check.path("command", spec.command, false);
  else if (spec.command !== "" || spec.args.length > 0) problems.add("command", "only a native workload has one");
  if (kind === "container" ? spec.image === "" : spec.image !== "") {
    problems.add("image", kind === "container" ? "name the image" : "only a container has one");
  }
  if (kind !== "builtin" && isRole) problems.add("name", "that is a role's name; roles report under it");
  if (kind !== "builtin") return;
  if (!builtins.has(name)) problems.add("name", `a built-in is one of ${[...builtins].join(", ")}`);
  if (!running) problems.add("stopped", "a built-in ends with its role; remove the role instead");
  const bare = spec.environment.length === 0 && spec.workingDirectory === "" && spec.runAs === "";
  if (!bare || spec.hostPrivileges || spec.health !== undefined) {
    problems.add("spec", "a built-in is run by the agent itself, as the agent is");
  }
}

/** Checks a spec and fills in its defaults. Throws `invalid_argument` (INVALID_FIELD) naming every problem. */
export function checkWorkload(name: string, spec: WorkloadSpec, running: boolean): StoredSpec {
  const check = new Checker();
  const { problems } = check;
  const kind = kinds[spec.kind];
  if (!isName(name)) {
    problems.add("name", "lower-case letters, digits and inner dashes, at most 63 characters");
  }
  if (kind === undefined) problems.add("kind", "name the kind: native, container or builtin");
  else checkKind(check, kind, name, spec, running);
  if (Buffer.byteLength(spec.version) > limits.workloadVersionMaxBytes || /[\p{Cc}\p{Cf}\p{Cs}]/u.test(spec.version)) {
    problems.add("version", `at most ${limits.workloadVersionMaxBytes} bytes of plain text`);
  }
  if (Buffer.byteLength(spec.image) > limits.workloadWordMaxBytes || /[^\x21-\x7e]/.test(spec.image)) {
    problems.add("image", "one word");
  }
  if (spec.runAs !== "" && !/^[a-z_][a-z0-9_-]{0,31}$/.test(spec.runAs)) problems.add("run_as", "the name of a user");
  const stored: StoredSpec = {
    kind: kind ?? "native",
    command: spec.command,
    args: check.words("args", spec.args),
    image: spec.image,
    environment: checkVariables(check, spec),
    workingDirectory: check.path("working_directory", spec.workingDirectory, true),
    runAs: spec.runAs,
    version: spec.version,
    restart: checkRestart(check, spec),
    stopGraceMs: check.ms("stop_grace_ms", spec.stopGraceMs, {
      min: 1,
      max: limits.workloadGraceMaxMs,
      usual: limits.workloadGraceDefaultMs,
    }),
    health: checkHealth(check, spec),
    hostPrivileges: spec.hostPrivileges,
  };
  if (Buffer.byteLength(canonicalJson(stored)) > limits.workloadSpecMaxBytes) {
    problems.add("spec", `at most ${limits.workloadSpecMaxBytes} bytes in all`);
  }
  problems.throwIfAny();
  return stored;
}

/** What names exactly this spec: hex of SHA-256. */
export function specFingerprint(spec: StoredSpec): string {
  return createHash("sha256")
    .update(`weft/workload-spec/v1\0${canonicalJson(spec)}`)
    .digest("hex");
}

const kindValues = {
  native: WorkloadKind.NATIVE,
  container: WorkloadKind.CONTAINER,
  builtin: WorkloadKind.BUILTIN,
} as const satisfies Record<WorkloadKindName, WorkloadKind>;

/** The stored word of a kind; undefined for UNSPECIFIED and kinds of another version. */
export function kindText(kind: WorkloadKind): WorkloadKindName | undefined {
  return kinds[kind];
}

/** A stored spec as it travels. */
export function specMessage(spec: StoredSpec): MessageInitShape<typeof WorkloadSpecSchema> {
  const { health, restart } = spec;
  return {
    ...spec,
    kind: kindValues[spec.kind],
    args: [...spec.args],
    environment: spec.environment.map(({ name, value, file }) => ({ name, value: value ?? "", file: file ?? "" })),
    stopGraceMs: BigInt(spec.stopGraceMs),
    restart: {
      backoffMinMs: BigInt(restart.backoffMinMs),
      backoffMaxMs: BigInt(restart.backoffMaxMs),
      restartsMaxCount: restart.restartsMaxCount,
      windowMs: BigInt(restart.windowMs),
    },
    ...(health === null
      ? { health: undefined }
      : {
          health: {
            tcpPort: health.tcpPort,
            command: health.command,
            args: [...health.args],
            periodMs: BigInt(health.periodMs),
            timeoutMs: BigInt(health.timeoutMs),
            failuresMaxCount: health.failuresMaxCount,
            startWithinMs: BigInt(health.startWithinMs),
          },
        }),
  };
}
