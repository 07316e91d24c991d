/**
 * Where functions begin and end, from formatted source: the formatter puts a block's closing brace at the indentation of
 * the line its statement starts on, so the head of a block is the nearest line above with that indentation.
 */

import type { SourceFile } from "./source.ts";

export interface FunctionSpan {
  /** One-based. */
  readonly line: number;
  readonly lineCount: number;
  readonly head: string;
}

const notFunctions = /^(if|for|while|switch|catch|with|else|do|try|finally|class|interface|return|throw|new|await)\b/;
const modifiers = "(?:(?:export|declare|static|async|override|public|private|protected|get|set)\\s+)*";
const declaration = new RegExp(`^${modifiers}function\\b`);
const method = new RegExp(`^${modifiers}\\*?(?:#?[\\w$]+|\\[[^\\]]*\\]|"[^"]*")\\s*(?:<[^>]*>)?\\(`);

/** Every function with a block body: declarations, expressions, arrows, methods, accessors, constructors. */
export function functionsOf(source: SourceFile): FunctionSpan[] {
  const lines = source.code.split("\n");
  const spans: FunctionSpan[] = [];
  for (const { open, close } of blocks(lines)) {
    const start = headLine(lines, open, close);
    const head = lines
      .slice(start, open + 1)
      .map((line) => line.trim())
      .join(" ");
    if (opensFunction(head))
      spans.push({ line: start + 1, lineCount: close - start + 1, head: source.text.split("\n")[start]?.trim() ?? "" });
  }
  return spans;
}

/** Blocks of more than one line, by the lines of their braces; only the last brace opened on a line can span lines. */
function blocks(lines: readonly string[]): { open: number; close: number }[] {
  const found: { open: number; close: number }[] = [];
  const stack: number[] = [];
  for (const [number, line] of lines.entries()) {
    for (const char of line) {
      if (char === "{") stack.push(number);
      if (char !== "}") continue;
      const open = stack.pop();
      if (open !== undefined && open !== number) found.push({ open, close: number });
    }
  }
  return found;
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length;
}

/** The line the statement or member starts on whose block opens on line `open` and closes on line `close`. */
function headLine(lines: readonly string[], open: number, close: number): number {
  const indent = indentOf(lines[close] ?? "");
  let start = open;
  // `): Promise<void> {` continues a head that began above, with its own closing bracket at the same indentation.
  while (start > 0 && (indentOf(lines[start] ?? "") > indent || /^\s*([)>\]}]|$)/.test(lines[start] ?? ""))) start -= 1;
  return start;
}

function opensFunction(head: string): boolean {
  if (!head.endsWith("{")) return /(=>|\bfunction\b[^{]*\)) \{[^{}]*$/.test(head);
  if (/=> \{$/.test(head)) return true;
  if (/\bfunction\b\s*\*?\s*[\w$]*\s*(<.*>)?\([^{}]*\)(: [^{}=]+)? \{$/.test(head)) return true;
  if (declaration.test(head)) return true;
  return !notFunctions.test(head) && method.test(head) && /\)(: .+)? \{$/.test(head);
}
