/** Between grpc-js metadata and status, and the web headers and errors of Connect. */

import { Code, ConnectError } from "@connectrpc/connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { Metadata, type ServiceError } from "@grpc/grpc-js";

/** Request headers as metadata; binary ones ("-bin") are base64 in headers and bytes in metadata. */
export function toMetadata(init: ConstructorParameters<typeof Headers>[0]): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of new Headers(init)) {
    metadata.add(name, name.endsWith("-bin") ? Buffer.from(value, "base64") : value);
  }
  return metadata;
}

export function fromMetadata(metadata: Metadata): Headers {
  const headers = new Headers();
  for (const name of Object.keys(metadata.getMap())) {
    for (const value of metadata.get(name)) {
      headers.append(name, typeof value === "string" ? value : value.toString("base64"));
    }
  }
  return headers;
}

/** The `ConnectError` of a failed call: code, message and details as the server sent them. */
export function connectErrorOf(error: ServiceError, signal: AbortSignal | undefined): ConnectError {
  if (signal?.aborted === true) return ConnectError.from(signal.reason, Code.Canceled);
  const headers = fromMetadata(error.metadata);
  headers.set("grpc-status", String(error.code));
  headers.set("grpc-message", encodeURIComponent(error.details));
  return findTrailerError(headers) ?? new ConnectError(error.details, Code.Unknown, undefined, undefined, error);
}
