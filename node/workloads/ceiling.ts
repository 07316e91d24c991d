/**
 * Whether this host runs a workload at all (LAW-C6): the desired workload against the host's own ceiling, whatever a signed
 * snapshot says. Total, and by default nothing: a program, its arguments, its user, its variables, the files they come from
 * and its working directory each need a word of the ceiling.
 */

import { type Workload, WorkloadKind } from "../../gen/weft/fabric/v1/workload_pb.ts";
import type { Ceiling } from "../config.ts";

export type WorkloadCeiling = Ceiling["workloads"];

/** A user of the host. */
export interface HostUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** What is looked up on the host. */
export interface WorkloadHost {
  readonly platform: string;
  /** Who the agent runs as. */
  readonly self: HostUser;
  user(name: string): HostUser | undefined;
  /** The path without links, or undefined when nothing is there. */
  realPath(path: string): string | undefined;
  /** Whether it is a regular file that may be executed and that not everybody may write to. */
  isProgram(path: string): boolean;
}

/** A program within the ceiling. */
export interface Program {
  readonly path: string;
  readonly args: readonly string[];
}

/** How to start a process: everything was judged. */
export interface LaunchPlan extends Program {
  readonly cwd: string;
  readonly values: Readonly<Record<string, string>>;
  /** Variables whose values are in files, by name. */
  readonly files: Readonly<Record<string, string>>;
  readonly user: HostUser;
  /** Absent: there is no hook, or it is a port. */
  readonly healthCommand?: Program;
}

export type Verdict =
  | { readonly ok: true; readonly plan: LaunchPlan }
  /** `ceiling`: the host would not, as opposed to: it cannot. */
  | { readonly ok: false; readonly reason: string; readonly ceiling: boolean };

class Refusal extends Error {
  readonly ceiling: boolean;

  constructor(reason: string, ceiling: boolean) {
    super(reason);
    this.ceiling = ceiling;
  }
}

function beyond(what: string): never {
  throw new Refusal(`beyond this host's ceiling: ${what}`, true);
}

function cannot(why: string): never {
  throw new Refusal(why, false);
}

function isWithin(path: string, folder: string): boolean {
  return path.startsWith(folder.endsWith("/") ? folder : `${folder}/`);
}

function isPlain(path: string): boolean {
  const parts = path.split("/").slice(1);
  return path.startsWith("/") && !path.includes("\0") && parts.every((part) => !["", ".", ".."].includes(part));
}

/** The real place of what lies in one of the folders, and whose links do not lead out of it. */
function placeIn(host: WorkloadHost, folders: readonly string[], path: string): string | undefined {
  if (!isPlain(path)) return undefined;
  const folder = folders.find((each) => isWithin(path, each));
  const [real, root] = [host.realPath(path), folder === undefined ? undefined : host.realPath(folder)];
  return real !== undefined && root !== undefined && isWithin(real, root) ? real : undefined;
}

function judgeProgram(ceiling: WorkloadCeiling, host: WorkloadHost, path: string, args: readonly string[]): Program {
  if (!isPlain(path)) return beyond("the command is no plain absolute path");
  const named = ceiling.commands.filter((each) => each.path === path);
  const fits = named.some(
    (each) =>
      each.args === "any" || (each.args.length === args.length && each.args.every((arg, at) => arg === args[at])),
  );
  // A path the host's administrator wrote down leads wherever they let it lead.
  const real = fits ? host.realPath(path) : placeIn(host, ceiling.folders, path);
  if (real === undefined) {
    if (fits) return cannot(`there is no ${path} on this host`);
    return beyond(named.length > 0 ? `${path} with these arguments` : `the command ${path}`);
  }
  if (!host.isProgram(real)) return cannot(`${path} is no program, or everybody may write to it`);
  return { path: real, args: [...args] };
}

function judgeUser(ceiling: WorkloadCeiling, host: WorkloadHost, workload: Workload): HostUser {
  const wanted = workload.spec?.runAs ?? "";
  const user = wanted === "" ? host.self : host.user(wanted);
  if (user === undefined) return cannot(`there is no user ${wanted} on this host`);
  if (!ceiling.users.includes(user.name)) return beyond(`the user ${user.name}`);
  const privileged = workload.spec?.hostPrivileges === true;
  if (user.uid === 0 && !privileged)
    return cannot(`runs as ${user.name} only with host privileges; it does not ask for them`);
  if (privileged && !ceiling.hostPrivileges) return beyond("host privileges");
  if (privileged && !workload.privilegesApproved) return cannot("no operator has approved its host privileges");
  if (user.uid !== host.self.uid && host.self.uid !== 0) {
    return cannot(`the agent runs as ${host.self.name} and cannot start anything as ${user.name}`);
  }
  return user;
}

function judgeVariables(
  ceiling: WorkloadCeiling,
  host: WorkloadHost,
  workload: Workload,
): Pick<LaunchPlan, "values" | "files"> {
  const values: Record<string, string> = {};
  const files: Record<string, string> = {};
  for (const { name, value, file } of workload.spec?.environment ?? []) {
    const allowed = ceiling.environment.some((rule) =>
      rule.endsWith("*") ? name.startsWith(rule.slice(0, -1)) : name === rule,
    );
    if (!allowed || name.startsWith("WEFT_")) return beyond(`the variable ${name}`);
    if (file === "") values[name] = value;
    else {
      files[name] = placeIn(host, ceiling.files, file) ?? beyond(`the file ${file} of the variable ${name}`);
    }
  }
  return { values, files };
}

function judgeNative(ceiling: WorkloadCeiling, host: WorkloadHost, workload: Workload): LaunchPlan {
  const { spec } = workload;
  if (host.platform !== "linux") return cannot(`this agent supervises no processes on ${host.platform}`);
  if (spec === undefined) return cannot("it says nothing about what to run");
  const program = judgeProgram(ceiling, host, spec.command, spec.args);
  const user = judgeUser(ceiling, host, workload);
  const variables = judgeVariables(ceiling, host, workload);
  const wanted = spec.workingDirectory;
  const cwd =
    wanted === ""
      ? "/"
      : ((ceiling.directories.includes(wanted) ? host.realPath(wanted) : placeIn(host, ceiling.directories, wanted)) ??
        beyond(`the working directory ${wanted}`));
  const hook = spec.health?.command ?? "";
  return {
    ...program,
    ...variables,
    cwd,
    user,
    ...(hook === "" ? {} : { healthCommand: judgeProgram(ceiling, host, hook, spec.health?.args ?? []) }),
  };
}

/** What this host makes of a desired workload that is no role. Never throws. */
export function judgeWorkload(ceiling: WorkloadCeiling, host: WorkloadHost, workload: Workload): Verdict {
  const kind = workload.spec?.kind;
  if (kind === WorkloadKind.CONTAINER) {
    return { ok: false, ceiling: false, reason: "this agent runs no containers" };
  }
  if (kind !== WorkloadKind.NATIVE) {
    return { ok: false, ceiling: false, reason: "this agent does not know this kind of workload" };
  }
  try {
    return { ok: true, plan: judgeNative(ceiling, host, workload) };
  } catch (thrown) {
    if (!(thrown instanceof Refusal)) throw thrown;
    return { ok: false, ceiling: thrown.ceiling, reason: thrown.message };
  }
}
