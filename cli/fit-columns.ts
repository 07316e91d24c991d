/** Columns that fit a terminal: the widest give way first, and what does not fit on a line goes on below it. Nothing is left out. */

/** Longer words are broken where a line is short; names and ids are not. */
const wordMax = 24;
export const columnGap = 2;

/** As narrow as a column may become: its longest word stays whole. */
export function columnMin(cells: readonly string[]): number {
  const words = cells.flatMap((cell) => cell.split(/(?<=,)|\s+/));
  return Math.min(wordMax, Math.max(1, ...words.map(({ length }) => length)));
}

export interface Column {
  /** What it would take to show every cell on one line. */
  readonly wanted: number;
  readonly min: number;
}

/** Widths of columns on a line of `lineWidth`; as they want to be when they fit, or when it is not known. */
export function fitColumns(columns: readonly Column[], lineWidth: number | undefined): number[] {
  const fitted = columns.map(({ wanted }) => wanted);
  if (lineWidth === undefined) return fitted;
  const room = lineWidth - columnGap * (columns.length - 1);
  let excess = fitted.reduce((sum, width) => sum + width, 0) - room;
  while (excess > 0) {
    const spare = fitted.map((width, at) => (width > (columns[at]?.min ?? 0) ? width : 0));
    const widest = Math.max(...spare);
    if (widest === 0) break;
    fitted[spare.indexOf(widest)] = widest - 1;
    excess -= 1;
  }
  return fitted;
}

/** Cuts a cell into pieces of at most `width`: behind a blank or a comma where there is one, else anywhere. */
export function pieces(cell: string, width: number): string[] {
  const found: string[] = [];
  let rest = cell;
  while (rest.length > width) {
    const head = rest.slice(0, width + 1);
    const blank = Math.max(head.lastIndexOf(" "), head.slice(0, width).lastIndexOf(",") + 1);
    const at = blank > 0 ? blank : width;
    found.push(rest.slice(0, at).trimEnd());
    rest = rest.slice(at).trimStart();
  }
  return [...found, rest];
}
