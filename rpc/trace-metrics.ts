/** What became of spans, as metrics of the process that made them; nothing while it makes none. */

import { labelled, type MetricRow, plain, type Sample } from "../lib/metric-rows.ts";
import type { TraceCounts } from "./trace-exporter.ts";

export interface TracedView {
  readonly traces: TraceCounts | undefined;
}

export const traceRows: readonly MetricRow<TracedView>[] = [
  plain(
    "counter",
    "weft_trace_spans_exported_total",
    "Spans that the receiver took.",
    ({ traces }) => traces?.exported,
  ),
  plain("gauge", "weft_trace_spans_waiting", "Spans that wait to be sent.", ({ traces }) => traces?.waiting),
  labelled(
    "counter",
    "weft_trace_spans_dropped_total",
    "Spans that were dropped, by why: queue_full, unreachable, refused, rejected, shutdown; not_joined: never made.",
    ["reason"],
    ({ traces }) => Object.entries(traces?.dropped ?? {}).map(([reason, count]): Sample => [{ reason }, count]),
  ),
];
