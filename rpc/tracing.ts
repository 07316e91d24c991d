/** Traces of a process, as configured: tracer, exporter, receiver. Loaded only where an endpoint is set. */

import { readFileSync } from "node:fs";
import { validateHeaderName, validateHeaderValue } from "node:http";
import { readHandedSecret } from "../certs/secret-file.ts";
import type { Clock } from "../lib/clock.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import { type TraceConfig, tracesUrl } from "../lib/trace-config.ts";
import { createTracer, type Tracer } from "../lib/tracer.ts";
import { type TraceCounts, TraceExporter } from "./trace-exporter.ts";
import { openTraceReceiver } from "./trace-post.ts";

export interface Tracing {
  readonly tracer: Tracer;
  counts(): TraceCounts;
  /** Sends what is left, within a bound. */
  close(): Promise<void>;
}

export interface TracingOptions {
  readonly config: TraceConfig & { readonly tracesEndpoint: string };
  readonly serviceName: "weft-control" | "weft-node";
  /** What else is known of this process: `service.instance.id`, `host.name`. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Throws `failed_precondition` when a file that the configuration names cannot be used. */
export function openTracing({ config, serviceName, attributes, version, clock, random, log }: TracingOptions): Tracing {
  const { tracesEndpoint, tracesHeadersFile, tracesCaFile, tracesServiceName = serviceName } = config;
  const receiver = openTraceReceiver({
    url: tracesUrl(tracesEndpoint),
    headers: tracesHeadersFile === undefined ? {} : headersIn(tracesHeadersFile),
    clock,
    ...(tracesCaFile === undefined ? {} : { caPem: readCa(tracesCaFile) }),
  });
  const named = Object.fromEntries(config.tracesAttributes.map(pairOf));
  const own = { ...attributes, ...named, "service.name": tracesServiceName, "service.version": version };
  const exporter = new TraceExporter({ receiver, source: { attributes: own, version }, clock, random, log });
  const tracer = createTracer({
    clock,
    random,
    ratio: config.tracesRatio,
    onEnd: (span) => exporter.offer(span),
    onNotJoined: () => exporter.drop("not_joined"),
  });
  return { tracer, counts: () => exporter.counts(), close: () => exporter.close() };
}

function pairOf(text: string): [string, string] {
  const at = text.indexOf("=");
  return [text.slice(0, at), text.slice(at + 1)];
}

function unusable(setting: string, file: string, why: string, cause?: unknown): WeftError {
  const message = `${setting} ${file}: ${why}`;
  return new WeftError("failed_precondition", message, { detail: "FILE_UNREADABLE", cause });
}

/** `name: value` a line; empty lines and those with a # in front mean nothing. No error says what is in the file. */
function headersIn(file: string): Record<string, string> {
  let text: string;
  try {
    text = readHandedSecret(file);
  } catch (cause) {
    throw unusable("tracesHeadersFile", file, messageOf(cause), cause);
  }
  if (text.length > limits.traceHeadersMaxBytes) throw unusable("tracesHeadersFile", file, "is too long");
  const headers: Record<string, string> = {};
  for (const [at, line] of text
    .split("\n")
    .map((each) => each.trim())
    .entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    const [name, value] = [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
    if (colon < 1 || !isHeader(name, value)) {
      throw unusable("tracesHeadersFile", file, `line ${at + 1} is not "name: value"`);
    }
    headers[name] = value;
  }
  return headers;
}

function isHeader(name: string, value: string): boolean {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return value !== "";
  } catch {
    return false;
  }
}

function readCa(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw unusable("tracesCaFile", file, messageOf(cause), cause);
  }
}
