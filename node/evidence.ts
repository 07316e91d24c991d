/** Signed statements that contradict each other, kept in the state folder for people to look at: a bounded number. */

import { createHash } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { messageOf } from "../lib/errors.ts";
import { readFileIfAny, replaceFile } from "../lib/files.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";

/**
 * Keeps `statement` as `<kind>-fork-<start of the payload's SHA-256>.bin`. When `limits.forkEvidenceMaxCount` of that kind
 * are there, no more are kept: whoever can sign one contradiction can sign any number.
 */
export function keepForkEvidence(
  stateDir: string,
  kind: "snapshot" | "feed" | "audit",
  payload: Uint8Array,
  statement: Uint8Array,
): void {
  const prefix = `${kind}-fork-`;
  const name = `${prefix}${createHash("sha256").update(payload).digest("hex").slice(0, 8)}.bin`;
  const kept = readdirSync(stateDir).filter((file) => file.startsWith(prefix));
  if (kept.length >= limits.forkEvidenceMaxCount && !kept.includes(name)) return;
  replaceFile(join(stateDir, name), statement);
}

type ReadKind = "snapshot" | "feed";

/** The names of the statements kept of a kind; a folder that cannot be read holds none. */
export function forkEvidenceNames(stateDir: string, kind: ReadKind): readonly string[] {
  try {
    return readdirSync(stateDir).filter((file) => file.startsWith(`${kind}-fork-`) && file.endsWith(".bin"));
  } catch {
    return [];
  }
}

/** The statements kept of a kind, oldest first. A damaged one is said and left out. */
export function forkEvidence<Schema extends DescMessage>(
  stateDir: string,
  kind: ReadKind,
  schema: Schema,
  log: Log,
): readonly MessageShape<Schema>[] {
  return forkEvidenceNames(stateDir, kind)
    .map((file) => join(stateDir, file))
    .map((path) => ({ path, atMs: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((a, b) => a.atMs - b.atMs)
    .flatMap(({ path }) => {
      try {
        const bytes = readFileIfAny(path);
        return bytes === undefined ? [] : [fromBinary(schema, bytes)];
      } catch (thrown) {
        log.warn("kept evidence of a contradiction cannot be read", { error: messageOf(thrown) });
        return [];
      }
    });
}
