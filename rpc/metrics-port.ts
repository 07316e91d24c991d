/**
 * The port a process shows its metrics on: `GET /metrics` in the text format of Prometheus, and nothing else. No secret is in
 * there, but names and numbers of a fabric are: it stays on loopback unless the configuration says otherwise.
 *
 * MP1. Asked by several at once, the page is made once for all of them.
 * MP2. Connections, headers and time are bounded.
 * MP3. A page in somebody's browser gets nothing: what a browser fetches for a site says so (Fetch Metadata).
 */

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { sharedRead } from "../lib/batch.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";

export interface MetricsPage {
  readonly contentType: string;
  readonly text: string;
}

export interface MetricsPort {
  /** host:port, as bound. */
  readonly address: string;
  close(): Promise<void>;
}

export interface MetricsPortOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly page: () => Promise<MetricsPage>;
  readonly onError: (message: string) => void;
}

/** Opens the port. Rejects with `failed_precondition` (BIND_FAILED) when it cannot be bound. */
export async function openMetricsPort({ host, port, page, onError }: MetricsPortOptions): Promise<MetricsPort> {
  const shared = sharedRead(() => page());
  const server = createServer(
    {
      maxHeaderSize: limits.metricsHeadersMaxBytes,
      requestTimeout: limits.metricsRequestMaxMs,
      headersTimeout: limits.metricsRequestMaxMs,
      connectionsCheckingInterval: limits.metricsRequestMaxMs,
    },
    (request, response) => {
      answer(request, response, () => shared("page")).catch((thrown: unknown) => {
        onError(messageOf(thrown));
        plain(response, 503, "the metrics could not be read; the log of this process says why\n");
      });
    },
  );
  server.maxConnections = limits.metricsConnectionsMaxCount;
  try {
    server.listen({ host, port });
    await once(server, "listening");
  } catch (thrown) {
    const message = `the metrics port ${host}:${port} cannot be bound (${messageOf(thrown)}); set another metricsPort`;
    throw new WeftError("failed_precondition", message, { detail: "BIND_FAILED", cause: thrown });
  }
  server.on("error", (error) => onError(error.message));
  return { address: addressOf(server), close: () => close(server) };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  page: () => Promise<MetricsPage>,
): Promise<void> {
  const site = request.headers["sec-fetch-site"];
  if (site !== undefined && site !== "none") return plain(response, 403, "not for pages of a browser\n");
  if (request.url?.split("?")[0] !== "/metrics") return plain(response, 404, "metrics are at /metrics\n");
  if (request.method !== "GET" && request.method !== "HEAD") return plain(response, 405, "GET only\n");
  const { contentType, text } = await page();
  response.writeHead(200, { "content-type": contentType, "content-length": Buffer.byteLength(text) });
  response.end(request.method === "HEAD" ? undefined : text);
}

function plain(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8", connection: "close" });
  response.end(text);
}

function addressOf(server: Server): string {
  const { address, port, family } = server.address() as AddressInfo;
  return family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
}

async function close(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}
