/** From a host that is not a node yet to control's join door. */

import { Code, ConnectError } from "@connectrpc/connect";
import { limits } from "../lib/limits.ts";
import { type ClosableTransport, type DialedTransportOptions, operatorTransport } from "./operator-transport.ts";

/**
 * For hosts that are not nodes yet (`tlsOptions("first-contact" | "dial-join", ...)`): unary only, small answers, always
 * with a deadline.
 */
export function joinTransport(options: DialedTransportOptions): ClosableTransport {
  const dialed = operatorTransport({
    readMaxBytes: limits.joiningBodyMaxBytes,
    defaultTimeoutMs: limits.joiningSessionMaxMs,
    ...options,
  });
  return {
    unary: dialed.unary,
    stream: () => Promise.reject(new ConnectError("streams are not served to joining hosts", Code.Unimplemented)),
    close: () => dialed.close(),
  };
}
