/**
 * What a source file imports, and what the rooms of the house may import from each other.
 */

import { posix } from "node:path";
import type { SourceFile } from "./source.ts";
import { lineAt } from "./source.ts";

export interface Import {
  readonly from: string;
  readonly line: number;
  /** As written. */
  readonly specifier: string;
  /** The project file it names, or undefined for a package or built-in module. */
  readonly file: string | undefined;
  readonly typeOnly: boolean;
}

// `scrub` keeps quotes and keywords in place and blanks the specifier, so the code finds the place and the text the name.
const statement = /\b(?:import|export)\b(?:\s+(type)\b(?!\s*[,=]))?(?:[\s\w$*,{}]*?\bfrom)?\s*(["'])/g;
const dynamic = /\bimport\s*\(\s*(["'])/g;

/** Every static, re-exporting and dynamic import with a literal specifier. */
export function importsOf(source: SourceFile): Import[] {
  const found: Import[] = [];
  for (const match of source.code.matchAll(statement)) {
    found.push(importAt(source, match.index, match.index + match[0].length, match[1] === "type"));
  }
  for (const match of source.code.matchAll(dynamic)) {
    found.push(importAt(source, match.index, match.index + match[0].length, false));
  }
  return found.sort((a, b) => a.line - b.line);
}

function importAt(source: SourceFile, at: number, start: number, typeOnly: boolean): Import {
  const quote = source.text[start - 1] ?? '"';
  const specifier = source.text.slice(start, source.text.indexOf(quote, start));
  const file = specifier.startsWith(".")
    ? posix.normalize(posix.join(posix.dirname(source.path), specifier))
    : undefined;
  return { from: source.path, line: lineAt(source.text, at), specifier, file, typeOnly };
}

/** What each room may import besides itself. A room that is not here may not exist. */
export const layers: Readonly<Record<string, readonly string[]>> = {
  lib: ["gen"],
  certs: ["gen", "lib"],
  fabric: ["gen", "lib", "certs"],
  rpc: ["gen", "lib", "certs"],
  relay: ["lib", "fabric"],
  edge: ["gen", "lib", "certs", "fabric", "rpc"],
  control: ["gen", "lib", "certs", "fabric", "rpc"],
  node: ["gen", "lib", "certs", "fabric", "rpc", "relay", "edge"],
  client: ["gen", "lib", "certs", "fabric", "rpc", "edge"],
  cli: ["gen", "lib", "certs", "fabric", "rpc", "edge", "client", "conformance"],
  conformance: ["gen", "lib", "certs", "fabric", "rpc", "relay", "edge", "control", "node", "client", "cli"],
  examples: ["gen", "lib", "cli"],
  bench: ["*"],
  tests: ["*"],
};

/** The only files of cli/ that may start the two kinds of process (or join a host), and what of them they may import. */
const starters = /^cli\/(commands\/)?(up|control|config|db|doctor|node-run|node|join)(\/[\w-]+|-[\w-]+)?\.ts$/;
const startable = /^(control|node)\/(main|bin|config|db|join|init|recover)\.ts$/;

/** Packages and built-in modules a room must not touch: fabric/ is pure, lib/ knows nothing of the domain's means. */
const sockets = ["http2", "net", "tls", "dgram", "http", "https", "dns", "child_process", "worker_threads", "cluster"];
const clocks = ["timers", "perf_hooks"];
const stores = ["pg", "ioredis", "@electric-sql/pglite", "fs"];
const transports = ["@grpc/grpc-js", "@connectrpc/connect-node"];
const bannedModules: Readonly<Record<string, readonly string[]>> = {
  fabric: [...sockets, ...clocks, ...stores, ...transports],
  lib: [...sockets, "pg", "ioredis", "@electric-sql/pglite", ...transports],
};

function roomOf(path: string): string {
  return path.includes("/") ? (path.split("/")[0] ?? "") : "";
}

/** Why the import breaks the layers, or undefined. Configuration files at the root may import anything. */
export function layerViolation(imported: Import): string | undefined {
  const room = roomOf(imported.from);
  if (room === "") return undefined;
  const allowed = layers[room];
  const where = `${imported.from}:${imported.line}`;
  if (allowed === undefined) return `${where}: ${room}/ is no room of the house; add it to the table or move the file`;
  if (imported.file === undefined) return moduleViolation(room, imported, where);
  if (!/\.(ts|mjs|json)$/.test(imported.file)) return `${where}: "${imported.specifier}" must end in .ts`;
  const target = roomOf(imported.file);
  if (target === room || allowed.includes(target) || allowed.includes("*")) return undefined;
  if (target === "" && imported.file === "package.json") return undefined;
  if (room === "cli" && (target === "control" || target === "node")) {
    if (starters.test(imported.from) && startable.test(imported.file)) return undefined;
    return `${where}: of ${target}/, only the entry files (main, bin, config, db, join, init, recover) may be reached, and only by cli up, control, config, db, node run and join`;
  }
  return `${where}: ${room}/ may not import ${imported.file} (it may import ${allowed.join(", ")})`;
}

function moduleViolation(room: string, imported: Import, where: string): string | undefined {
  const name = imported.specifier.replace(/^node:/, "");
  const banned = bannedModules[room]?.some((module) => name === module || name.startsWith(`${module}/`));
  return banned === true ? `${where}: ${room}/ must not import ${imported.specifier}` : undefined;
}

/** Cycles between files, each once, as the list of files along it. Type-only imports count: they tie files together too. */
export function cyclesIn(imports: readonly Import[]): string[][] {
  const edges = new Map<string, string[]>();
  for (const { from, file } of imports) {
    if (file !== undefined) edges.set(from, [...(edges.get(from) ?? []), file]);
  }
  const done = new Set<string>();
  const cycles: string[][] = [];
  const visit = (file: string, trail: readonly string[]): void => {
    const seenAt = trail.indexOf(file);
    if (seenAt !== -1) {
      cycles.push([...trail.slice(seenAt), file]);
      return;
    }
    if (done.has(file)) return;
    for (const next of edges.get(file) ?? []) visit(next, [...trail, file]);
    done.add(file);
  };
  for (const file of edges.keys()) visit(file, []);
  return cycles;
}
