/** What nodes witnessed of the audit log, from their data folders: for checking an export without any server. */

import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseWitness, type Testimony, WITNESS_FILE, type WitnessBook } from "../fabric/audit/witness.ts";
import { WeftError } from "../lib/errors.ts";
import { readFileIfAny } from "../lib/files.ts";

/** How deep a folder of data folders is searched. */
const DEPTH = 4;

/**
 * Everything the books at `path` remember: a book, a node's data folder, or a folder with several of those.
 * @throws WeftError not_found (WITNESS_FILE) when there is none, failed_precondition (WITNESS_DAMAGED, WITNESS_FOREIGN).
 */
export function readTestimonies(path: string, installation: string): readonly Testimony[] {
  const files = existsSync(path) ? booksIn(path, DEPTH) : [];
  if (files.length === 0) {
    const message = `there is no ${WITNESS_FILE} at ${path}; name a node's data folder (stateDir)`;
    throw new WeftError("not_found", message, { detail: "WITNESS_FILE" });
  }
  return files.flatMap((file) => testimoniesOf(readBook(file, installation)));
}

function booksIn(path: string, depth: number): readonly string[] {
  if (statSync(path).isFile()) return [path];
  const own = join(path, WITNESS_FILE);
  if (existsSync(own)) return [own];
  if (depth === 0) return [];
  return foldersIn(path).flatMap((folder) => booksIn(folder, depth - 1));
}

/** A folder of somebody else's (a database's, say) has no book that is meant. */
function foldersIn(path: string): readonly string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(path, name));
  } catch {
    return [];
  }
}

function readBook(file: string, installation: string): WitnessBook {
  const book = parseWitness(readFileIfAny(file)?.toString() ?? "");
  if (book === undefined) {
    throw new WeftError("failed_precondition", `${file} is damaged, or no ${WITNESS_FILE}`, {
      detail: "WITNESS_DAMAGED",
    });
  }
  if (book.installation !== installation) {
    const message = `${file} is a witness of another installation; it says nothing about this log`;
    throw new WeftError("failed_precondition", message, { detail: "WITNESS_FOREIGN" });
  }
  return book;
}

function testimoniesOf({ nodeId, heads }: WitnessBook): readonly Testimony[] {
  return heads.map((head) => ({ ...head, witness: `node/${nodeId}` }));
}
