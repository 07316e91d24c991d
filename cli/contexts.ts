/**
 * Named contexts: which installation a command is about, by a name instead of a folder. A context names an operator's folder, which
 * knows where its control is, and what commands take when nothing else is said: a cluster, an organization, a client folder. They
 * are kept in one file, `weft/contexts.json` in the user's folder of configurations.
 *
 * CX1. The file holds paths and names, never a key or a token. Whoever may write it decides whom commands talk to: mode 0600.
 * CX2. A file that cannot be used is one loud error, and changed by nobody.
 */

import { existsSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { readSecretFile, writeSecretFile } from "../certs/secret-file.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { asOnlyWriterOf } from "../lib/folder-lock.ts";
import { JsonMembers } from "../lib/json-members.ts";
import { limits } from "../lib/limits.ts";
import { suggestion } from "./nearest.ts";

export interface NamedContext {
  /** The operator's folder; absolute. */
  readonly folder: string;
  readonly cluster?: string;
  readonly organization?: string;
  /** A client's folder, for `weft connect`, `weft forward` and `weft check`; absolute. */
  readonly identity?: string;
}

export interface Contexts {
  /** What is meant when nobody says anything. */
  readonly current?: string;
  readonly contexts: Readonly<Record<string, NamedContext>>;
}

type Environment = Readonly<Record<string, string | undefined>>;

const nameShape = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/** Where contexts are kept. */
export function contextsFile(env: Environment = process.env): string {
  // The specification has a relative one ignored.
  const home = env["XDG_CONFIG_HOME"];
  return join(home !== undefined && isAbsolute(home) ? home : join(homedir(), ".config"), "weft", "contexts.json");
}

function contextOf(value: unknown): NamedContext {
  const members = new JsonMembers(value);
  const said = (name: "cluster" | "organization" | "identity"): Partial<NamedContext> =>
    members.has(name) ? { [name]: members.text(name) } : {};
  return { folder: members.text("folder"), ...said("cluster"), ...said("organization"), ...said("identity") };
}

/** Of its own: every object also has a "constructor", which is no context. */
function own(contexts: Contexts["contexts"], name: string): NamedContext | undefined {
  return Object.hasOwn(contexts, name) ? contexts[name] : undefined;
}

function parse(text: string): Contexts {
  const members = new JsonMembers(JSON.parse(text));
  const contexts = members.entries("contexts", contextOf);
  const current = members.has("current") ? members.text("current") : undefined;
  for (const name of [...Object.keys(contexts), ...(current === undefined ? [] : [current])])
    if (!nameShape.test(name)) throw new TypeError(`"${name}" is no name of a context`);
  if (current !== undefined && own(contexts, current) === undefined)
    throw new TypeError(`there is no context "${current}"`);
  return { contexts, ...(current === undefined ? {} : { current }) };
}

/**
 * Every named context; none when there is no file.
 * @throws WeftError failed_precondition: CONTEXT_FILE_DAMAGED, or what reading a file of one's own says.
 */
export function readContexts(env: Environment = process.env): Contexts {
  const file = contextsFile(env);
  if (!existsSync(file)) return { contexts: {} };
  try {
    return parse(readSecretFile(file, limits.identityFileMaxBytes));
  } catch (cause) {
    const why = messageOf(cause);
    throw new WeftError("failed_precondition", `${file} cannot be used: ${why}; correct it, or remove it`, {
      detail: "CONTEXT_FILE_DAMAGED",
      cause,
    });
  }
}

/**
 * Changes the file as its only writer.
 * @throws WeftError unavailable (CONTEXT_FILE_BUSY) while another command writes it; what `readContexts` and `change` throw.
 */
export async function changeContexts(change: (before: Contexts) => Contexts): Promise<Contexts> {
  const file = contextsFile();
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const after = await asOnlyWriterOf(dirname(file), "contexts.lock", Date.now(), async () => {
    const changed = change(readContexts());
    writeSecretFile(file, `${JSON.stringify(changed, null, 2)}\n`);
    return changed;
  });
  if (after !== undefined) return after;
  throw new WeftError("unavailable", `another command is writing ${file}; try again`, { detail: "CONTEXT_FILE_BUSY" });
}

/** @throws WeftError invalid_argument (CLI_NAME). */
export function requireContextName(name: string): void {
  if (nameShape.test(name)) return;
  const message = `"${name}" is no name of a context; take letters, digits, dots and dashes`;
  throw new WeftError("invalid_argument", message, { detail: "CLI_NAME" });
}

/** @throws WeftError not_found (CONTEXT_UNKNOWN), with the names that are near. */
export function namedContext({ contexts }: Contexts, name: string): NamedContext {
  const found = own(contexts, name);
  if (found !== undefined) return found;
  const near = suggestion(Object.keys(contexts), name);
  const message = `there is no context "${name}"${near}${near === "" ? '; "weft context list" shows them; a folder is written with a slash: ./NAME' : ""}`;
  throw new WeftError("not_found", message, { detail: "CONTEXT_UNKNOWN" });
}

export interface ChosenContext extends NamedContext {
  /** Absent: the folder was named itself, or nothing was. */
  readonly name?: string;
}

/** A folder is written as a path; one that is there is taken as well, as long as no context has its name. */
function isFolder(word: string, { contexts }: Contexts): boolean {
  if (own(contexts, word) !== undefined) return false;
  return !nameShape.test(word) || existsSync(join(word, "context.json"));
}

/**
 * The context that counts: the word of `--context`, else of `WEFT_CONTEXT` unless it is empty, else the current one, else the
 * folder `~/.weft`. A word is the name of a context, or a folder.
 * @throws WeftError as `readContexts` and `namedContext` do; a word that can only be a folder reads no file.
 */
export function chosenContext(word: string | undefined, env: Environment = process.env): ChosenContext {
  const said = word ?? (env["WEFT_CONTEXT"] || undefined);
  if (said !== undefined && !nameShape.test(said)) return { folder: said };
  const known = readContexts(env);
  const name = said ?? known.current;
  if (name === undefined) return { folder: join(homedir(), ".weft") };
  return isFolder(name, known) ? { folder: name } : { name, ...namedContext(known, name) };
}

/** A folder as the file keeps it. */
export function keptFolder(folder: string): string {
  return resolve(folder);
}
