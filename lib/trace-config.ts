/**
 * Settings of traces, the same for control and nodes. Without an endpoint there are none. Only these settings count: a process
 * that holds keys does not send anything anywhere because a platform set OTEL_* for every program (docs/decisions/0029).
 */

import { z } from "zod";
import { isLoopbackHost, listOf } from "./config.ts";

const attribute = z
  .string()
  .max(512)
  .regex(/^[A-Za-z][A-Za-z0-9_.-]{0,127}=[^\0\r\n]+$/, "must be name=value");

export const traceSettings = {
  /** Base URL of an OTLP/HTTP receiver; no traces without it. Plain http on loopback only. */
  tracesEndpoint: z.string().min(1).max(2_048).optional(),
  /** Share of the traces begun here that are recorded, 0..1. */
  tracesRatio: z.coerce.number().min(0).max(1).default(1),
  /** `service.name`; weft-control or weft-node when absent. */
  tracesServiceName: z.string().min(1).max(255).optional(),
  /** More resource attributes, name=value. */
  tracesAttributes: listOf(attribute).default([]),
  /** File (0600) with headers for the receiver, `name: value` a line. */
  tracesHeadersFile: z.string().min(1).optional(),
  /** CA certificates an https receiver is verified with; those Node has when absent. */
  tracesCaFile: z.string().min(1).optional(),
};

export type TraceConfig = z.output<z.ZodObject<typeof traceSettings>>;

/** What is wrong with the settings together. Never the URL itself: somebody may have put a password into it. */
export function traceProblems({ tracesEndpoint }: Pick<TraceConfig, "tracesEndpoint">): string[] {
  if (tracesEndpoint === undefined) return [];
  const problem = endpointProblem(URL.parse(tracesEndpoint));
  return problem === undefined ? [] : [`tracesEndpoint: ${problem}`];
}

function endpointProblem(url: URL | null): string | undefined {
  if (url === null || !/^https?:$/.test(url.protocol)) return "must be an http:// or https:// URL";
  if (url.username !== "" || url.password !== "") {
    return "must hold no user or password; put a header into a file (0600) and name it with tracesHeadersFile";
  }
  if (url.search !== "" || url.hash !== "") return "must have no query and no fragment";
  if (url.protocol === "http:" && !isLoopbackHost(url.hostname.replace(/^\[|\]$/g, ""))) {
    return `${url.hostname} is beyond loopback: plain http does not leave this host; use https, or a collector on loopback`;
  }
  return undefined;
}

/** Where OTLP/HTTP takes traces: below the base, as the specification has it. */
export function tracesUrl(endpoint: string): URL {
  const url = new URL(endpoint);
  const path = url.pathname.replace(/\/+$/, "");
  url.pathname = path.endsWith("/v1/traces") ? path : `${path}/v1/traces`;
  return url;
}
