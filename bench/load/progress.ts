/** What a bench tells people, on standard error: standard output belongs to its one JSON object. */

export function say(text: string): void {
  process.stderr.write(`bench: ${text.split("\n").join("\n       ")}\n`);
}

/** Rows under headings; `continued` leaves the headings out, for tables that grow a row at a time. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[], continued = false): string {
  const minimum = [5, 9, 5, 9, 9, 44, 6, 8];
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, minimum[column] ?? 0, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return [...(continued ? [] : [line(headings)]), ...rows.map(line)].join("\n");
}
