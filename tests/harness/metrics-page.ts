/**
 * A strict reader of the text format of Prometheus (version 0.0.4): every sample belongs to a metric that was announced with
 * HELP and TYPE before it, once; names, labels, escapes and values are as the format says; histograms are cumulative.
 */

export interface PageSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface PageMetric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly samples: readonly PageSample[];
}

const namePattern = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const samplePattern = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const labelPattern = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/y;

/** Reads a page by name of its metrics. Throws with the line that breaks the format. */
export function readMetricsPage(text: string): ReadonlyMap<string, PageMetric> {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const metrics = new Map<string, PageMetric & { samples: PageSample[] }>();
  const helps = new Map<string, string>();
  let current: string | undefined;
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const broken = (why: string): Error => new Error(`${why}: ${line}`);
    const [, word, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (word === "HELP") {
      if (helps.has(name) || !namePattern.test(name)) throw broken("announced twice, or no name");
      helps.set(name, rest);
    } else if (word === "TYPE") {
      if (!helps.has(name) || metrics.has(name)) throw broken("no HELP before, or announced twice");
      if (rest !== "counter" && rest !== "gauge" && rest !== "histogram") throw broken("no type");
      metrics.set(name, { name, help: helps.get(name) ?? "", type: rest, samples: [] });
      current = name;
    } else if (line.startsWith("#")) {
      throw broken("a comment nobody announced");
    } else {
      const [, sampleName = "", labelText = "", valueText = ""] = samplePattern.exec(line) ?? [];
      const value = Number(valueText === "+Inf" ? Number.POSITIVE_INFINITY : valueText);
      if (sampleName === "" || Number.isNaN(value)) throw broken("no sample");
      const metric = current === undefined ? undefined : metrics.get(current);
      const bases = metric?.type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
      if (!bases.some((end) => sampleName === `${current}${end}`)) throw broken("not of the metric above");
      metric?.samples.push({ name: sampleName, labels: labelsOf(labelText, broken), value });
    }
  }
  for (const metric of metrics.values()) checkMetric(metric);
  return metrics;
}

function labelsOf(text: string, broken: (why: string) => Error): Record<string, string> {
  const labels: Record<string, string> = {};
  labelPattern.lastIndex = 0;
  let at = 0;
  while (at < text.length) {
    const found = labelPattern.exec(text);
    const [, name = "", value = ""] = found ?? [];
    if (found === null || name in labels) throw broken("labels");
    labels[name] = value.replace(/\\([\\"n])/g, (_, sign: string) => (sign === "n" ? "\n" : sign));
    at = labelPattern.lastIndex;
  }
  return labels;
}

function checkMetric({ name, help, type, samples }: PageMetric): void {
  if (help === "") throw new Error(`${name} has no help`);
  if (type === "counter" && !name.endsWith("_total")) throw new Error(`${name} is a counter and does not say so`);
  const seen = new Set<string>();
  const below = new Map<string, number>();
  for (const sample of samples) {
    const key = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`;
    if (seen.has(key)) throw new Error(`${key} is there twice`);
    seen.add(key);
    if (type === "counter" && !(sample.value >= 0)) throw new Error(`${key} is negative`);
    if (!sample.name.endsWith("_bucket") || type !== "histogram") continue;
    const { le: _, ...own } = sample.labels;
    const series = JSON.stringify(own);
    if (sample.value < (below.get(series) ?? 0)) throw new Error(`${key} is not cumulative`);
    below.set(series, sample.value);
  }
}
