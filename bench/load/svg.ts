/** Two plain kinds of plots as SVG text: ranges on a logarithmic axis, and bars. */

export interface GapRow {
  readonly label: string;
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
  readonly baseline: number;
  /** What the maximum must not pass. */
  readonly bound?: number;
}

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** Drawn in the colour of the project. */
  readonly own?: boolean;
}

const labelWidth = 250;
const plotWidth = 560;
const rowHeight = 30;
const top = 48;
const colours = { own: "#0b6e99", other: "#9aa5b1", bound: "#c0392b", text: "#1f2933", grid: "#e4e7eb" } as const;

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

function text(x: number, y: number, words: string, anchor: "start" | "middle" | "end" = "start", size = 13): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="${size}" fill="${colours.text}">${escaped(words)}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, colour: string, width = 1): string {
  return `<line x1="${x1.toFixed(1)}" y1="${y1}" x2="${x2.toFixed(1)}" y2="${y2}" stroke="${colour}" stroke-width="${width}"/>`;
}

function page(title: string, height: number, parts: readonly string[]): string {
  const width = labelWidth + plotWidth + 120;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(16, 26, title, "start", 16),
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

/** One row per measurement: baseline, median, 95th percentile and maximum, and the bound the maximum must keep. */
export function gapPlot(title: string, rows: readonly GapRow[]): string {
  const decades = [1, 3, 10, 30, 100, 300, 1_000];
  const xOf = (ms: number): number => labelWidth + (plotWidth * Math.log10(Math.min(1_000, Math.max(1, ms)))) / 3;
  const bottom = top + rows.length * rowHeight;
  const grid = decades.flatMap((ms) => [
    line(xOf(ms), top - 4, xOf(ms), bottom, colours.grid),
    text(xOf(ms), bottom + 18, String(ms), "middle", 12),
  ]);
  const drawn = rows.flatMap((row, index) => {
    const y = top + index * rowHeight + rowHeight / 2;
    return [
      text(labelWidth - 12, y + 4, row.label, "end"),
      line(xOf(row.p50), y, xOf(row.max), y, colours.own, 3),
      line(xOf(row.baseline), y - 6, xOf(row.baseline), y + 6, colours.other, 3),
      `<circle cx="${xOf(row.p50).toFixed(1)}" cy="${y}" r="5" fill="${colours.own}"/>`,
      `<circle cx="${xOf(row.p95).toFixed(1)}" cy="${y}" r="4" fill="#ffffff" stroke="${colours.own}" stroke-width="2"/>`,
      line(xOf(row.max), y - 6, xOf(row.max), y + 6, colours.own, 2),
      ...(row.bound === undefined ? [] : [line(xOf(row.bound), y - 10, xOf(row.bound), y + 10, colours.bound, 2)]),
      text(labelWidth + plotWidth + 12, y + 4, `${row.p50} / ${row.max}`, "start", 12),
    ];
  });
  const legend =
    "dot: median · ring: 95th percentile · end: maximum · grey: same statistic without a fault · red: bound";
  return page(title, bottom + 56, [...grid, ...drawn, text(labelWidth, bottom + 42, legend, "start", 12)]);
}

/** One bar per value, on an axis that begins at zero. */
export function barPlot(title: string, bars: readonly Bar[]): string {
  const largest = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
  const drawn = bars.flatMap(({ label, value, own }, index) => {
    const y = top + index * rowHeight;
    const width = (plotWidth * value) / largest;
    const colour = own === true ? colours.own : colours.other;
    return [
      text(labelWidth - 12, y + 19, label, "end"),
      `<rect x="${labelWidth}" y="${y + 5}" width="${width.toFixed(1)}" height="${rowHeight - 10}" fill="${colour}"/>`,
      text(labelWidth + width + 8, y + 19, value.toFixed(2), "start", 12),
    ];
  });
  return page(title, top + bars.length * rowHeight + 16, drawn);
}
