/**
 * One request of OTLP/HTTP: binary Protobuf out, an answer in, everything bounded. Redirections are not followed and proxies
 * not asked: spans go where the configuration says, or nowhere.
 */

import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import type { Clock } from "../lib/clock.ts";
import { errnoOf } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { rejectedCount } from "./trace-encode.ts";

/** What became of a request. `later`: the same may be tried again, after so long at least. */
export type Posted =
  | { readonly kind: "taken"; readonly rejectedCount: number }
  | { readonly kind: "later"; readonly why: string; readonly afterMs: number }
  | { readonly kind: "refused"; readonly why: string };

export interface TraceReceiver {
  post(body: Uint8Array): Promise<Posted>;
  /** Ends what is under way. */
  close(): void;
}

export interface TraceReceiverOptions {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly caPem?: string;
  readonly clock: Clock;
}

/** What OTLP says may be sent again. */
const retried: ReadonlySet<number> = new Set([429, 502, 503, 504]);

export function openTraceReceiver({ url, headers, caPem, clock }: TraceReceiverOptions): TraceReceiver {
  const isTls = url.protocol === "https:";
  const shape = { keepAlive: true, maxSockets: 1 };
  const agent = isTls
    ? new HttpsAgent({ ...shape, rejectUnauthorized: true, ...(caPem === undefined ? {} : { ca: caPem }) })
    : new HttpAgent(shape);
  const start = isTls ? requestHttps : requestHttp;
  const post = (body: Uint8Array): Promise<Posted> => {
    const { promise, resolve } = Promise.withResolvers<Posted>();
    const request = start(url, {
      method: "POST",
      agent,
      headers: { ...headers, "content-type": "application/x-protobuf", "content-length": body.length },
    });
    const timer = clock.after(limits.traceRequestMaxMs, () => request.destroy(new Error("no answer in time")));
    const settle = (posted: Posted): void => {
      timer.cancel();
      resolve(posted);
    };
    let isAnswered = false;
    request.once("response", (response) => {
      isAnswered = true;
      void read(response).then(settle);
    });
    // What goes wrong behind an answer changes nothing: its status is known.
    const unanswered = (why: string): void => {
      if (!isAnswered) settle({ kind: "later", why, afterMs: 0 });
    };
    request.on("error", (error) => unanswered(errnoOf(error) ?? "no answer"));
    request.once("close", () => unanswered("no answer"));
    request.end(body);
    return promise;
  };
  return { post, close: () => agent.destroy() };
}

async function read(response: IncomingMessage): Promise<Posted> {
  const { statusCode = 0, headers } = response;
  const body = await bodyOf(response);
  if (statusCode >= 200 && statusCode < 300) {
    const isProtobuf = headers["content-type"]?.startsWith("application/x-protobuf") === true;
    return { kind: "taken", rejectedCount: isProtobuf && body !== undefined ? rejectedCount(body) : 0 };
  }
  const why = `HTTP ${statusCode}`;
  if (!retried.has(statusCode)) return { kind: "refused", why };
  const seconds = Number(headers["retry-after"] ?? 0);
  const afterMs = Number.isFinite(seconds) ? Math.min(Math.max(0, seconds * 1_000), limits.traceRetryMaxMs) : 0;
  return { kind: "later", why, afterMs };
}

/** The whole answer, or undefined when it is longer than any answer has to be, or ends early. */
async function bodyOf(response: IncomingMessage): Promise<Buffer | undefined> {
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const part of response as AsyncIterable<Buffer>) {
      sizeBytes += part.length;
      if (sizeBytes > limits.traceAnswerMaxBytes) return undefined;
      parts.push(part);
    }
  } catch {
    return undefined;
  }
  return Buffer.concat(parts);
}
