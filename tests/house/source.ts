/**
 * The hand-written sources of the project as text, for the tests that enforce its rules (layers, tidy).
 *
 * `scrub` is the one scanner they share: it blanks comments and the contents of strings, templates and regular
 * expressions, keeping every line and column, so that a rule never trips over prose and brace counting is exact.
 */

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export interface SourceFile {
  /** Relative to the project's root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** `text` without comments and literals; same length. */
  readonly code: string;
}

const root = fileURLToPath(new URL("../../", import.meta.url));

const notOurs = new Set(["node_modules", "dist", "coverage", "gen", "console"]);

/** Every file of the project by its path: no products, nothing generated, no hidden folders. Needs no git. */
export function projectFiles(folder = ""): string[] {
  return readdirSync(root + folder, { withFileTypes: true }).flatMap((entry) => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (!entry.isDirectory()) return entry.isFile() ? [path] : [];
    return entry.name.startsWith(".") || notOurs.has(path) || entry.name === "node_modules" ? [] : projectFiles(path);
  });
}

/** Every hand-written TypeScript file: all but gen/ and console/. */
export function handWritten(): SourceFile[] {
  return projectFiles()
    .filter((path) => path.endsWith(".ts"))
    .flatMap((path) => {
      const text = readIfThere(path);
      return text === undefined ? [] : [sourceFile(path, text)];
    });
}

/** A file for a test that plants a violation. */
export function sourceFile(path: string, text: string): SourceFile {
  return { path, text, code: scrub(text) };
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(root + path, "utf8");
  } catch {
    return undefined;
  }
}

/** One-based line of an offset. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < offset; at = text.indexOf("\n", at + 1)) line += 1;
  return line;
}

const blank = (text: string): string => text.replace(/[^\n]/g, " ");

/**
 * Blanks comments and the inside of string, template and regular expression literals. `${...}` in templates stays code.
 * Not a parser: it knows a regular expression from a division by what stands before it, which formatted code never
 * makes ambiguous.
 */
export function scrub(text: string): string {
  let out = "";
  let at = 0;
  // Depth of `{` inside each template expression we are in, innermost last.
  const templates: number[] = [];
  const take = (end: number, keep: number): void => {
    out +=
      text.slice(at, at + keep) +
      blank(text.slice(at + keep, end - keep)) +
      text.slice(Math.max(end - keep, at + keep), end);
    at = end;
  };
  while (at < text.length) {
    const char = text[at] ?? "";
    const next = text[at + 1];
    if (char === "/" && next === "/") take(endOr(text, text.indexOf("\n", at)), 0);
    else if (char === "/" && next === "*") take(endOr(text, text.indexOf("*/", at + 2), 2), 0);
    else if (char === '"' || char === "'") take(closing(text, at, char), 1);
    else if (char === "/" && startsRegex(out)) take(regexEnd(text, at), 1);
    else if (char === "`" || (char === "}" && templates.at(-1) === 0)) {
      if (char === "}") templates.pop();
      const end = templateEnd(text, at + 1);
      const opens = text.startsWith("${", end - 2);
      if (opens) templates.push(0);
      out += char + blank(text.slice(at + 1, end - (opens ? 2 : 1))) + text.slice(end - (opens ? 2 : 1), end);
      at = end;
    } else {
      if (templates.length > 0 && char === "{") templates.push((templates.pop() ?? 0) + 1);
      if (templates.length > 0 && char === "}") templates.push((templates.pop() ?? 0) - 1);
      out += char;
      at += 1;
    }
  }
  return out;
}

function endOr(text: string, found: number, extra = 0): number {
  return found === -1 ? text.length : found + extra;
}

function closing(text: string, from: number, quote: string): number {
  for (let at = from + 1; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === quote || text[at] === "\n") return at + 1;
  }
  return text.length;
}

function regexEnd(text: string, from: number): number {
  let inClass = false;
  for (let at = from + 1; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "[") inClass = true;
    else if (text[at] === "]") inClass = false;
    else if (text[at] === "\n" || (text[at] === "/" && !inClass)) return at + 1;
  }
  return text.length;
}

/** The offset after the template's closing backtick or after its next `${`. */
function templateEnd(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "`") return at + 1;
    else if (text.startsWith("${", at)) return at + 2;
  }
  return text.length;
}

function startsRegex(before: string): boolean {
  const trimmed = before.trimEnd();
  if (trimmed === "" || /[=(,:[!&|?{};+\-*%~^<>]$/.test(trimmed)) return true;
  return /(^|[^\w$.])(return|typeof|case|in|of|throw|await|yield|else|do|void|delete)$/.test(trimmed);
}
