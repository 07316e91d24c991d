/** Metrics that are read from a view at a scrape, as a table: a row says what a metric is called, means and how it is read. */

import { Counter, Gauge, type Registry } from "prom-client";

/** One value, under its labels. */
export type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

export interface MetricRow<View> {
  readonly kind: "gauge" | "counter";
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly read: (view: View) => Iterable<Sample>;
}

/** A metric with one value and no labels; no value at all while `read` knows none. */
export function plain<View>(
  kind: MetricRow<View>["kind"],
  name: string,
  help: string,
  read: (view: View) => number | undefined,
): MetricRow<View> {
  return {
    kind,
    name,
    help,
    labels: [],
    *read(view) {
      const value = read(view);
      if (value !== undefined) yield [{}, value];
    },
  };
}

/** A metric with a value for each of its labels' values. */
export function labelled<View>(
  kind: MetricRow<View>["kind"],
  name: string,
  help: string,
  labels: readonly string[],
  read: (view: View) => Iterable<Sample>,
): MetricRow<View> {
  return { kind, name, help, labels, read };
}

/** Registers the rows; what is returned fills them from a view: labels that are gone are gone from the page. */
export function registerRows<View>(registry: Registry, rows: readonly MetricRow<View>[]): (view: View) => void {
  const fills = rows.map(({ kind, name, help, labels: labelNames, read }) => {
    const options = { name, help, labelNames: [...labelNames], registers: [registry] };
    const metric = kind === "gauge" ? new Gauge(options) : new Counter(options);
    return (view: View): void => {
      metric.reset();
      for (const [labels, value] of read(view)) metric.inc({ ...labels }, value);
    };
  });
  return (view) => {
    for (const fill of fills) fill(view);
  };
}
